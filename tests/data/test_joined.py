"""A history whose outcomes stand in another file: the same rows as when they stood in it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import ID, TARGET, TIME, history

from riskloop.core.errors import DataError
from riskloop.core.settings import PortfolioSettings, parse_settings
from riskloop.data.candidates import ask_for_target
from riskloop.data.config import config_text
from riskloop.data.fetch import fetched
from riskloop.data.infer import Wanted, examine
from riskloop.data.joined import Joined, named_history
from riskloop.data.read import read_rows

FRAME = history(400, seed=8)
MONTHS: Any = [f"2024-{1 + i // 80:02d}-28" for i in range(400)]
PANEL = FRAME.assign(**{ID: np.arange(400) % 80, TIME: MONTHS})


def write(frame: pd.DataFrame, path: Path, **options: Any) -> Path:
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False, **options)
    return path


def apart(frame: pd.DataFrame, keys: list[str], how: str, folder: Path) -> Joined:
    """The frame in two files: the outcomes in another order, with columns of their own and rows of others."""
    told = frame[[*keys, TARGET]].sample(frac=1, random_state=1).assign(seen="2025-06-30")
    others = told.head(3).assign(**{keys[0]: [1, 2, 3]})
    told, rest = pd.concat([told, others]), frame.drop(columns=TARGET)
    if how == "texts":
        return Joined(write(rest, folder / "h.csv"), write(told, folder / "o.csv", sep=";", encoding="utf-16"))
    if how == "floats":
        return Joined(write(rest, folder / "h.csv"), write(told.astype({keys[0]: float}), folder / "o.parquet"))
    if how == "yes and no":
        said = told.assign(**{TARGET: told[TARGET].map({1: "yes", 0: "no"})})
        return Joined(write(rest, folder / "h.parquet"), write(said, folder / "o.csv"))
    parts = folder / "parts"
    parts.mkdir()
    for i in range(3):
        write(told.iloc[i::3], parts / f"{i}.csv")
    return Joined(write(rest, folder / "h.csv"), parts)


@pytest.mark.parametrize("how", ["texts", "floats", "yes and no", "a folder"])
@pytest.mark.parametrize(("frame", "keys"), [(FRAME, [ID]), (PANEL, [ID, TIME])], ids=["loans", "panel"])
def test_outcomes_of_another_file_are_those_of_the_rows(
    frame: pd.DataFrame, keys: list[str], how: str, tmp_path: Path
) -> None:
    source = apart(frame, keys, how, tmp_path)
    with fetched(source) as here:
        found = examine(here, Wanted(TARGET))
    assert found.target.rate == pytest.approx(frame[TARGET].mean())
    assert f"400 of 400 rows have an outcome in {source.outcomes}" in " ".join(found.notes)
    settings = parse_settings(config_text(found))
    rows = read_rows(source, settings.row_schema, target="required", where="h", dialect=settings.data).rows
    assert rows.target is not None
    assert rows.target.tolist() == frame[TARGET].tolist()


def test_rows_without_an_outcome_are_left_out(tmp_path: Path) -> None:
    told = FRAME[[ID, TARGET]].iloc[:300]
    source = Joined(write(FRAME.drop(columns=TARGET), tmp_path / "h.csv"), write(told, tmp_path / "o.csv"))
    found = examine(source, Wanted(TARGET))
    assert (found.target.labelled, found.target.left_out) == (300, 100)
    settings = parse_settings(config_text(found))
    read = read_rows(source, settings.row_schema, target="required", where="h", dialect=settings.data)
    assert (len(read.rows), read.left_out) == (300, 100)


TOLD = FRAME[[ID, TARGET]]
WRONG: dict[str, tuple[pd.DataFrame, str]] = {
    "other ids": (TOLD.assign(**{ID: TOLD[ID] + 10_000_000}), "No row of .* finds its outcome"),
    "another name": (TOLD.rename(columns={ID: "LoanNumber"}), "no column in common"),
    "two outcomes": (pd.concat([TOLD, TOLD.assign(**{TARGET: 1 - TOLD[TARGET]})]), "two outcomes for"),
    "no target": (TOLD.rename(columns={TARGET: "flag"}), "no column 'default'"),
    "no rows": (TOLD.iloc[:0], "holds no rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_do_not_belong_together_are_refused(name: str, tmp_path: Path) -> None:
    told, said = WRONG[name]
    source = Joined(write(FRAME.drop(columns=TARGET), tmp_path / "h.csv"), write(told, tmp_path / "o.csv"))
    with pytest.raises(DataError, match=said):
        examine(source, Wanted(TARGET))


def test_a_target_in_both_is_refused(tmp_path: Path) -> None:
    source = Joined(write(FRAME, tmp_path / "h.csv"), write(TOLD, tmp_path / "o.csv"))
    with pytest.raises(DataError, match=f"has a column '{TARGET}', too"):
        examine(source, Wanted(TARGET))


def test_the_settings_name_both_files_from_their_folder_on(tmp_path: Path) -> None:
    settings = PortfolioSettings(target="y", history="a/h.csv", outcomes="o.csv")
    assert named_history(settings, tmp_path) == Joined(tmp_path / "a/h.csv", tmp_path / "o.csv")
    assert named_history(settings.model_copy(update={"outcomes": None}), tmp_path) == tmp_path / "a/h.csv"
    assert named_history(settings.model_copy(update={"history": None}), tmp_path) is None
    lake = settings.model_copy(update={"history": "s3://lake/h.csv"})
    assert named_history(lake, tmp_path) == Joined("s3://lake/h.csv", tmp_path / "o.csv")


def test_a_history_without_an_outcome_says_where_it_may_be(tmp_path: Path) -> None:
    path = write(FRAME[[ID, "income"]], tmp_path / "h.csv")
    assert "--outcomes" in ask_for_target(path, Wanted(""), "h.csv").message
