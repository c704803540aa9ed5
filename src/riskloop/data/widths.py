"""Text in columns of fixed widths: where the columns begin, and the same records with a delimiter between fields.

Blanks within a value do not matter: a column ends where every record has a blank.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from riskloop.core.types import Bools

CUT: Final = "\x1f"  # between the fields of a record that was cut: the unit separator, which no table prints
WIDE: Final = "\x1e"  # the last field of a record with a value that is wider than its column
_LINES: Final = 5000  # that are looked at
_TOP, _END = 20, 10  # lines above the rows and below them that may be notes, names and totals
_LEAST: Final = 5  # lines without which nothing is said

Span = tuple[int, int]


def find_widths(text: str, target: str | None = None) -> tuple[int, ...] | None:
    """How many characters each column has, by what is blank in all records; None where no columns stand out.

    ``target`` is a name that the header is known to hold. The last column goes on to the end of the line.
    """
    lines = [line.expandtabs().rstrip() for line in text.splitlines() if line.strip()][:_LINES]
    if len(lines) < _LEAST:
        return None
    top = min(_TOP, len(lines) // 3)
    ruled = next((line for line in lines[: top + 1] if re.fullmatch(r"\s*[-=]+(\s+[-=]+)+", line)), None)
    if ruled is not None:
        return _widths([(m.start(), m.end()) for m in re.finditer(r"[-=]+", ruled)], [])
    body = lines[top : len(lines) - min(_END, len(lines) // 10)]
    size = max(map(len, lines))
    filled = np.zeros(size, dtype=np.bool_)
    for line in body:
        filled |= _filled(line, size)
    header = _header(lines[: top + 1], filled, target)
    spans = _spans(filled if header is None else filled | _filled(header, size))
    if header is not None:
        spans = _joined(spans, header, filled)
    return _widths(spans, body) if len(spans) > 1 else None


def have_gaps(rows: Sequence[str], widths: Sequence[int]) -> bool:
    """Whether a blank stands between all columns of all rows, so that a value without one is too wide."""
    rows = [line.expandtabs() for line in rows if line.strip()]
    ends = np.cumsum(widths)[:-1].tolist()
    return len(rows) >= _LEAST and not any(_crosses(row, end) for row in rows for end in ends)


def _crosses(line: str, end: int) -> bool:
    return not line[end - 1 : end].isspace() and not line[end : end + 1].isspace() and len(line) > end


def cut(content: bytes, widths: Sequence[int], *, gaps: bool = False) -> bytes:
    """Lines of fixed widths as records with `CUT` between their fields, which lose the blanks around them.

    With ``gaps`` a record that has no blank between two fields gets one too many, `WIDE`: nobody knows its values.
    """
    ends = np.cumsum(widths)[:-1].tolist()
    places = list(zip([0, *ends], [*ends, None], strict=True))
    records = []
    for line in content.decode(errors="replace").splitlines():
        if not line or line.isspace():
            records.append("")
            continue
        line = line.expandtabs().replace(CUT, " ")
        cells = [line[start:end].strip() for start, end in places]
        if gaps and any(_crosses(line, end) for end in ends):
            cells.append(WIDE)
        records.append(CUT.join(f'"{c.replace(chr(34), chr(34) * 2)}"' if '"' in c else c for c in cells))
    return "\n".join([*records, ""]).encode()


def _filled(line: str, size: int) -> Bools:
    """Which places of a line hold something, (size,)."""
    places = np.zeros(size, dtype=np.bool_)
    letters = np.array([*line]) if line else np.empty(0, dtype="<U1")
    places[: len(letters)] = letters != " "
    return places


def _spans(filled: Bools) -> list[Span]:
    """The runs of places that hold something."""
    steps = np.diff(np.concatenate([[0], filled.astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))


def _header(lines: Sequence[str], filled: Bools, target: str | None) -> str | None:
    """The line of names: the one that holds the ``target``, else the first that fills the columns and joins few."""
    if target is not None:
        whole = re.compile(rf"(?<!\S){re.escape(target)}(?!\S)")
        return next((line for line in lines if whole.search(line)), None)
    columns = len(_spans(filled))
    for line in lines:
        spans = _spans(filled | _filled(line, len(filled)))
        named = sum(bool(line[start:end].strip()) for start, end in spans)
        if len(spans) > 1 and named >= 0.8 * len(spans) and len(spans) >= 0.6 * columns:
            return line
    return None


def _joined(spans: Sequence[Span], header: str, filled: Bools) -> list[Span]:
    """Without cuts within a value or a name: one blank beside a part without a name, or with nothing below.

    Such a part goes to the column before it, or behind it where names stand at the right end of their columns.
    """
    ends = sum(bool(header[end - 1 : end].strip()) for _, end in spans)
    begins = sum(bool(header[start : start + 1].strip()) for start, _ in spans)
    step = -1 if ends > begins else 1
    joined: list[Span] = []
    for start, end in spans[::step]:
        other = joined[-1] if joined else None
        if other is not None and max(start - other[1], other[0] - end) == 1:
            whole = all(header[s:e].strip() and filled[s:e].any() for s, e in (other, (start, end)))
            if not whole:
                joined[-1] = (min(start, other[0]), max(end, other[1]))
                continue
        joined.append((start, end))
    return joined[::step]


def _widths(spans: Sequence[Span], body: Sequence[str]) -> tuple[int, ...]:
    """Widths of columns that begin at ``spans``; the blanks between two go to the one that grows into them."""
    starts = [0]
    for before, (start, end) in itertools.pairwise(spans):
        cells = [line[start:end] for line in body if line[start:end].strip()]
        right = bool(cells) and all(len(cell.rstrip()) == end - start for cell in cells)
        starts.append(before[1] + 1 if right and start > before[1] + 1 else start)
    return (*np.diff(starts).tolist(), max(1, spans[-1][1] - starts[-1]))
