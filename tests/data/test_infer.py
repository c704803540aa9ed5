from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.core.errors import ConfigError, DataError, NotFound
from riskloop.core.settings import Settings, parse_settings
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.simulation.embedded import month_starts, simulate

N = 400


def columns() -> dict[str, object]:
    rng = np.random.default_rng(0)
    return {
        "customerID": [f"C{i}" for i in range(N)],
        "income": rng.normal(50_000, 9000, N).round(2),
        "late payments": rng.integers(0, 9, N),
        "home.owner": rng.choice(["yes", "no"], N),
        "region_code": rng.choice([10, 20, 30], N),
        "applicantAge": rng.integers(18, 80, N),
        "account_age": rng.integers(1, 30, N),
        "Gender": rng.choice(["f", "m"], N),
        "score": np.where(rng.random(N) < 0.1, np.nan, rng.random(N)),
        "note": [f"call {i}" for i in range(N)],
        "product": "loan",
        "closed_on": pd.date_range("2024-01-01", periods=N).astype(str),
        "issue_date": pd.date_range("2023-01-01", periods=N).astype(str),
        "bad": rng.choice(["no", "yes"], N),
    }


def infer(folder: Path, **changes: object) -> tuple[str, Settings]:
    path = folder / "history.csv"
    pd.DataFrame({**columns(), **changes}).to_csv(path, index=False)
    text = infer_config(path, target="bad")
    return text, parse_settings(text)


def test_every_kind_of_column_is_recognised(tmp_path: Path) -> None:
    text, settings = infer(tmp_path)
    assert settings.portfolio.id == "customerID"
    assert settings.portfolio.time == "issue_date"
    assert settings.portfolio.ignore == ("note", "product", "closed_on")
    kinds = {name: feature.kind for name, feature in settings.features.items()}
    assert {name for name, kind in kinds.items() if kind == "category"} == {"home.owner", "region_code", "Gender"}
    assert {name for name, f in settings.features.items() if f.protected} == {"applicantAge", "Gender"}
    assert {name for name, f in settings.features.items() if f.nullable} == {"score"}
    assert settings.features["region_code"].categories == ("10", "20", "30")
    for comment in (
        "guessed: unique, and named like an id",
        "free text or a key",
        'the same value "loan"',
        "after the decision",
    ):
        assert comment in text


def test_the_history_fits_its_own_config(tmp_path: Path) -> None:
    _, settings = infer(tmp_path)
    rows = rows_from(tmp_path / "history.csv", settings.row_schema, target="required", where="history.csv")
    assert len(rows) == N
    assert len(np.unique(rows.times)) == N


def test_the_embedded_portfolio_needs_no_edit(tmp_path: Path) -> None:
    frame = simulate(month_starts(date(2024, 1, 1), 2), 300, seed=1)
    for name in ("history.csv", "history.parquet"):
        path = tmp_path / name
        if name.endswith("csv"):
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        settings = parse_settings(infer_config(path, target="default"))
        assert (settings.portfolio.id, settings.portfolio.time) == ("ID", "application_date")
        assert {n for n, f in settings.features.items() if f.protected} == {"SEX", "MARRIAGE", "AGE"}
        assert settings.features["EDUCATION"].kind == "category"
        assert len(rows_from(path, settings.row_schema, target="required", where=name)) == 600


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("uci_credit_card.csv", "uci_credit_card"),
        ("cards 2024.csv", "cards 2024"),
        ("loans_north.csv", "loans_north"),
        ("history.csv", "Consumer cards"),
        ("Training-Data.csv", "Consumer cards"),
        ("loans.csv", "Consumer cards"),
        ("history_2024-01.csv", "Consumer cards"),
        ("2024-01.csv", "Consumer cards"),
    ],
)
def test_a_portfolio_is_called_after_its_file_or_its_folder_where_the_files_name_says_nothing(
    tmp_path: Path, file: str, name: str
) -> None:
    folder = tmp_path / "Consumer cards"
    folder.mkdir()
    pd.DataFrame(columns()).to_csv(folder / file, index=False)
    text = infer_config(folder / file, target="bad", folder=folder)
    assert parse_settings(text).portfolio.name == name


def test_what_is_named_is_taken_and_the_rest_says_that_it_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    pd.DataFrame({"x": range(10), "period": range(1, 11), "y": [0, 1] * 5}).to_csv(path, index=False)
    text = infer_config(path, target="y", time="period")
    assert parse_settings(text).portfolio.time == "period"
    assert '# id = "…"  # no column is unique' in text
    assert '# time = "…"' in infer_config(path, target="y")


@pytest.mark.parametrize("other", ["e\tl\n2", "d\x7fel", "nul\x01", "\x85next", "\u2028line", "a\x1bb"])
def test_odd_names_and_values_survive_toml(tmp_path: Path, other: str) -> None:
    odd = 'a "b" \\ c.d = é # [x]\x7f'
    _, settings = infer(tmp_path, **{odd: ['le"v', other] * (N // 2)})
    assert set(settings.features[odd].categories) == {other.strip(), 'le"v'}


def test_few_texts_among_numbers_are_errors_and_not_levels(tmp_path: Path) -> None:
    values: list[object] = list(np.arange(N) * 37 % N / 7)
    values[5] = "n.k."
    text, settings = infer(tmp_path, ratio=values)
    assert settings.features["ratio"].kind == "number"
    assert "for example 'n.k.'" in text
    with pytest.raises(DataError, match=r"line 7, column 'ratio': 'n.k.' is not a number"):
        rows_from(tmp_path / "history.csv", settings.row_schema, target="required", where="h")


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    with pytest.raises(NotFound):
        infer_config(path, target="y")
    pd.DataFrame({"x": [1, 2, 3], "default": ["rot", "blau", "blau"], "one": 1}).to_csv(path, index=False)
    with pytest.raises(DataError, match="did you mean 'default'"):
        infer_config(path, target="defaulted")
    with pytest.raises(DataError, match=r"holds 'rot' \(1\), 'blau' \(2\); it has to be 1 for a default and 0"):
        infer_config(path, target="default")
    with pytest.raises(DataError, match="one class only"):
        infer_config(path, target="one")
    pd.DataFrame({"x": [1, 2], "day": ["2024-01-01", "soon"], "y": [0, 1]}).to_csv(path, index=False)
    with pytest.raises(DataError, match="'soon', which is not a date"):
        infer_config(path, target="y", time="day")
    pd.DataFrame({"sex": [1, 2], "y": [0, 1]}).to_csv(path, index=False)
    with pytest.raises(ConfigError, match="no column that a model could use"):
        infer_config(path, target="y")


def test_what_is_chosen_stands_in_the_file_and_the_rest_at_its_default(tmp_path: Path) -> None:
    pd.DataFrame({"x": np.arange(40) % 7, "default": np.arange(40) % 2}).to_csv(tmp_path / "h.csv", index=False)
    chosen = {"portfolio": {"name": "Cards"}, "train": {"folds": 3}, "windows": {"by": "week"}}
    plain, settings = (
        parse_settings(infer_config(tmp_path / "h.csv", target="default", **given))  # type: ignore[arg-type]
        for given in ({}, {"chosen": chosen})
    )
    assert (settings.portfolio.name, settings.train.folds, settings.windows.by) == ("Cards", 3, "week")
    assert settings.train.model_copy(update={"folds": plain.train.folds}) == plain.train
    assert settings.drift == plain.drift
