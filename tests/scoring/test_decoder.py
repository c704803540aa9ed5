import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskloop.core.cells import NO_DATE, NO_VALUE
from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.schema import Feature, Schema
from riskloop.data.columns import Problems, read_ids
from riskloop.scoring.decoder import CLOCK_SKEW, Decoder, Parsed

NOW = 1_760_000_000_000_000  # October 2025

SCHEMA = Schema(
    features=(
        Feature("AGE", low=18, high=100),
        Feature("income", nullable=True),
        Feature("EDUCATION", "category", categories=("1", "2", "other"), unseen="flag"),
        Feature("flat", "category", categories=("true", "false"), nullable=True),
        Feature("a b-ü", "category", categories=("x", "7"), protected=True),
    ),
    target="default",
    id="ID",
    time="date",
    ignored=("note",),
)
DECODER = Decoder(SCHEMA)
ROW: dict[str, Any] = {"ID": 5, "AGE": 30, "income": 1.5, "EDUCATION": "2", "flat": True, "a b-ü": "x"}


def decode(**changes: Any) -> Parsed:
    return DECODER.row(json.dumps({**ROW, **changes}).encode(), NOW)


def values(parsed: Parsed) -> list[float]:
    return [float(value) for value in np.frombuffer(parsed.features, dtype="<f8")]


def refused(**changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(DataError) as caught:
        decode(**changes)
    return [(p.field, p.problem) for p in caught.value.details]


def test_a_row_becomes_numbers_in_the_schemas_order() -> None:
    parsed = decode()
    assert values(parsed) == [30.0, 1.5, 1.0, 0.0, 0.0]
    assert (parsed.customer_id, parsed.time, parsed.unseen) == ("5", 0, None)


@pytest.mark.parametrize("spelling", [2, 2.0, "2", "2.0", " 2 "])
def test_a_level_is_read_as_files_read_it(spelling: Any) -> None:
    assert values(decode(EDUCATION=spelling))[2] == 1.0


def test_true_is_not_the_level_1() -> None:
    assert values(decode(EDUCATION=True))[2] == 3.0


def test_missing_and_unseen_are_coded_and_what_was_unseen_is_kept() -> None:
    row = {k: v for k, v in ROW.items() if k != "flat"}
    parsed = DECODER.row(json.dumps({**row, "income": None, "EDUCATION": "PhD"}).encode(), NOW)
    assert parsed.unseen == {"EDUCATION": "PhD"}
    assert math.isnan(values(parsed)[1])
    assert math.isnan(values(parsed)[SCHEMA.positions["flat"]])
    assert values(parsed)[2] == 3.0


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"AGE": 17}, "AGE", "is outside the range [18, 100]"),
        ({"AGE": "17"}, "AGE", "is outside the range [18, 100]"),
        ({"AGE": None}, "AGE", "is missing, and may not be (nullable = false)"),
        ({"AGE": "thirty"}, "AGE", "is not a number"),
        ({"AGE": True}, "AGE", "is not a number"),
        ({"AGE": [1]}, "AGE", "is not a number"),
        ({"income": math.nan}, "income", "is NaN, which JSON does not have; send null"),
        ({"income": math.inf}, "income", "is infinite"),
        ({"a b-ü": "y"}, "a b-ü", "is not one of its levels (x, 7)"),
        ({"a b-ü": 7.5}, "a b-ü", "is not one of its levels (x, 7)"),
        ({"ID": None}, "ID", "is missing"),
        ({"ID": ""}, "ID", "is missing"),
        ({"ID": "x" * 201}, "ID", "has more than 200 characters"),
        ({"ID": 1.5}, "ID", "is neither a text nor a whole number; an id is one of them"),
        ({"ID": 2.0**64}, "ID", "has lost digits as a decimal number; write it as text"),
        ({"date": "soon"}, "date", NO_DATE),
        ({"date": ""}, "date", "is missing; a decision needs a date"),
        ({"date": "2999-01-01"}, "date", "is read as the year 2999, which is outside of 1900 to 2100"),
        ({"date": "0001-01-01"}, "date", "is read as the year 1, which is outside of 1900 to 2100"),
        ({"date": "1979-12-31"}, "date", "is before 1980-01-01 ('earliest' of [portfolio])"),
        ({"date": "2099-01-01"}, "date", "is in the future (a time without a zone is read as UTC)"),
        ({"default": 1}, "default", "is the target, which a request must not hold"),
        ({"shoe": 42}, "shoe", "is not a field of this portfolio"),
    ],
)
def test_each_wrong_value_is_named(changes: dict[str, Any], field: str, problem: str) -> None:
    assert refused(**changes) == [(field, problem)]


def test_everything_wrong_is_named_at_once() -> None:
    row = json.dumps({"AGE": 7, "a b-ü": "x", "shoe": 42}).encode()
    with pytest.raises(DataError) as caught:
        DECODER.row(row, NOW)
    assert [p.field for p in caught.value.details] == ["AGE", "EDUCATION", "ID", "shoe"]
    assert caught.value.details[0].value == 7


NO_JSON = [b"", b"{", b"[]", b"3", b"null", b"\xff{}", b'{"AGE": 1}}', b"{" * 100_000]
NO_TEXT = [b'\xef\xbb\xbf{"AGE": 1}', b'{"\\ud800": 1}', b'{"EDUCATION": "\\ud800"}', '{"AGE": 1}'.encode("utf-16")]


@pytest.mark.parametrize("body", NO_JSON + NO_TEXT)
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        DECODER.row(body, NOW)


def test_a_number_too_large_for_a_double_is_refused() -> None:
    for number in ("1e999", "1" + 400 * "0"):
        body = json.dumps(ROW).replace("1.5", number).encode()
        with pytest.raises(DataError, match="income is infinite") as caught:
            DECODER.row(body, NOW)
        assert msgspec.json.encode(caught.value.as_json())


