"""Files of outcomes without a header line: read where only one reading is left, else refused with what to pass."""

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import to_micros
from riskloop.data.outcomes import HandedIn, read_handed_in

NOW = datetime(2025, 9, 1, tzinfo=UTC)
SCHEMA = Schema((Feature("debt"),), target="bad", id="loan")
IDS = [f"L-{i:03d}" for i in range(40)]
BAD = [i % 7 == 0 for i in range(40)]
DAYS = [f"2025-0{1 + i % 8}-1{i % 9}" for i in range(40)]
HISTORY = DataSettings(header=False, columns=("loan", "debt", "bad"), delimiter=";")

WAYS: dict[str, Callable[[str], bytes]] = {
    "commas": lambda text: text.encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode("utf-16"),
    "packed": lambda text: gzip.compress(text.encode()),
}
WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, str]]] = {
    "numbers": ((), (), ("1", "0")),
    "ja and nein": ((), (), ("ja", "nein")),
    "yes and no": ((), (), ("yes", "no")),
    "states": (("Charged Off",), ("Fully Paid",), ("Charged Off", "Fully Paid")),
    "one state": (("Charged Off",), (), ("Charged Off", "Fully Paid")),
    "some undecided": (("Charged Off",), ("Fully Paid",), ("Charged Off", "Current")),
    "the API's numbers": (("Charged Off",), ("Fully Paid",), ("1", "0")),
}


def lines(*columns: list[str]) -> str:
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True))


def handed(content: bytes, schema: Schema, dialect: DataSettings, folder: Path, *, stream: bool = False) -> HandedIn:
    (folder / "o.csv").write_bytes(content)
    source = io.BytesIO(content) if stream else folder / "o.csv"
    return read_handed_in(source, schema, dialect, NOW, strict=False, empty=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("dialect", [DataSettings(), HISTORY], ids=["a history with names", "one without"])
def test_who_and_what_are_told_by_the_values(way: str, words: str, dialect: DataSettings, tmp_path: Path) -> None:
    bad, good, (default, none) = WORDS[words]
    schema = msgspec.structs.replace(SCHEMA, bad=bad, good=good)
    said = [default if b else none for b in BAD]
    for columns in ([IDS, said], [said, IDS], [IDS, DAYS, said], [DAYS, said, IDS]):
        read = handed(WAYS[way](lines(*columns)), schema, dialect, tmp_path)
        if none == "Current":
            assert list(read.labels.customers) == IDS[::7]
            assert len(read.waiting.rows) == BAD.count(False)
            continue
        assert list(read.labels.customers) == IDS
        assert read.labels.defaulted.tolist() == BAD
        known = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in DAYS] if DAYS in columns else [NOW] * 40
        assert read.labels.known_at.tolist() == [to_micros(moment) for moment in known]
        assert any("without a header line as" in note and "loan" in note for note in read.notes)


def test_without_an_id_it_is_about_decisions_and_a_stream_is_read_alike(tmp_path: Path) -> None:
    schema = msgspec.structs.replace(SCHEMA, id=None)
    numbers = [str(i + 2) for i in range(40)]
    for stream in (False, True):
        content = lines(numbers, [str(int(b)) for b in BAD]).encode()
        read = handed(content, schema, DataSettings(), tmp_path, stream=stream)
        assert read.labels.decision_ids.tolist() == [i + 2 for i in range(40)]


def test_a_file_laid_out_as_the_history_is_read_by_its_positions(tmp_path: Path) -> None:
    said = [str(int(b)) for b in BAD]
    debts = [str(i % 9 + 1) for i in range(40)]
    for dialect in (HISTORY, HISTORY.model_copy(update={"delimiter": ","})):
        read = handed(lines(IDS, debts, said).encode(), SCHEMA, dialect, tmp_path)
        assert list(read.labels.customers) == IDS
        assert read.labels.defaulted.tolist() == BAD
    late = msgspec.structs.replace(SCHEMA, bad=(">=90",))
    past_due = [str(90 + i) if b else "0" for i, b in enumerate(BAD)]
    assert handed(lines(IDS, debts, past_due).encode(), late, HISTORY, tmp_path).labels.defaulted.tolist() == BAD
    named = "loan,bad\n" + lines(IDS, said)
    assert handed(named.encode(), SCHEMA, HISTORY, tmp_path).labels.defaulted.tolist() == BAD


SAID = [str(int(b)) for b in BAD]
UNCLEAR: dict[str, tuple[list[list[str]], Schema, str]] = {
    "two flags": ([SAID, SAID[::-1]], SCHEMA, "loan,bad"),
    "two numbers beside the outcome": ([IDS, SAID, [str(i * 3) for i in range(40)]], SCHEMA, "loan,bad,known_at"),
    "no outcome": ([IDS, DAYS], SCHEMA, "loan,bad"),
    "one column": ([IDS], SCHEMA, "loan"),
    "a date that may be the decision's": (
        [IDS, DAYS, SAID],
        msgspec.structs.replace(SCHEMA, time="applied"),
        "loan,bad,known_at",
    ),
    "two dates": ([IDS, DAYS, DAYS, SAID], SCHEMA, "loan,bad,known_at,…"),
    "numbers above a bound": (
        [[str(i * 31) for i in range(40)], [str(i % 120) for i in range(40)]],
        msgspec.structs.replace(SCHEMA, bad=(">=90",)),
        "loan,bad",
    ),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_may_be_read_in_two_ways_is_refused_with_what_to_pass(name: str, tmp_path: Path) -> None:
    columns, schema, option = UNCLEAR[name]
    with pytest.raises((ConfigError, DataError)) as caught:
        handed(lines(*columns).encode(), schema, DataSettings(), tmp_path)
    assert f"--columns {option}" in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_columns_that_are_named_are_read_as_that(way: str, tmp_path: Path) -> None:
    dated = msgspec.structs.replace(SCHEMA, time="applied")
    for names, schema in ((("loan", "known_at", "bad"), dated), (("loan", "applied", "default"), dated)):
        dialect = DataSettings(header=False, columns=names)
        read = handed(WAYS[way](lines(IDS, DAYS, SAID)), schema, dialect, tmp_path)
        assert read.labels.defaulted.tolist() == BAD
        days = read.labels.known_at if names[1] == "known_at" else read.labels.decided
        assert days is not None
        assert days.tolist() == [to_micros(datetime.fromisoformat(day).replace(tzinfo=UTC)) for day in DAYS]
