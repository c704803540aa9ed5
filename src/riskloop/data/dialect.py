"""How a text file or sheet is laid out: delimiter, decimal sign, header, notes above it, totals below.

`init` finds it once and writes it into the configuration; every later file is read as that says.
"""

import csv
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.schema import TextStyle
from riskloop.core.settings import DataSettings
from riskloop.core.values import MISSING_NUMBER, is_missing, parse_number, trimmed
from riskloop.data.quoting import SAID, as_csv, find_quoting
from riskloop.data.streams import Bytes, container_of, find_encoding, is_utf8, open_bytes, read_start
from riskloop.data.webpage import is_webpage
from riskloop.data.widths import CUT, cut, find_widths, have_gaps

Grid = list[list[str]]  # the first records of a file, cell by cell

UNNAMED: Final = "unnamed_"  # … and its place: a column without a name
SAMPLE: Final = 2**18  # bytes that are looked at
MOST_NOTES: Final = 20  # lines above a header
MOST_TOTALS: Final = 10  # lines below the rows
NAMED: Final = {
    ",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks", "^": "carets", "~": "tildes",
    "\x01": "Ctrl-A characters", "\x1f": "unit separators",
}  # fmt: skip
KINDS: Final = {
    "parquet": "Parquet", "statistics": "a data set of a statistics package", "json": "JSON", "arff": "ARFF",
    "arrow": "Arrow", "orc": "ORC", "html": "a table of a web page", "frame": "a table",
}  # fmt: skip
RARE: Final = ("^", "~", "\x01", "\x1f")  # delimiters that are tried after the usual ones
SPELLED: Final = {
    "tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "bar": "|", "blank": " ", "space": " ",
}  # fmt: skip

_TOTAL: Final = re.compile(
    r"\s*[(\[<#*=~-]*\s*(grand\s+)?(totals?|sub-?total|sum|summe|gesamt|count|rows?|records?|number of|end\b|eof|"
    r"average|mean|source|notes?|generated|exported|printed|report|\d+ (rows|records)|zwischensumme|gesamtsumme|anzahl|"
    r"totales?|totali?|totalt|totaal|somme|sous-total|suma|subtotal|recuento|somma|aantal|summa|antal|razem|"
    r"liczba|celkem|součet|összesen|toplam|итого|всего|合计|总计|合計|総計|합계)\b",
    re.IGNORECASE,
)


def find_dialect(
    source: Bytes, where: str, *, target: str | None = None, known: DataSettings | None = None
) -> DataSettings:
    """The dialect of a text file. What ``known`` sets otherwise than the defaults stays as it is.

    ``target`` decides between two header lines. Raises DataError for an empty file, MalformedBody for binary data.
    """
    start = read_start(source, SAMPLE)
    if not start.strip(b"\0 \r\n\t\xef\xbb\xbf\xff\xfe"):
        raise DataError(f"{where} is empty; it needs a header line and rows.")
    if is_webpage(start):
        raise no_table(where)
    if (other := container_of(start)) is not None:
        raise MalformedBody(f"{where} is {other}, and no table that can be read; export it as CSV, Parquet or Excel.")
    given = {} if known is None else known.model_dump(exclude_defaults=True)
    encoding = given.get("encoding") or _encoding(source, start, target)
    text = _text(start, encoding, where)
    delimiter = given.get("delimiter") or find_delimiter(text)
    quoting = given.get("quoting") or find_quoting(text, delimiter)
    if quoting != "double":
        text = as_csv(text, delimiter, quoting)
    widths = given.get("widths") or (() if "delimiter" in given else _widths(text, delimiter, target))
    grid = split(text, delimiter, widths)
    if len(start) == SAMPLE:
        grid = grid[:-1]  # it may be cut
    found = layout(grid, target, skip=given.get("skip"))
    body = grid[found["skip"] + found.get("header", True) + found.get("below", 0) :]
    found |= {"encoding": encoding, "decimal": _decimal(body, delimiter if not widths else CUT)}
    found |= {"widths": widths} if widths else {"delimiter": delimiter, "quoting": quoting}
    if widths:
        above = found["skip"] + found.get("header", True) + found.get("below", 0)
        found["gaps"] = have_gaps(text.splitlines()[above : -MOST_TOTALS - 1], widths)
    width = len(found.get("columns") or grid[found["skip"]])
    found["footer"] = _footer(_tail(source, encoding, where), delimiter, width, widths)
    return DataSettings(**{**found, **given})


