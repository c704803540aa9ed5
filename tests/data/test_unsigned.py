"""A column whose unit, currency or sign was learned, in files that have another one or none."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.data.lender import TARGET, history

from riskloop.core.errors import DataError
from riskloop.core.settings import DataSettings, Settings, parse_settings
from riskloop.data.config import infer_config
from riskloop.data.opening import open_source
from riskloop.data.read import read_rows, screen_rows
from riskloop.data.unsigned import reading_notes
from riskloop.scoring.decoder import Decoder

FRAME = history(200, seed=4)
N = np.arange(200) % 5 + 1
NOW = 2_000_000_000_000_000

# How the history writes a number, how a later file does, and the number that is meant then; None: refused.
LATER: dict[str, tuple[str, str, Callable[[int], float] | None]] = {
    "years for months": ("{} Monate", "{} Jahre", lambda v: 12 * v),
    "months for years": ("{} years", "{} months", lambda v: v / 12),
    "the same in English": ("{} Monate", "{} months", float),
    "weeks for days": ("{} days", "{}w", lambda v: 7 * v),
    "days for months": ("{} months", "{} days", None),
    "miles for kilometres": ("{} km", "{} miles", None),
    "no unit": ("{} months", "{}", None),
    "dollars for euros": ("€{},000", "${},000", None),
    "euros for dollars": ("${},000.00", "{},000.00 EUR", None),
    "euros in letters": ("€{},000", "{},000 EUR", lambda v: 1000 * v),
    "no currency": ("${},000", "{},000", lambda v: 1000 * v),
    "a share for a percentage": ("{}.5%", "0.0{}5", None),
    "per mille": ("{}%", "{}0‰", float),
}
FILES: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "frame": lambda frame, _: frame,
    "csv": lambda frame, folder: frame.to_csv(folder / "later.csv", index=False) or folder / "later.csv",
    "parquet": lambda frame, folder: frame.to_parquet(folder / "later.parquet") or folder / "later.parquet",
    "xlsx": lambda frame, folder: frame.to_excel(folder / "later.xlsx", index=False) or folder / "later.xlsx",
}


def learned(form: str, folder: Path) -> Settings:
    history = FRAME.assign(income=[form.format(v) for v in N])
    history.to_csv(folder / "h.csv", index=False)
    settings = parse_settings(infer_config(folder / "h.csv", target=TARGET))
    rows = read_rows(folder / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data)
    assert not rows.refused
    return settings


@pytest.mark.parametrize("name", LATER)
def test_another_unit_is_converted_or_its_rows_are_set_aside(name: str, tmp_path: Path) -> None:
    before, after, meant = LATER[name]
    schema = learned(before, tmp_path).row_schema
    place, other = schema.positions["income"], N % 2 == 0
    texts = [(after if odd else before).format(v) for v, odd in zip(N, other, strict=True)]
    later = FRAME.assign(income=texts).drop(columns=TARGET)
    for write in FILES.values():
        if meant is None:
            screened = screen_rows(write(later, tmp_path), schema, where="later", dialect=DataSettings(max_refused=1.0))
            assert [entry.position for entry in screened.refused] == np.flatnonzero(other).tolist()
            said = {entry.problem for entry in screened.refused}
            assert len(said) == 1
            assert schema.feature("income").written_in[0] in said.pop()
            continue
        read = read_rows(write(later, tmp_path), schema, target="absent", where="later")
        own = read_rows(FRAME.assign(income=[before.format(v) for v in N]), schema, target="absent", where="own")
        np.testing.assert_array_equal(read.rows.features[~other, place], own.rows.features[~other, place])
        np.testing.assert_allclose(read.rows.features[other, place], [meant(v) for v in N[other]], rtol=1e-15)


@pytest.mark.parametrize("name", LATER)
def test_requests_are_read_as_files_are(name: str, tmp_path: Path) -> None:
    before, after, meant = LATER[name]
    schema = learned(before, tmp_path).row_schema
    row = {**FRAME.drop(columns=TARGET).iloc[0].to_dict(), "income": after.format(3)}
    body = msgspec.json.encode({k: v.item() if hasattr(v, "item") else v for k, v in row.items()})
    if meant is None:
        with pytest.raises(DataError, match=r"income (is in|has no)"):
            Decoder(schema).row(body, NOW)
    else:
        parsed = Decoder(schema).row(body, NOW)
        assert np.frombuffer(parsed.features)[schema.positions["income"]] == pytest.approx(meant(3), rel=1e-15)


@pytest.mark.parametrize(
    ("form", "said"), [("{} months", "2 months"), ("{}.5%", "2%"), ("{} km", "2 km"), ("${},000", "")]
)
@pytest.mark.parametrize("way", ["frame", "parquet", "xlsx"])
def test_numbers_without_a_place_for_the_sign_are_read_and_said(form: str, said: str, way: str, tmp_path: Path) -> None:
    schema = learned(form, tmp_path).row_schema
    later = FRAME.assign(income=N / 8).drop(columns=TARGET)
    source = FILES[way](later, tmp_path)
    notes = reading_notes(open_source(source, None, "later")[0], schema)
    assert [note for note in notes if "'income'" in note and said in note] == list(notes)
    assert bool(notes) == bool(said)
    read = read_rows(source, schema, target="absent", where="later")
    np.testing.assert_array_equal(read.rows.features[:, schema.positions["income"]], N / 8)


def test_a_model_of_before_takes_every_unit_as_it_did(tmp_path: Path) -> None:
    settings = learned("{} months", tmp_path)
    feature = msgspec.structs.replace(settings.row_schema.feature("income"), written_in=())
    schema = msgspec.structs.replace(settings.row_schema, features=(feature,))
    read = read_rows(FRAME.assign(income=[f"{v} years" for v in N]), schema, target="absent", where="later")
    np.testing.assert_array_equal(read.rows.features[:, 0], N)
    assert feature.reads_as(settings.row_schema.feature("income"))
    years = msgspec.structs.replace(feature, written_in=("years",))
    assert not years.reads_as(settings.row_schema.feature("income"))
