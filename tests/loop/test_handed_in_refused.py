"""Outcomes that are handed in: what is left out is named in a file, also where nothing is recorded."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import func, select
from tests.serve.conftest import CONFIG, ROW, add_model, promote

from riskloop import Portfolio
from riskloop.core.errors import DataError
from riskloop.core.settings import DataSettings, parse_settings
from riskloop.data.read import Checked, Screened, read_rows, screen_rows
from riskloop.store.home import Home
from riskloop.store.tables import deliveries

SAID = {
    "nobody's": ("id,bad\nx,1\ny,0\n", [("line 2", "no decision on customer"), ("line 3", "no decision on customer")]),
    "nobody's, and one that cannot be read": (
        "id,bad\n" + "".join(f"x{n},1\n" for n in range(40)) + "x,7\n",
        [("line 42", "needs 0 or 1"), *((f"line {n + 2}", "no decision on customer") for n in range(40))],
    ),
    "unreadable": ("id,bad\nc1,jein\nc2,1\n", [("line 2", "needs 0 or 1")]),
    "nobody's, still undecided": ("id,bad\nx,\n", [("line 2", "no decision on customer")]),
    "half": ("id,bad\nc1,1\nx,0\n", [("line 3", "no decision on customer")]),
}


@pytest.fixture
def portfolio(tmp_path: Path) -> Iterator[Portfolio]:
    (tmp_path / "riskloop.toml").write_text(CONFIG, encoding="utf-8")
    home = Home.open(tmp_path)
    promote(home, add_model(home, intercept=0.3))
    home.close()
    portfolio = Portfolio.open(tmp_path / "riskloop.toml")
    portfolio.score(pd.DataFrame([{**ROW, "id": f"c{n}", "day": "2025-05-01"} for n in range(1, 6)]))
    yield portfolio
    portfolio.home.close()


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("complete_until", [None, "2025-05-31"])
def test_what_is_left_out_is_in_the_file_and_a_refused_delivery_leaves_nothing(
    portfolio: Portfolio, tmp_path: Path, kind: str, complete_until: str | None
) -> None:
    text, expected = SAID[kind]
    (tmp_path / "o.csv").write_text(text, encoding="utf-8")
    aside = tmp_path / "aside.csv"
    hand_in: list[Path | pd.DataFrame] = [tmp_path / "o.csv", pd.read_csv(tmp_path / "o.csv", dtype=str)]
    for labels in hand_in if kind == "half" else hand_in * 2:
        if kind == "half":
            told = portfolio.record_outcomes(labels, complete_until=complete_until, refused=aside)
            assert (told.recorded + told.repeated, told.unmatched) == (1, ("x",))
        else:
            with pytest.raises(DataError, match="othing was recorded") as refused:
                portfolio.record_outcomes(labels, complete_until=complete_until, refused=aside)
            assert refused.value.details
        with aside.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(expected)
        for row, (place, problem) in zip(rows, expected, strict=True):
            number = place.removeprefix("line ")
            assert row["refused_place"] in (place, f"row {int(number) - 1}")
            assert row["refused_problem"].startswith(problem)
    with portfolio.home.database.read() as connection:
        made = connection.execute(select(func.count()).select_from(deliveries)).scalar_one()
    assert made == (2 if kind == "half" else 0)


@pytest.mark.parametrize("bad", [1, 3, 20])
def test_rows_that_are_set_aside_are_told_also_where_they_refuse_the_file(tmp_path: Path, bad: int) -> None:
    schema = parse_settings(CONFIG).row_schema
    rows = pd.DataFrame(
        [{**ROW, "id": f"c{n}", "day": "2025-05-01", "debt": "?!" if n < bad else 4} for n in range(20)]
    )
    rows.to_csv(tmp_path / "in.csv", index=False)
    for read in (partial(read_rows, target="absent"), screen_rows):
        for dialect in (DataSettings(max_refused=0.1), DataSettings(strict=True)):
            heard: list[int] = []

            def aside(found: Checked | Screened, heard: list[int] = heard) -> None:
                heard.extend(entry.position for entry in found.refused)

            with suppress(DataError) if bad / 20 <= 0.1 and not dialect.strict else pytest.raises(DataError):
                read(tmp_path / "in.csv", schema, where="in.csv", dialect=dialect, aside=aside)
            assert heard == list(range(bad))