def no_table(where: str) -> MalformedBody:
    """The error for a page without a table."""
    return MalformedBody(
        f"{where} is a web page or XML without a table of rows, whatever its name says: a login page or an error, "
        "perhaps. Open it in a browser, or export it again as CSV or .xlsx."
    )


def _widths(text: str, delimiter: str, target: str | None) -> tuple[int, ...]:
    """The widths of columns that no delimiter tells apart; () where one does.

    Blanks do as long as no value has one: every line is cut into as many fields as there are names.
    """
    lines = [line for line in text.splitlines()[:-1] or text.splitlines() if line.strip()][:200]
    counts = {len(record) for record in split("\n".join(lines), delimiter)}
    names = {cell.strip() for record in split("\n".join(lines[: MOST_NOTES + 1]), delimiter) for cell in record}
    if delimiter == " " and len(counts) == 1:
        return ()
    if delimiter not in " ," or (delimiter == "," and (target in names or (target is None and min(counts) > 1))):
        return ()
    return find_widths(text, target) or ()


def layout(grid: Grid, target: str | None, skip: int | None = None) -> dict[str, Any]:
    """Where the header is, what stands between it and the rows, and which names there are without one.

    ``skip``, header, below and columns of `DataSettings`.
    """
    records = [i for i, record in enumerate(grid) if any(cell.strip() for cell in record)]
    if not records:
        raise DataError("The file holds blank lines only; it needs a header line and rows.")
    width = Counter(len(grid[i]) for i in records[: 200 + MOST_NOTES]).most_common(1)[0][0]
    top = skip if skip is not None else _first_full(grid, width)
    if top >= len(grid):
        raise DataError(f"The file has {len(grid)} lines only; with skip = {top} nothing is left of it.")
    ruled = next((i for i in records if i > top), top) if top + 1 < len(grid) else top
    rule = ruled - top if ruled > top and _is_rule(grid[ruled]) else 0
    body = [grid[i] for i in records if i > top + rule and len(grid[i]) == width][:200]
    if skip is None and (names := _short_header(grid[: top + 1], [grid[top], *body])) is not None:
        return {"skip": top, "header": False, "columns": names}
    if skip is None and target is not None and (above := _named_above(grid, top, target, width)) is not None:
        return above
    if target not in [cell.strip() for cell in grid[top]] and not is_header(grid[top], body):
        return {"skip": top, "header": False, "columns": tuple(f"column_{i}" for i in range(1, width + 1))}
    if len(body) > 2 and is_header(body[0], body[1:], second=True):
        return _two_headers(grid, top, grid.index(body[0]), target)
    return {"skip": top, "header": True} | ({"below": rule} if rule else {})


def _is_rule(record: Sequence[str]) -> bool:
    """Whether a line only rules off the header: ----+----, |---|:--|, ====."""
    text = "".join(record).replace(" ", "")
    return len(text) >= 3 and set(text) <= set("-+=|:")


