"""Files that went wrong on their way: never a traceback, never a planted leak as input, always one clear sentence."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.lender import ID, TARGET, TIME, history

from riskloop.core.errors import RiskloopError
from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows

FRAME = history(150, seed=4)
Damage = Callable[[bytes, np.random.Generator], bytes]


def _lines(change: Callable[[list[bytes], np.random.Generator], Any]) -> Damage:
    def damage(content: bytes, rng: np.random.Generator) -> bytes:
        lines = content.split(b"\n")
        changed = change(lines, rng)
        return b"\n".join(changed if isinstance(changed, list) else lines)

    return damage


def _at(lines: list[bytes], rng: np.random.Generator) -> int:
    return int(rng.integers(0, max(1, len(lines) - 1)))


def _within(change: Callable[[bytes, int, np.random.Generator], bytes]) -> Damage:
    return lambda content, rng: change(content, int(rng.integers(0, len(content))), rng)


def _set(lines: list[bytes], place: int, value: bytes) -> None:
    lines[place] = value


DAMAGES: dict[str, Damage] = {
    "cut off": lambda c, rng: c[: rng.integers(0, len(c) + 1)],
    "a byte": _within(lambda c, p, rng: c[:p] + rng.bytes(1) + c[p + 1 :]),
    "some bytes": _within(lambda c, p, rng: c[:p] + rng.bytes(40) + c[p:]),
    "no bytes": lambda c, rng: b"",
    "a quote": _within(lambda c, p, rng: c[:p] + b'"' + c[p:]),
    "a line twice": _lines(lambda x, rng: x.insert(_at(x, rng), x[_at(x, rng)])),
    "a line lost": _lines(lambda x, rng: x.pop(_at(x, rng))),
    "a field lost": _lines(lambda x, rng: _set(x, p := _at(x, rng), x[p].rpartition(b",")[0])),
    "a field more": _lines(lambda x, rng: _set(x, p := _at(x, rng), x[p] + b",7")),
    "lines swapped": _lines(lambda x, rng: x[::-1]),
    "no header": _lines(lambda x, rng: x[1:]),
    "a header again": _lines(lambda x, rng: x.insert(len(x) // 2, x[0])),
    "a note": _lines(lambda x, rng: x.insert(0, b"Report of the month")),
    "totals": _lines(lambda x, rng: x.append(b"Total,,1,2,,3")),
    "semicolons": lambda c, rng: c.replace(b",", b";"),
    "some semicolons": _lines(lambda x, rng: _set(x, p := _at(x, rng), x[p].replace(b",", b";"))),
    "another encoding": lambda c, rng: c.decode(errors="replace").encode("utf-16"),
    "Windows": lambda c, rng: c.decode(errors="replace").encode("cp1252", errors="replace"),
    "zeros": lambda c, rng: c.replace(b"7", b"\0"),
    "text in numbers": lambda c, rng: c.replace(b".1", b".l"),
    "a far date": lambda c, rng: c.replace(b"2022-", b"0022-", 1),
    "other dates": lambda c, rng: c.replace(b"2022-0", b"22/0"),
    "a missing word": lambda c, rng: c.replace(b"Auto", b"?").replace(b"car", b"N/A"),
    "no target": lambda c, rng: c.replace(b",1\n", b",\n"),
    "one class": lambda c, rng: c.replace(b",1\n", b",0\n"),
    "odd targets": lambda c, rng: c.replace(b",1\n", b",2\n", 1),
    "a column twice": lambda c, rng: c.replace(b"income", b"late", 1),
    "a nameless column": lambda c, rng: c.replace(b"income", b"", 1),
    "carriage returns": lambda c, rng: c.replace(b"\n", b"\r"),
}

PLANTED: dict[str, Callable[[np.ndarray, np.random.Generator], Any]] = {
    "recoveries": lambda bad, rng: np.where(bad, rng.uniform(1, 900, len(bad)).round(2), 0),
    "chargeoff_date": lambda bad, rng: np.where(bad, "2024-05-01", ""),
    "loan_status": lambda bad, rng: np.where(bad, "Charged Off", "Fully Paid"),
    "row": lambda bad, rng: np.arange(len(bad)),
}


def survives(names: list[str], leak: str | None, seed: int, folder: Path) -> str:
    """What becomes of a damaged file: 'read', or the sentence with which it is refused."""
    rng = np.random.default_rng(seed)
    frame = FRAME
    if leak is not None:
        frame = frame.sort_values(TARGET, ignore_index=True)
        bad = frame[TARGET].to_numpy() == 1
        frame = frame.assign(**{leak: PLANTED[leak](bad, rng)})[[*frame.columns[:-1], leak, TARGET]]
    content = frame.to_csv(index=False).encode()
    for name in names:
        content = DAMAGES[name](content, rng) if content else content
    (folder / "h.csv").write_bytes(content)
    try:
        found = examine(folder / "h.csv", Wanted(TARGET, id=ID, time=TIME))
        assert leak not in {c.name for c in found.of("input")}
        assert found.target.sentence.startswith("Default rate: ")
        config = parse_settings(config_text(found))
        checked = read_rows(folder / "h.csv", config.row_schema, target="required", where="h.csv", dialect=config.data)
        assert checked.rows.target is not None
        assert set(np.unique(checked.rows.target)) == {0.0, 1.0}
        assert checked.source.places([entry.position for entry in checked.refused[:20]]) is not None
        return "read"
    except RiskloopError as error:
        said = error.message
    assert "h.csv" in said, said
    assert said.endswith((".", "?")), said
    assert "Traceback" not in said
    return said


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(sorted(DAMAGES)), min_size=1, max_size=3),
    st.none() | st.sampled_from(sorted(PLANTED)),
    st.integers(0, 2**32 - 1),
)
def test_a_damaged_file_is_read_or_refused_in_a_sentence(names: list[str], leak: str | None, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        survives(names, leak, seed, Path(folder))


def test_most_single_damages_do_not_stop_anybody(tmp_path: Path) -> None:
    said = {name: survives([name], None, 7, tmp_path) for name in DAMAGES}
    stopped = {name for name, sentence in said.items() if sentence != "read"}
    assert stopped <= {
        "no bytes", "cut off", "zeros", "no header", "other dates", "no target", "one class", "a column twice",
        "a quote", "lines swapped", "some bytes", "text in numbers", "a byte",
    }, said  # fmt: skip
    assert pd.Series(said).eq("read").sum() > 15
