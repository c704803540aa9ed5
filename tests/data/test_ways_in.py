"""One table in every way in gives the same rows; and what of it is wrong is set aside, wherever it comes from."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests.data.lender import ID, ROWS, TARGET, TIME, WAYS, history, partitions, read_bytes, text

from riskloop.core.errors import DataError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Rows
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.outcomes import read_outcomes
from riskloop.data.read import read_rows, rows_from
from riskloop.scoring.decoder import Decoder

NOW = 1_760_000_000_000_000
FRAME = history()


def settings_of(path: Path) -> Settings:
    found = examine(path, Wanted(TARGET, id=ID, time=TIME))
    return parse_settings(config_text(found))


def same(one: Rows, other: Rows) -> None:
    np.testing.assert_array_equal(one.features, other.features)
    np.testing.assert_array_equal(one.times, other.times)
    assert list(one.ids) == list(other.ids)
    if one.target is not None and other.target is not None:
        np.testing.assert_array_equal(one.target, other.target)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Rows]:
    path = WAYS["plain"][1](FRAME, tmp_path_factory.mktemp("plain") / "h.csv")
    settings = settings_of(path)
    return settings, rows_from(path, settings.row_schema, target="required", where="h")


@pytest.mark.parametrize("name", WAYS)
def test_every_way_in_gives_the_same_rows(name: str, tmp_path: Path, expected: tuple[Settings, Rows]) -> None:
    file, write = WAYS[name]
    path = write(FRAME, tmp_path / file)
    settings = settings_of(path)
    assert {n: f.kind for n, f in settings.features.items()} == {
        "income": "number",
        "late": "number",
        "purpose": "category",
    }
    checked = read_rows(path, settings.row_schema, target="required", where=name, dialect=settings.data)
    assert (len(checked.rows), checked.refused, checked.left_out) == (ROWS, (), 0)
    same(checked.rows, expected[1])


def test_frames_open_files_and_requests_give_the_same_rows(expected: tuple[Settings, Rows]) -> None:
    settings, rows = expected
    schema = settings.row_schema
    for source in (FRAME, FRAME.convert_dtypes(), FRAME.astype({"purpose": "category"}), read_bytes(FRAME)):
        same(rows_from(source, schema, target="required", where="f"), rows)
    decoder = Decoder(schema)
    asked = FRAME.drop(columns=TARGET).astype(object).where(FRAME.notna(), None).to_dict("records")
    parsed = [decoder.row(msgspec.json.encode(row), NOW) for row in asked]
    same(decoder.rows(parsed), rows)


WRITTEN = {
    "amount": ("${:,.2f}", [1234.5, 12_345.0, 0.99, 1_000_000.0]),
    "percent": ("{:.1f}%", [13.5, 0.1, 99.9, 7.0]),
    "unit": (" {:.0f} months", [36.0, 60.0, 12.0, 24.0]),
}


@pytest.mark.parametrize("style", WRITTEN)
def test_numbers_with_signs_are_the_same_in_files_frames_and_requests(style: str, tmp_path: Path) -> None:
    form, numbers = WRITTEN[style]
    values = np.resize(numbers, ROWS)
    frame = FRAME.assign(income=[form.format(value) for value in values])
    frame.to_csv(tmp_path / "h.csv", index=False)
    settings = settings_of(tmp_path / "h.csv")
    assert settings.features["income"].written == style
    schema = settings.row_schema
    for source in (tmp_path / "h.csv", frame, frame.assign(income=values)):
        rows = rows_from(source, schema, target="required", where="f")
        np.testing.assert_array_equal(rows.features[:, schema.positions["income"]], values)
    decoder = Decoder(schema)
    for income in (form.format(values[0]), float(values[0])):
        row = {**frame.drop(columns=TARGET).iloc[0].to_dict(), "income": income}
        parsed = decoder.row(
            msgspec.json.encode({k: v.item() if hasattr(v, "item") else v for k, v in row.items()}), NOW
        )
        assert np.frombuffer(parsed.features)[schema.positions["income"]] == values[0]


@pytest.mark.parametrize(
    "codes", [["001", "002", "010"], ["09:00", "12:30", "18:15"], ["NA", "EU", "AP"], ["1e5", "2e5", "x"]]
)
def test_codes_stay_the_text_that_they_are(codes: list[str], tmp_path: Path) -> None:
    frame = FRAME.assign(branch=np.resize(codes, ROWS))
    frame.to_csv(tmp_path / "h.csv", index=False)
    settings = settings_of(tmp_path / "h.csv")
    entry = settings.features["branch"]
    if "NA" in codes and "EU" not in codes:  # as a level only beside continents, or where a person says so
        assert entry.nullable
        entry = entry.model_copy(update={"categories": tuple(codes), "nullable": False})
        settings = settings.model_copy(update={"features": {**settings.features, "branch": entry}})
    assert set(entry.categories) == set(codes)
    schema = settings.row_schema
    frame.to_parquet(tmp_path / "h.parquet")
    frame.to_excel(tmp_path / "h.xlsx", index=False)
    for source in (tmp_path / "h.csv", tmp_path / "h.parquet", tmp_path / "h.xlsx", frame):
        rows = rows_from(source, schema, target="required", where="f")
        read = [entry.categories[int(code)] for code in rows.features[:4, schema.positions["branch"]]]
        assert read == frame["branch"][:4].tolist()


def test_bad_rows_are_set_aside_from_every_way_in_alike(tmp_path: Path, expected: tuple[Settings, Rows]) -> None:
    settings, rows = expected
    frame = FRAME.astype({"late": object, "applied": object})
    frame.loc[3, "late"] = "many"
    frame.loc[5, "applied"] = "0001-01-01"
    frame.loc[7, "purpose"] = "yacht"
    frame.to_csv(tmp_path / "h.csv", index=False)
    frame.astype(str).replace("nan", None).to_parquet(tmp_path / "h.parquet")
    frame.to_excel(tmp_path / "h.xlsx", index=False)
    for source, places in (
        (tmp_path / "h.csv", ["line 5", "line 7", "line 9"]),
        (tmp_path / "h.parquet", ["row 4", "row 6", "row 8"]),
        (tmp_path / "h.xlsx", ["row 5", "row 7", "row 9"]),
        (frame, ["row 4", "row 6", "row 8"]),
    ):
        checked = read_rows(source, settings.row_schema, target="required", where="h")
        assert [(entry.position, entry.column) for entry in checked.refused] == [
            (3, "late"),
            (5, "applied"),
            (7, "purpose"),
        ]
        assert checked.source.places([entry.position for entry in checked.refused]) == places
        same(checked.rows, rows.take(~np.isin(np.arange(ROWS), [3, 5, 7])))


def test_a_share_above_the_bound_refuses_the_file_with_its_reasons(expected: tuple[Settings, Rows]) -> None:
    settings, _ = expected
    frame = FRAME.astype({"late": object})
    frame.loc[: ROWS // 10, "late"] = "x"
    with pytest.raises(Exception, match=r"25 of the 240 rows .* max_refused = 0.05 .* column 'late' is not a number"):
        read_rows(frame, settings.row_schema, target="required", where="h")


def test_blocks_of_a_long_file_are_read_like_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskloop.data.streams.BLOCK", 700)
    frame = FRAME.astype({"late": object})
    frame.loc[[11, 200], "late"] = "x"
    note = np.where(np.arange(ROWS) % 9 == 0, 'say "hi",\nthen go', "plain")
    text = frame.assign(note=note).to_csv(index=False).replace("\n100007,", "\n1,2\n100007,", 1)
    (tmp_path / "h.csv").write_text(text + "Total,,,,,,\n")
    settings = settings_of(tmp_path / "h.csv")
    checked = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data)
    assert len(checked.rows) == ROWS - 2
    lines = text.splitlines()
    for entry, place in zip(checked.refused, checked.source.places([e.position for e in checked.refused]), strict=True):
        line = lines[int(place.removeprefix("line ")) - 1]
        assert (",x," in line) if entry.column == "late" else line == "1,2"
    assert len(checked.refused) == 3


def test_a_value_that_is_no_utf8_is_named_and_the_rest_is_read(tmp_path: Path, expected: tuple[Settings, Rows]) -> None:
    content = FRAME.to_csv(index=False).encode()
    place = content.index("Küche".encode(), 3000)
    (tmp_path / "h.csv").write_bytes(content[:place] + b"K\xfcche" + content[place + 6 :])
    checked = read_rows(tmp_path / "h.csv", expected[0].row_schema, target="required", where="h")
    assert (len(checked.rows), checked.refused[0].column) == (ROWS - 1, "purpose")


def test_a_unit_lets_ids_repeat(tmp_path: Path) -> None:
    frame = FRAME.assign(customer_id=np.arange(ROWS) // 3 + 1)
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted(TARGET, time=TIME))
    assert (found.name_of("unit"), found.name_of("id")) == ("customer_id", "loan_id")
    settings = parse_settings(config_text(found))
    rows = rows_from(tmp_path / "h.csv", settings.row_schema, target="required", where="h")
    assert len(set(rows.ids)) == ROWS // 3
    asked = frame.drop(columns=[TARGET, "customer_id"])
    assert list(rows_from(asked, settings.row_schema, target="absent", where="p").ids) == [str(i) for i in FRAME[ID]]


def test_pandas_reads_what_was_written() -> None:
    """The generators write one table: a way that lost something would make the others look wrong."""
    assert pd.read_csv(read_bytes(FRAME)).equals(FRAME)


TYPES: dict[str, pa.Array] = {
    "list": pa.array([[1], [2]]),
    "object": pa.array([{"a": 1}, {"a": 2}]),
    "bytes": pa.array([b"x", b"y"]),
    "duration": pa.array([1, 2], pa.duration("s")),
    "clock": pa.array([1, 2], pa.time32("s")),
    "dictionary": pa.array(["a", "b"]).dictionary_encode(),
    "numbers in a dictionary": pa.array([1, 2]).dictionary_encode(),
    "view": pa.array(["a", "b"], pa.string_view()),
    "nulls": pa.array([None, None]),
    "day": pa.array([1, 2], pa.date64()),
    "large": pa.array([2**64 - 1, 1], pa.uint64()),
}


@pytest.mark.parametrize("name", TYPES)
def test_every_type_of_a_table_is_looked_at(name: str) -> None:
    size = 40
    table = pa.table(
        {
            "odd": pa.chunked_array([TYPES[name]] * (size // 2)),
            "x": [float(i % 7) for i in range(size)],
            "default": [i % 3 == 0 for i in range(size)],
        }
    )
    found = examine(table, Wanted("default"), where="table")
    odd = next(column for column in found.columns if column.name == "odd")
    assert (odd.role == "ignored") == (name in ("list", "object", "nulls", "day"))
    settings = parse_settings(config_text(found))
    assert len(read_rows(table, settings.row_schema, target="required", where="table").rows) == size


def test_folders_called_after_values_are_a_column(tmp_path: Path, expected: tuple[Settings, Rows]) -> None:
    path = partitions(FRAME, tmp_path / "parts")
    settings, rows = settings_of(path), expected[1]
    assert settings.features["purpose"].categories == expected[0].features["purpose"].categories
    schema = settings.row_schema
    for source in (path, tmp_path / "parts" / "**" / "*.parquet"):
        read = rows_from(source, schema, target="required", where="h")
        order, other = np.argsort(list(read.ids)), np.argsort(list(rows.ids))
        places = [schema.positions[name] for name in expected[0].row_schema.positions]
        np.testing.assert_array_equal(read.features[order][:, places], rows.features[other])


LAYOUTS: dict[str, Any] = {
    "a note above": lambda text: "Extract of 2024\n" + text,
    "semicolons": lambda text: text.replace(",", ";"),
    "UTF-16": lambda text: text.encode("utf-16"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_another_layout_than_the_historys_is_named_with_the_options_that_read_it(
    name: str, tmp_path: Path, expected: tuple[Settings, Rows]
) -> None:
    settings, rows = expected
    content = LAYOUTS[name](text(FRAME))
    path = tmp_path / "production.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    read: dict[str, Any] = {"target": "required", "where": "production.csv"}
    with pytest.raises(DataError, match=r"is not laid out as .* If it is the right file, say --") as caught:
        read_rows(path, settings.row_schema, dialect=settings.data, **read)
    said = caught.value.message.rsplit("say ", 1)[1].rstrip(".").split()
    options = {
        key.removeprefix("--"): msgspec.json.decode(value) for key, value in zip(said[::2], said[1::2], strict=True)
    }
    again = read_rows(path, settings.row_schema, dialect=settings.data.model_copy(update=options), **read)
    same(again.rows, rows)


@pytest.mark.parametrize("name", LAYOUTS)
def test_outcomes_may_be_laid_out_otherwise_than_the_history(name: str, tmp_path: Path) -> None:
    history_path = tmp_path / "h.csv"
    history_path.write_text("Extract of 2024\n" + text(FRAME), encoding="utf-8")
    settings = settings_of(history_path)
    assert settings.data.skip == 1
    labels = "decision_id,default\n" + "".join(f"{i},{i % 2}\n" for i in range(1, 9))
    for content in (labels, LAYOUTS[name](labels)):
        path = tmp_path / "labels.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        read = read_outcomes(path, settings.row_schema, default_known_at=datetime.now(UTC), dialect=settings.data)
        assert [outcome.defaulted for outcome in read] == [i % 2 == 1 for i in range(1, 9)]


@pytest.mark.parametrize("scale", [1, 2, 3, 6, 10])
def test_exact_decimals_are_the_doubles_that_their_text_means(scale: int, tmp_path: Path) -> None:
    """Arrow's own conversion is off by a bit for one in five of them."""
    rng = np.random.default_rng(scale)
    numbers = [Decimal(int(n)).scaleb(-scale) for n in rng.integers(0, 10**15, ROWS)]
    frame = FRAME.assign(income=[f"{number:f}" for number in numbers])
    frame.to_csv(tmp_path / "h.csv", index=False)
    settings = settings_of(tmp_path / "h.csv")
    schema = settings.row_schema
    table = pa.Table.from_pandas(frame, preserve_index=False)
    exact = table.set_column(table.schema.get_field_index("income"), "income", pa.array(numbers))
    for source in (tmp_path / "h.csv", exact):
        rows = rows_from(source, schema, target="required", where="f")
        assert rows.features[:, schema.positions["income"]].tolist() == [float(number) for number in numbers]