def find_delimiter(text: str) -> str:
    """The delimiter that cuts the most lines into the same number of fields, more than one."""
    lines = [line for line in text.splitlines()[:-1] or text.splitlines() if line.strip()][:200]
    best, found = 0.0, ","
    for delimiter in (",", ";", "\t", "|", *RARE):
        if delimiter in RARE and (best >= 0.1 or text.count(delimiter) < len(lines)):
            continue
        widths = Counter(len(record) for record in split("\n".join(lines), delimiter) if record)
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        records = sum(widths.values())
        odd = min(records - count, MOST_NOTES, records // 2)  # notes and totals
        # In '1,5;2,5' the comma is a decimal sign: the first line, the header, has none.
        headed = len(split(lines[0], delimiter)[0]) == width
        score = (count / (records - odd)) ** 2 * math.log(width) * (1.0 if headed else 0.6)
        if score > best:
            best, found = score, delimiter
    if best < 0.1:
        widths = Counter(len(record) for record in split("\n".join(lines), " ") if record)
        width, count = widths.most_common(1)[0]
        if width > 1 and count >= 0.9 * widths.total():
            return " "
    return found


def split(text: str, delimiter: str, widths: Sequence[int] = ()) -> Grid:
    """Records and fields; fields between blanks may be several blanks apart, others have ``widths``."""
    if widths:
        text, delimiter = cut(text.encode(), widths).decode(), CUT
    if delimiter == " ":
        text, delimiter = one_tab(text), "\t"
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return [line.split(delimiter) for line in text.splitlines()]


def one_tab(text: str) -> str:
    """A text separated by runs of blanks as one separated by tabs; blanks within quotes stay."""
    parts = text.split('"')
    if len(parts) % 2 == 0:  # a quote that nothing closes
        return "\n".join("\t".join(line.split()) for line in text.splitlines())
    parts[::2] = [re.sub(r"[ \t]+", "\t", part) for part in parts[::2]]
    return re.sub(r"(?m)^\t+|\t+$", "", '"'.join(parts))


def is_total(record: Sequence[str], width: int) -> bool:
    """Whether a record at the end is no customer: a sum, a count, a source, a rule, a single cell of text."""
    cells = [cell for cell in record if cell.strip()]
    if not cells or len(cells) == 1 < width or _is_rule(cells):
        return True
    told = _TOTAL.match(cells[0])
    if told is None and not is_missing(cells[0]):  # GRAND TOTAL and *** END OF REPORT *** between blanks
        told = _TOTAL.match(" ".join(cells))
    return told is not None and not cells[0].isdecimal()


def names_of(header: Sequence[str]) -> list[str]:
    """Column names, trimmed: one that is empty is called after its place, one that came before gets a number: x_2."""
    names: list[str] = []
    before: set[str] = set()
    header = [trimmed(re.sub(r"\s*[\x00-\x1f]+\s*", " ", name)) for name in header]  # of several lines in a workbook
    taken = {*header}
    for i, name in enumerate(header, 1):
        if name in before:
            copies = (f"{name}_{n}" for n in range(2, i + 2))
            name = next(copy for copy in copies if copy not in taken and copy not in before)
        names.append(name or f"{UNNAMED}{i}")
        before |= {name} - {""}
    return names


def repeated(header: Sequence[str]) -> frozenset[str]:
    """The names that come more than once in a header."""
    counts = Counter(map(trimmed, header))
    return frozenset(name for name, count in counts.items() if name and count > 1)


def describe(dialect: DataSettings, kind: str = "text") -> str:
    """The dialect in words: 'cp1252, separated by semicolons, decimal commas, 1 line above the header'."""
    named = NAMED.get(dialect.delimiter, repr(dialect.delimiter))
    apart = f"{len(dialect.widths)} columns of fixed widths" if dialect.widths else f"separated by {named}"
    said = [f"sheet '{dialect.sheet}'"] if dialect.sheet else [dialect.encoding.upper(), apart]
    if kind == "html" and not (dialect.skip or dialect.below):
        said[:2] = [KINDS["html"]]
    elif kind not in ("text", "zip", "sheet", "html"):
        return KINDS.get(kind, kind)
    if dialect.quoting in SAID and not dialect.sheet:
        said.append(SAID[dialect.quoting])
    if dialect.decimal == "," and not dialect.sheet:
        said.append("decimal commas")
    if dialect.skip:
        said.append(f"{dialect.skip} line{'s' * (dialect.skip > 1)} above the {'header' if dialect.header else 'rows'}")
    if not dialect.header:
        said.append("no header line")
    if dialect.below:
        said.append(f"{dialect.below} line{'s' * (dialect.below > 1)} below the header")
    if dialect.footer:
        said.append(f"{dialect.footer} line{'s' * (dialect.footer > 1)} of totals at the end")
    return ", ".join(said)


# --------------------------------------------------------------------------- encoding, decimal sign, totals


def _encoding(source: Bytes, start: bytes, target: str | None) -> str:
    found = find_encoding(start, target)
    if found != "utf-8" or len(start) < SAMPLE or not isinstance(source, (Path, str)):
        return found
    # The first letter that is not ASCII may come late.
    with open_bytes(source) as file:
        before, told = b"", b""
        while piece := bytes(file.read(2**22)):
            if not is_utf8(before + piece):
                return find_encoding(told + piece) if not is_utf8(piece[4:]) else "utf-8"
            if len(told) < SAMPLE and not piece.isascii():  # lines that are UTF-8 beyond ASCII
                told += b"".join(line for line in piece.splitlines(keepends=True)[1:-1] if not line.isascii())[:SAMPLE]
            before = piece[-3:] if not piece[-3:].isascii() else b""
    return found


def _text(start: bytes, encoding: str, where: str) -> str:
    try:
        text = start.decode(encoding, errors="replace").removeprefix("\ufeff")
    except LookupError:
        raise MalformedBody(
            f"There is no encoding '{encoding}'; utf-8, utf-16 and cp1252 are the usual ones."
        ) from None
    if "\0" in text:
        raise MalformedBody(f"{where} is not a text file but binary data; give a CSV, Parquet or Excel file.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decimal(body: Grid, delimiter: str) -> str:
    """The decimal sign, by the columns of numbers in which it can be told; a point where nothing tells."""
    if delimiter == "," and not any('"' in cell or "," in cell for record in body[:50] for cell in record):
        return "."
    points = commas = 0.0
    for column in zip(*(record for record in body if len(record) == len(body[0])), strict=True) if body else ():
        cells = {cell.strip() for cell in column} - MISSING_NUMBER
        for cell in [cell for cell in cells if not any(c.isdigit() for c in cell)]:
            cells.discard(cell)  # one more word for missing
        if sum(_read(cell) for cell in cells) < 0.9 * len(cells) or not cells:
            continue
        sign = _sign_of(cells)
        if sign is None and delimiter != "," and _thousands(cells, "."):
            commas += 0.5  # 12.345 and 987, never 12.3: points between thousands
        points += sign == "."
        commas += sign == ","
    return "," if commas > points else "."


def _sign_of(cells: Collection[str]) -> str | None:
    """The decimal sign of a column of numbers, where a cell shows it; None where every reading is possible.

    The last of two signs is the decimal one; a sign that comes twice stands between thousands; one that is not followed
    by three digits, or that a lone 0 stands before, is decimal.
    """
    votes = Counter[str]()
    for cell in cells:
        number = re.search(r"\d[\d.,]*|[.,]\d+", re.sub(r"(?<=\d)[\s'’](?=\d)", "", cell))
        signs = [c for c in number[0] if c in ".,"] if number is not None else []
        if number is None or not signs:
            continue
        text, last = number[0], signs[-1]
        whole, _, rest = text.rpartition(last)
        if len(set(signs)) == 2:
            votes[last] += signs.count(last) == 1
        elif len(signs) > 1:
            votes[_other(last)] += 1
        elif len(rest) != 3 or whole in ("", "0") or len(whole) > 3:
            votes[last] += 1
    if not votes or votes["."] == votes[","]:
        return None
    return "." if votes["."] > votes[","] else ","


def _read(cell: str) -> bool:
    """Whether a cell is a number in any writing."""
    styles: tuple[TextStyle, ...] = ("amount", "percent", "unit", "tenure")
    return any(math.isfinite(parse_number(cell, style, sign)) for style in styles for sign in ".,")


def _other(sign: str) -> str:
    return "," if sign == "." else "."


def _thousands(cells: Collection[str], sign: str) -> bool:
    """Whether ``sign`` stands between thousands: three digits follow it in every cell that has it."""
    marked = [cell for cell in cells if sign in cell]
    return len(marked) > 5 and all(re.search(rf"[1-9]\d{{0,2}}\{sign}\d{{3}}(?!\d)", cell) for cell in marked)


def _tail(source: Bytes, encoding: str, where: str) -> list[str]:
    """The last lines of a file."""
    if not isinstance(source, (Path, str, bytes)):
        return []
    kept = b""
    with open_bytes(source) as file:
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        if not hasattr(file, "seekable") or not file.seekable():
            while piece := bytes(file.read(2**22)):
                kept = (kept + piece)[-SAMPLE // 4 :]
        else:
            file.seek(max(0, size - SAMPLE // 4) // 4 * 4)
            kept = bytes(file.read())
    return [line for line in _text(kept, encoding.removesuffix("-sig"), where).splitlines() if line.strip(" ;,\t|")]


def _footer(lines: Sequence[str], delimiter: str, width: int, widths: Sequence[int]) -> int:
    last = split("\n".join(lines[-MOST_TOTALS - 20 :]), delimiter, widths)
    count = 0
    for record in reversed(last[1:]):
        if count == MOST_TOTALS or not is_total(record, width):
            break
        count += 1
    return count


# --------------------------------------------------------------------------- header


def _first_full(grid: Grid, width: int) -> int:
    """The first record with the usual number of fields, of which nearly all are filled."""
    for i, record in enumerate(grid[: MOST_NOTES + 1]):
        filled = sum(bool(cell.strip()) for cell in record)
        if len(record) == width and filled >= max(1, min(width - 1, math.ceil(0.8 * width))):
            return i
    return next(i for i, record in enumerate(grid) if any(cell.strip() for cell in record))


def _named_above(grid: Grid, top: int, target: str, width: int) -> dict[str, Any] | None:
    """Names of columns, of which the ``target``'s stands above the first full record: as of cells that span rows.

    None where it stands there, or nowhere above.
    """
    cells = [[cell.strip() for cell in (*record, *[""] * width)][:width] for record in grid[: top + 1]]
    first = next((i for i, record in enumerate(cells) if target in record), top)
    if first == top:
        return None
    body = [record for record in grid[top + 1 :] if len(record) == width][:200]
    rows = cells[first:] if is_header(cells[top], body) else cells[first:top]
    lowest = [next((cell for cell in reversed(column) if cell), "") for column in zip(*rows, strict=True)]
    if len(rows) == 1:
        return {"skip": first, "header": True}
    return {"skip": first + len(rows), "header": False, "columns": tuple(names_of(lowest))}


def _short_header(above: Grid, body: Grid) -> tuple[str, ...] | None:
    """Names from a header that is one field short: rows that end with a delimiter, or begin with R's row names."""
    if len(above) < 2 or len(above[-2]) != len(body[0]) - 1 or len(body) < 3:
        return None
    names = names_of(above[-2])
    if not is_header(above[-2], [row[1:] for row in body]) or not _are_names([cell.strip() for cell in above[-2]]):
        return None
    if all(not row[-1].strip() for row in body):
        return (*names, f"unnamed_{len(names) + 1}")
    return ("unnamed_1", *names) if _are_row_names([row[0] for row in body]) else None


def _are_row_names(cells: Sequence[str]) -> bool:
    """Whether these may be R's names of rows: each once, texts or integers that grow. A field too many is none."""
    if len(set(cells)) < len(cells):
        return False
    numbers = [parse_number(cell) for cell in cells]
    return not any(map(math.isfinite, numbers)) or all(a < b for a, b in itertools.pairwise(numbers))


def is_header(record: Sequence[str], body: Grid, *, second: bool = False) -> bool:
    """Whether the cells are names: not numbers where the column holds numbers, and not values of the column itself."""
    if not body:
        return not second
    numeric = like = texts = same = 0
    for i, cell in enumerate(record):
        values = {row[i].strip() for row in body if i < len(row)} - MISSING_NUMBER
        if not values or (second and not cell.strip()):
            continue
        if _numbers(values):
            numeric += 1
            like += _number(cell)
        else:
            texts += 1
            same += cell.strip() in values
    if second:  # units or descriptions under the names: no number where there are numbers
        return numeric > 0 and like == 0 and same == 0 and numeric >= 0.3 * len(record)
    if numeric and like >= max(1, 0.3 * numeric):
        return False
    return not (texts and same >= max(1, 0.3 * texts) and numeric == like)


def _number(cell: str) -> bool:
    return any(math.isfinite(parse_number(cell, "amount", sign)) for sign in (".", ","))


def _numbers(values: Collection[str]) -> bool:
    return sum(_number(value) for value in values) >= 0.9 * len(values)


def _two_headers(grid: Grid, first: int, second: int, target: str | None) -> dict[str, Any]:
    upper, lower = [[cell.strip() for cell in grid[i]] for i in (first, second)]
    if target in lower and target not in upper:
        return {"skip": second, "header": True}
    if (target in upper and target not in lower) or _are_names(upper):
        return {"skip": first, "header": True, "below": second - first}
    if _are_names(lower):
        return {"skip": second, "header": True}
    joined, above = [], ""
    for over, under in zip(upper, lower, strict=True):
        above = over or above
        joined.append(" ".join(part for part in (above, under) if part))
    return {"skip": second + 1, "header": False, "columns": tuple(names_of(joined))}


def _are_names(cells: Sequence[str]) -> bool:
    return all(cells) and len(set(cells)) == len(cells)