def test_times_are_read_as_utc_and_clocks_may_run_a_little_ahead() -> None:
    assert decode(date="2025-05-01").time == 1_746_057_600_000_000
    assert decode(date="2025-05-01T02:00:00+02:00").time == 1_746_057_600_000_000
    assert decode(date=202505).time == 1_746_057_600_000_000
    ahead = "2025-10-09T08:57:00Z"  # three minutes after NOW
    assert NOW < decode(date=ahead).time < NOW + CLOCK_SKEW


@pytest.mark.parametrize("name", ["\0", "a\0b", "a\n\0"])
def test_an_id_that_not_every_database_can_keep_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="must not hold the character NUL"):
        decode(ID=name)
    assert decode(ID=name.replace("\0", "\x01\n")).customer_id == name.replace("\0", "\x01\n").strip()


@pytest.mark.parametrize("spelling", [503322, 503322.0, "503322", "503322.0", " 503322", "503322\u200b"])
def test_an_id_is_read_as_files_read_it(spelling: Any) -> None:
    assert decode(ID=spelling).customer_id == "503322"
    frame = pa.chunked_array([pa.array([spelling])])
    assert read_ids(frame, "ID", Problems(positions=np.arange(1))) == ["503322"]


@pytest.mark.parametrize("spelling", [1.5, 1e300, float(2**53), "NaN", "", " ", None, True, [1], "null"])
def test_what_is_no_id_is_refused(spelling: Any) -> None:
    assert [field for field, _ in refused(ID=spelling)] == ["ID"]


def test_a_period_may_be_a_decimal_number() -> None:
    assert decode(date=202505.0) == decode(date=202505)
    assert [field for field, _ in refused(date=202505.5)] == ["date"]


def test_columns_that_nobody_reads_may_come_along() -> None:
    assert decode(note={"any": ["thing"]}) == decode()


def test_without_an_id_column_there_is_no_customer() -> None:
    decoder = Decoder(Schema((Feature("x"),), target="y"))
    assert decoder.row(b'{"x": 1}', NOW).customer_id == ""
    with pytest.raises(DataError):
        decoder.row(b'{"x": 1, "ID": 3}', NOW)


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 120),
    st.floats(width=32),
    st.sampled_from(
        ["1", "2", "x", "7", "true", "other", " 2 ", "2.0", "2025-01-01", "", "z" * 201, "30", " 1e1 ", "NA", "inf"]
    ),
    st.lists(st.integers(), max_size=1),
)


@pytest.mark.parametrize("number", [503322, 2**64, -5, 0])
def test_a_whole_number_of_any_length_is_an_id(number: int) -> None:
    assert decode(ID=number).customer_id == str(number)


def outcome(read: Callable[[], Parsed]) -> Any:
    try:
        return read()
    except DataError as error:
        return error.details


@given(st.dictionaries(st.sampled_from([*ROW, "date", "note", "default", "shoe"]), ANYTHING))
def test_the_fast_and_the_slow_reader_agree(changes: dict[str, Any]) -> None:
    row = {**ROW, **changes}
    assert outcome(lambda: DECODER.row(json.dumps(row).encode(), NOW)) == outcome(lambda: DECODER.cells(row, NOW))


def test_special_codes_pass_the_range_and_nothing_between_does() -> None:
    schema = Schema((Feature("score", low=300, high=850, nullable=True, special=(-9999.0, 999.0)),), target="y")
    decoder = Decoder(schema)
    for value in (300.0, 850.0, -9999.0, 999.0):
        assert values(decoder.row(json.dumps({"score": value}).encode(), NOW)) == [value]
    assert math.isnan(values(decoder.row(b'{"score": null}', NOW))[0])
    for value in (-1.0, 299.0, 900.0, -10000.0):
        with pytest.raises(DataError, match=r"is outside the range \[300, 850\]"):
            decoder.row(json.dumps({"score": value}).encode(), NOW)


@pytest.mark.parametrize("name", ['say "hi"', "a\\b", "Revenue\n(EUR)", "tab\there", "\ufdd0f0"])
def test_a_column_may_have_any_name(name: str) -> None:
    schema = Schema((Feature(name), Feature("x", nullable=True)), target="y", id="i" + name)
    decoder = Decoder(schema)
    assert values(decoder.row(json.dumps({name: 2.5, "i" + name: 7}).encode(), NOW))[0] == 2.5
    for bad, said in (({name: "z", "i" + name: 7}, "is not a number"), ({"i" + name: 7}, NO_VALUE)):
        with pytest.raises(DataError) as caught:
            decoder.row(json.dumps(bad).encode(), NOW)
        assert (caught.value.details[0].field, caught.value.details[0].problem) == (name, said)
    with pytest.raises(DataError, match="is not a field"):
        decoder.row(json.dumps({name: 1, "i" + name: 7, "\ufdd0f1": 3}).encode(), NOW)
    with pytest.raises(MalformedBody):
        decoder.row(b"[1]", NOW)


@pytest.mark.parametrize(("decimal", "text", "number"), [(",", "1.234,5 €", 1234.5), (".", "1,234.5", 1234.5)])
def test_amounts_that_come_as_text_have_the_files_decimal_sign(decimal: str, text: str, number: float) -> None:
    decoder = Decoder(Schema((Feature("pay", written="amount"),), target="y", decimal=decimal))
    assert values(decoder.row(json.dumps({"pay": text}).encode(), NOW)) == [number]
    with pytest.raises(DataError):
        decoder.row(json.dumps({"pay": "12" + ("." if decimal == "," else ",") + "34"}).encode(), NOW)
