import gzip
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskloop.core.errors import DataError, MalformedBody, NotFound
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import to_micros
from riskloop.data.outcomes import read_handed_in, read_outcomes, read_plain, read_watermark, report_outcomes
from riskloop.data.read import read_rows
from riskloop.store.matching import Labels
from riskloop.store.outcomes import Outcome

NOW = datetime(2025, 5, 1, tzinfo=UTC)
SCHEMA = Schema((Feature("debt", "number"),), target="bad", id="id")


def read(text: str) -> list[Outcome]:
    return read_outcomes(io.BytesIO(text.encode()), SCHEMA, default_known_at=NOW)


def test_files_and_frames_say_the_same(tmp_path: Path) -> None:
    text = "id,bad,known_at,note\n007,1,2025-04-01,x\nanna,no,,y\n"
    expected = [
        Outcome(True, datetime(2025, 4, 1, tzinfo=UTC), None, "007"),
        Outcome(False, NOW, None, "anna"),
    ]
    frame = pd.DataFrame({"id": ["007", "anna"], "bad": [True, False], "known_at": [pd.Timestamp("2025-04-01"), None]})
    (tmp_path / "o.csv.gz").write_bytes(gzip.compress(text.encode()))
    frame.to_parquet(tmp_path / "o.parquet")
    assert read(text) == expected
    for source in (frame, tmp_path / "o.csv.gz", tmp_path / "o.parquet"):
        assert read_outcomes(source, SCHEMA, default_known_at=NOW) == expected


