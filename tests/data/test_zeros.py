"""Codes of which a program has dropped leading zeros, or brought them back, are the levels that training saw."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from tests.data.lender import TARGET, history

from riskloop.core.cells import level_code
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows
from riskloop.scoring.decoder import Decoder

NOW = 2_000_000_000_000_000
CODES = {
    "postcodes": ["01234", "04109", "10115", "99998"],
    "branches": ["001", "012", "120"],
    "months": ["01", "02", "11"],
    "one of zero": ["00", "07", "42"],
}


def later(codes: list[str], how: str) -> list[Any]:
    if how == "as numbers":
        return [int(code) for code in codes]
    return [code.lstrip("0") or "0" if how == "lost" else f"00{code}" for code in codes]


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("trained", ["with zeros", "without"])
@pytest.mark.parametrize("how", ["lost", "as numbers", "more"])
@pytest.mark.parametrize("way", ["csv", "parquet", "frame", "request"])
def test_levels_are_the_same_with_and_without_zeros(
    name: str, trained: str, how: str, way: str, tmp_path: Path
) -> None:
    codes = CODES[name]
    levels = codes if trained == "with zeros" else [code.lstrip("0") or "0" for code in codes]
    feature = Feature("plz", "category", categories=tuple(levels))
    schema = Schema((feature,), target="bad")
    frame = pd.DataFrame({"plz": later(codes, how)})
    if way == "request":
        decoder = Decoder(schema)
        parsed = [decoder.row(msgspec.json.encode({"plz": value}), NOW) for value in frame["plz"].tolist()]
        read = decoder.rows(parsed).features[:, 0]
    else:
        source = {"csv": tmp_path / "f.csv", "parquet": tmp_path / "f.parquet"}.get(way, frame)
        frame.to_csv(tmp_path / "f.csv", index=False)
        frame.to_parquet(tmp_path / "f.parquet")
        read = read_rows(source, schema, target="absent", where="f").rows.features[:, 0]
    np.testing.assert_array_equal(read, np.arange(len(codes)))


@pytest.mark.parametrize("text", ["7", "07", "0007", "70", "A07", "-7", "7.5", "٠٧"])
def test_what_may_be_two_levels_or_none_is_never_one(text: str) -> None:
    both = Feature("x", "category", categories=("7", "007", "x"), unseen="flag")
    code = level_code(text, both, Schema((both,), target="bad"))
    assert code == both.codes.get(text, 3)
    other = Feature("x", "category", categories=("8", "x"), unseen="flag")
    assert level_code(text, other, Schema((other,), target="bad")) == 2


def test_a_history_that_has_lost_some_zeros_is_looked_at(tmp_path: Path) -> None:
    frame = history(400, seed=2).assign(branch=np.resize(["0012", "0115", "2210", "12"], 400))
    frame.to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted(TARGET))
    (branch,) = (c for c in found.columns if c.name == "branch")
    assert "'0012' and '12' are two levels, and differ in leading zeros only" in branch.look
    assert parse_settings(config_text(found)).features["branch"].categories
