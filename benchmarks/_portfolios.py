"""Portfolios of the embedded customers, trained and with decisions on record, for the benchmarks of retraining."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from riskloop.core.types import Floats, Rows, to_micros
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.loop.champion import load
from riskloop.portfolio import Portfolio
from riskloop.scoring.decide import decide
from riskloop.simulation.embedded import ID, TARGET, TIME, World, month_starts, simulate
from riskloop.store.home import CONFIG, Home
from riskloop.store.outcomes import Outcome

if TYPE_CHECKING:
    import pandas as pd

PAST: Final = month_starts(date(2023, 1, 1), 12)
AFTER: Final = month_starts(date(2024, 1, 1), 3)
TRAINED: Final = datetime(2023, 12, 31, tzinfo=UTC)
NOW: Final = datetime(2024, 5, 15, tzinfo=UTC)  # all outcomes of the three months are final
_SAMPLE: Final = 60_000  # rows that the config is inferred from


def labels(rows: Rows) -> Floats:
    """The target, which simulated rows always carry."""
    assert rows.target is not None
    return rows.target


def config(folder: Path, history: "pd.DataFrame") -> str:
    """The text that `riskloop init` would write."""
    sample = history.sample(min(_SAMPLE, len(history)), random_state=1).sort_values(TIME)
    sample.to_csv(folder / "sample.csv", index=False)
    return infer_config(folder / "sample.csv", target=TARGET, id=ID, time=TIME, outcome_window=timedelta(days=30))


def trained(folder: Path, history: "pd.DataFrame", text: str) -> Portfolio:
    """A portfolio whose first version is champion."""
    (folder / CONFIG).write_text(text, encoding="utf-8")
    portfolio = Portfolio.open(folder)
    portfolio.train(history, now=TRAINED)
    return portfolio


def customers(home: Home, world: World, months: list[date], n: int, seed: int) -> Rows:
    """``n`` labelled customers of a world."""
    frame = simulate(months, n // len(months), seed, world)
    return rows_from(frame, home.schema, target="required", where="the simulation")


def decided(home: Home, rows: Rows) -> None:
    """Log the first champion's decisions on them, and all their outcomes."""
    first = home.decisions.append(decide(load(home, 1).model, rows, to_micros(NOW))).first_id
    home.outcomes.record([Outcome(y == 1.0, NOW, first + i) for i, y in enumerate(labels(rows).tolist())], NOW)