@pytest.mark.parametrize(
    ("bad", "good"), [("Y", "N"), ("y", "n"), ("YES", "no"), ("True", "FALSE"), ("1", "0"), ("1.0", "0.0")]
)
def test_what_trains_as_a_target_is_an_outcome(tmp_path: Path, bad: str, good: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(f"id,debt,bad\na,1,{bad}\nb,2,{good}\n", encoding="utf-8")
    rows = read_rows(path, SCHEMA, target="required", where="history.csv").rows
    assert rows.target is not None
    assert rows.target.tolist() == [1.0, 0.0]
    text = f"id,bad\na,{bad}\nb,{good}\n"
    for found in (read(text), read_outcomes(pd.read_csv(io.StringIO(text)), SCHEMA, default_known_at=NOW)):
        assert [one.defaulted for one in found] == [True, False]


def test_numbers_of_decisions_may_have_become_floats() -> None:
    frame = pd.DataFrame({"decision_id": [7.0, 8.0], "bad": [1, 0]})
    found = read_outcomes(frame, SCHEMA, default_known_at=NOW)
    assert [(o.decision_id, o.defaulted) for o in found] == [(7, True), (8, False)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decision_id,bad\n99999999999999999999,1\n", "row 1 has a decision_id that is not a whole number"),
        ("id,bad,known_at\na,1,1901-01-01\n", "row 1 has a known_at before 1980-01-01"),
        ("id,bad,known_at\na,1,1979-12-31T23:59:59Z\n", "row 1 has a known_at before 1980-01-01"),
        ("decision_id,bad\n1,1\n1,0\n", "row 2 contradicts row 1"),
        ("id,bad,known_at\na,1,0001-01-01T00:00:00+14:00\n", "row 1 needs a time as known_at"),
        ("id,bad\na,2\nb,3\n", r"row 1 needs 0 or 1 as its outcome \(1 more problems\)"),
        ("id,bad,bad\na,1,0\n", "the column 'bad' twice"),
        ("id,when\na,1\n", "need a column 'bad' or 'default'; they have id, when"),
        ("id,bad\n", "hold no rows"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(text)


@pytest.mark.parametrize("text", ["decision_id,bad\n5,1,0\n", "decision_id,bad\n5\n", "decision_id;bad\n5;1;0\n"])
def test_a_ragged_table_never_shifts_its_columns(text: str) -> None:
    with pytest.raises(MalformedBody):
        read(text)


def test_of_what_became_known_later_both_are_kept() -> None:
    assert len(read("id,bad,known_at\na,0,2025-03-01\na,1,2025-04-01\n")) == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_outcomes(tmp_path / "no.csv", SCHEMA, default_known_at=NOW)


@pytest.mark.parametrize("given", ["0001-01-01", "1979-12-30", "9999-12-31T23:59:59+00:00", "1"])
def test_a_watermark_has_plausible_bounds(given: str) -> None:
    if given.startswith("9999"):
        assert read_watermark(given, "1980-01-01").year == 9999
        return
    with pytest.raises(DataError, match="complete until"):
        read_watermark(given, "1980-01-01")


def test_the_last_day_of_all_is_no_watermark() -> None:
    with pytest.raises(DataError, match="complete until"):
        read_watermark("9999-12-31", "1980-01-01")  # its end is no date


# --------------------------------------------------------------------------- the quick way


WORDS = {
    "whole": st.sampled_from(["1", "0", "yes", "No", " 1", "true", "1.0"]),
    "odd": st.sampled_from(["1", "0", "", "maybe", "NA"]),
}
MOMENTS = st.sampled_from(["", "2025-04-01", "2025-04-01T12:30Z", "2025-04-02 08:00", "1.4.2025"])
ODD_MOMENTS = st.sampled_from(["", "2025-04-01", "tomorrow", "2031-01-01", "1600-01-01"])
IDS = {
    "decision_id": st.sampled_from(["1", "2", "77", "3.0", "+4", "-1", "0x1F", "", "9" * 19]),
    "customer": st.sampled_from(["anna", "007", "7.0", "7", " bob ", "", "NA", "-", "\u00e4", "true", "True"]),
}


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["decision_id", "customer"]),
    st.sampled_from(["whole", "odd"]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=8),
    st.data(),
)
def test_the_quick_way_reads_what_the_careful_one_reads(
    kind: str, words: str, odd: bool, rows: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Where every row can be read; else it leaves them to the careful one, which says what is wrong."""
    name = "decision_id" if kind == "decision_id" else SCHEMA.id
    plain = st.integers(1, 10**6).map(str) if data.draw(st.booleans()) else IDS[kind]
    table = {
        name: [data.draw(plain) for _ in rows],
        "known_at": [data.draw(ODD_MOMENTS if odd else MOMENTS) for _ in rows],
        SCHEMA.target: [data.draw(WORDS[words]) for _ in rows],
    }
    frame = pd.DataFrame(table)
    quick = read_plain(frame, SCHEMA, DataSettings(), NOW)
    try:
        careful = read_outcomes(frame, SCHEMA, default_known_at=NOW)
    except DataError:
        assert quick is None
        return
    if quick is not None:
        wanted, found = Labels.of(careful), quick.labels
        assert found.decision_ids.tolist() == wanted.decision_ids.tolist()
        assert list(found.customers) == list(wanted.customers)
        assert found.defaulted.tolist() == wanted.defaulted.tolist()
        assert found.known_at.tolist() == wanted.known_at.tolist()
        assert found.places(range(len(rows))) == [outcome.place for outcome in careful]


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_ordinary_files_are_read_the_quick_way(tmp_path: Path, kind: str) -> None:
    known = pd.to_datetime(["2025-04-01", "2025-04-02"], utc=True)
    frame = pd.DataFrame({"decision_id": [5, 6], SCHEMA.target: [1, 0], "known_at": known, "note": ["a", "b"]})
    path = tmp_path / f"labels.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path, index=False)
    handed = read_plain(frame if kind == "frame" else path, SCHEMA, DataSettings(), NOW)
    assert handed is not None
    read = handed.labels
    assert (read.decision_ids.tolist(), read.defaulted.tolist()) == ([5, 6], [True, False])
    assert read.known_at.tolist() == [to_micros(moment.to_pydatetime()) for moment in known]


BODIES = {
    "by customer": b"id,bad,known_at\nanna,1,2025-04-01\n007,0,\n",
    "by decision, other words": b"decision_id,bad\n5,yes\n6,no\n7,1\n",
    "semicolons": b"id;bad\nanna;1\n007;0\n",
    "without a header": b"anna,1\n007,0\n",
    "its header twice": b"id,bad\nanna,1\nid,bad\n007,0\n",
    "not decided": b"id,bad\nanna,1\n007,\n",
    "one that cannot be read": b"id,bad\n" + b"".join(b"c%d,1\n" % n for n in range(400)) + b"x,maybe\n",
    "uneven": b"id,bad\n" + b"".join(b"c%d,1\n" % n for n in range(400)) + b"x,0,1,2\n",
    "contradicting": b"id,bad\nanna,1\nanna,0\n",
    "no outcome": b"id,note\nanna,1\n",
    "empty": b"",
}


def told(source: Any, strict: bool) -> object:
    """What was read, or why it was not, without what rows are called: lines in a file, rows in a body."""
    try:
        read = read_handed_in(source, SCHEMA, DataSettings(max_refused=0.1), NOW, strict=strict, empty=False)
    except DataError as error:
        return [(problem.problem.split(" line ")[0].split(" row ")[0], problem.value) for problem in error.details]
    one = read.labels
    columns = one.decision_ids.tolist(), list(one.customers), one.defaulted.tolist(), one.known_at.tolist()
    return columns, len(read.refused), len(read.waiting.rows), read.notes


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("before", [b"", b"what was read before"])
def test_a_body_is_read_as_a_file_is_and_from_where_it_stands(
    tmp_path: Path, name: str, strict: bool, before: bytes
) -> None:
    (tmp_path / "o.csv").write_bytes(BODIES[name])
    with tempfile.SpooledTemporaryFile(max_size=64) as body:
        body.write(before + BODIES[name])
        body.seek(len(before))
        assert told(body, strict) == told(tmp_path / "o.csv", strict)


@pytest.mark.parametrize("rows", [1, 3000])
@pytest.mark.parametrize("name", ["by customer", "by decision, other words", "semicolons"])
def test_ordinary_bodies_are_read_the_quick_way(monkeypatch: pytest.MonkeyPatch, name: str, rows: int) -> None:
    monkeypatch.setattr("riskloop.data.outcomes._Outcomes", None)
    header, *lines = BODIES[name].splitlines()
    body = b"\n".join([header, *lines * rows])
    assert len(read_handed_in(io.BytesIO(body), SCHEMA, DataSettings(), NOW, strict=True, empty=False).labels)


def test_the_date_of_the_decision_tells_a_customers_rows_apart() -> None:
    panel = Schema((Feature("debt"),), target="bad", id="id", time="month")
    text = "id,month,bad\na,202501,0\na,202502,1\na,,1\n"
    found = read_outcomes(io.BytesIO(text.encode()), panel, default_known_at=NOW)
    months = [None if o.decided is None else (o.decided.month, o.defaulted) for o in found]
    assert months == [(1, False), (2, True), None]
    with pytest.raises(DataError, match="contradicts"):
        read_outcomes(io.BytesIO(b"id,month,bad\na,202501,0\na,202501,1\n"), panel, default_known_at=NOW)


def test_what_is_not_decided_yet_is_set_aside_and_no_error() -> None:
    words = Schema((Feature("debt"),), target="status", id="id", bad=("Charged Off",), good=("Paid",))
    text = "id,status\n" + "".join(f"{i},{('Paid', 'Current', 'Charged Off')[i % 3]}\n" for i in range(30))
    read = report_outcomes(io.BytesIO(text.encode()), words, default_known_at=NOW)
    assert (len(read.outcomes), len(read.refused), read.rows) == (20, 0, 30)
    assert (len(read.waiting.rows), dict(read.waiting.values)) == (10, {"Current": 10})
    assert "10 rows have no outcome yet and are left out: 'Current' (10)" in read.waiting.sentence
    assert len(read_outcomes(io.BytesIO(text.encode()), words, default_known_at=NOW)) == 20
    plain = text.replace("Paid", "0").replace("Charged Off", "1").replace("status", "bad")
    with pytest.raises(DataError, match="10 of the 30 outcomes cannot be read"):
        report_outcomes(io.BytesIO(plain.encode()), SCHEMA, default_known_at=NOW)


STATES = ("Current", "In Grace Period", "Late (16-30 days)", "", "not decided")


@pytest.mark.parametrize(("bad", "good"), [("Charged Off", "Fully Paid"), ("loss", "closed"), ("2", "1"), ("B", "G")])
@pytest.mark.parametrize("state", STATES)
def test_states_that_are_no_end_are_counted_by_their_values(bad: str, good: str, state: str, tmp_path: Path) -> None:
    schema = Schema((Feature("debt"),), target="status", id="id", bad=(bad,), good=(good,))
    values = [bad, good, state, state, "Open" if state else ""]
    (tmp_path / "o.csv").write_text("id,status\n" + "".join(f"c{i},{v}\n" for i, v in enumerate(values)))
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(5)], "status": values})
    for source in (tmp_path / "o.csv", frame):
        for strict in (False, True):
            read = read_handed_in(source, schema, DataSettings(), NOW, strict=strict, empty=False)
            assert (read.labels.defaulted.tolist(), read.refused) == ([True, False], ())
            assert len(read.waiting.rows) == 3
            assert (f"'{state}' (2)" if state else "blank (3)") in read.waiting.sentence


@pytest.mark.parametrize("slip", ["Chraged Off", "charged of", "Fully  Paidd", "Fuly Paid"])
def test_a_slip_of_the_pen_is_an_error_and_no_state(slip: str) -> None:
    schema = Schema((Feature("debt"),), target="status", id="id", bad=("Charged Off",), good=("Fully Paid",))
    text = "id,status\n" + "".join(f"{i},Fully Paid\n" for i in range(40)) + f"x,{slip}\ny,Late (16-30 days)\n"
    read = report_outcomes(io.BytesIO(text.encode()), schema, default_known_at=NOW)
    assert (len(read.outcomes), len(read.waiting.rows)) == (40, 1)
    assert "looks like it" in read.refused[0]


@pytest.mark.parametrize(("bad", "good", "state"), [("Late 90", "Late 0", "Late 30"), (">=90", "<30", "45")])
def test_states_that_differ_in_their_digits_are_no_slips(bad: str, good: str, state: str) -> None:
    schema = Schema((Feature("debt"),), target="status", id="id", bad=(bad,), good=(good,))
    values = [("120" if bad[0] == ">" else bad), ("5" if good[0] == "<" else good), state]
    text = "id,status\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
    read = report_outcomes(io.BytesIO(text.encode()), schema, default_known_at=NOW)
    assert (len(read.outcomes), len(read.waiting.rows), read.refused) == (2, 1, [])


def test_a_blank_outcome_is_none_where_the_history_says_so() -> None:
    blanks = Schema((Feature("debt"),), target="bad", id="id", bad=("X",), good=("",))
    read = report_outcomes(io.BytesIO(b"id,bad\na,X\nb,\n"), blanks, default_known_at=NOW)
    assert [o.defaulted for o in read.outcomes] == [True, False]
