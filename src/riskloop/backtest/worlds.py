"""Scenarios as histories: the embedded portfolio, or a labelled file, in a world that changes in a known way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from riskloop.backtest.history import History, Played, Wishes, adapted
from riskloop.core.errors import ConfigError, DataError
from riskloop.core.periods import period_of
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Rows
from riskloop.data.infer import infer_config, no_column
from riskloop.data.read import rows_from, table_of
from riskloop.simulation import Embedded, FrameSource, Month, Scenario, Source, scenario_named, stream
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate, spread_over

if TYPE_CHECKING:
    import pandas as pd

PAST_MONTHS: Final = 12
FIRST: Final = date(2020, 1, 1)  # of the past; shuffled rows have no dates of their own
PAST_SHARE: Final = 0.3  # of a file's rows
LEAST_A_MONTH: Final = 100


@dataclass(frozen=True)
class Game:
    """A scenario on a source, so that it can be played again with other customers."""

    scenario: Scenario
    source: Source
    months: tuple[date, ...]
    per_month: int
    seed: int

    def play(self, seed: int | None = None, per_month: int | None = None) -> Iterator[Month]:
        """The months; another seed gives other customers of the same world."""
        chosen = self.seed if seed is None else seed
        return stream(self.scenario, self.source, self.months, per_month or self.per_month, chosen)


def embedded_world(
    scenario: str, wishes: Wishes, *, months: int, per_month: int, seed: int, settings: Settings | None = None
) -> tuple[History, Game]:
    """A year of the embedded portfolio's past, and ``months`` of production in the scenario's world."""
    past = simulate(month_starts(FIRST, PAST_MONTHS), per_month, seed)
    production = tuple(month_starts(FIRST, PAST_MONTHS + months)[PAST_MONTHS:])
    game = Game(scenario_named(scenario), Embedded(), production, per_month, seed)
    return _history(past, game, "embedded portfolio", TARGET, TIME, ID, wishes, settings, ()), game


def frame_world(
    scenario: str,
    frame: "pd.DataFrame",
    wishes: Wishes,
    *,
    months: int,
    seed: int,
    settings: Settings | None = None,
    name: str = "rows in random order",
) -> tuple[History, Game]:
    """A labelled frame in random order: a part is the past, the scenario chooses the others. No label is invented.

    ``name`` is the portfolio's where no settings give one.

    The order is random so that the scenario is the only change. Raises DataError when the rows do not suffice.
    """
    target = wishes.target or (settings.portfolio.target if settings else None)
    if target is None:
        raise ConfigError("Which column says who defaulted? Name it with --target.")
    if target not in frame.columns:
        raise no_column("the file", target, [str(name) for name in frame.columns])
    time = wishes.time or (settings.portfolio.time if settings else None) or TIME
    customer = wishes.id or (settings.portfolio.id if settings else None) or "customer_id"
    shuffled = frame.iloc[np.random.default_rng(seed).permutation(len(frame))].reset_index(drop=True)
    shuffled[customer] = np.arange(1, len(shuffled) + 1)
    size = round(PAST_SHARE * len(shuffled))
    past = shuffled.iloc[:size].copy()
    starts = month_starts(FIRST, PAST_MONTHS)
    sizes = np.diff(np.linspace(0, size, len(starts) + 1).astype(int)).tolist()
    past[time] = np.concatenate([spread_over(start, n) for start, n in zip(starts, sizes, strict=True)])
    source = FrameSource(shuffled.iloc[size:], target, time=time, skip=(customer,))
    production = tuple(month_starts(FIRST, PAST_MONTHS + months)[PAST_MONTHS:])
    game = _largest(scenario_named(scenario), source, production, len(shuffled) - size, seed)
    note = (
        f"The rows are taken in random order, {game.per_month:,} in a month, so that the scenario is the only change."
    )
    return _history(past, game, name, target, time, customer, wishes, settings, (note,)), game


def _largest(scenario: Scenario, source: Source, months: tuple[date, ...], rows: int, seed: int) -> Game:
    """As many rows a month as the scenario's choice leaves."""
    per_month = rows // len(months)
    while per_month >= LEAST_A_MONTH:
        game = Game(scenario, source, months, per_month, seed)
        try:
            for _ in game.play():
                pass
        except DataError:
            per_month = per_month * 4 // 5
        else:
            return game
    raise DataError(
        f"The file has {rows:,} rows for {len(months)} months of '{scenario.name}', too few for {LEAST_A_MONTH} in "
        "each after the scenario's choice; ask for fewer --months, or give more rows."
    )


def _history(
    past: "pd.DataFrame",
    game: Game,
    name: str,
    target: str,
    time: str,
    customer: str,
    wishes: Wishes,
    settings: Settings | None,
    notes: Sequence[str],
) -> History:
    where = "the past"
    if settings is None:
        table = table_of(past, where=where)
        settings = parse_settings(infer_config(name, target=target, id=customer, time=time, table=table), where)
        # Faults bring what the past did not have; refused at the door, they would never reach the loop.
        open_ = {name: entry.model_copy(update={"nullable": True}) for name, entry in settings.features.items()}
        settings = settings.model_copy(update={"features": open_})
    settings = adapted(settings, replace(wishes, windows="month"))
    rows = rows_from(past, settings.row_schema, target="required", where=where)
    periods = tuple(as_period(month, settings.row_schema) for month in game.play())
    first, last = f"{FIRST:%Y-%m}", f"{month_starts(FIRST, PAST_MONTHS)[-1]:%Y-%m}"
    return History(settings, rows, periods, tuple(notes), first, last)


def as_period(month: Month, schema: Schema) -> Played:
    """A scenario's month with the truth about it."""
    span = period_of(datetime(month.start.year, month.start.month, 1, tzinfo=UTC), "month")
    return Played(
        span.name, span.name, span.first, span.end, rows_of(month, schema), month.true_pd, month.diagnosis, month.share
    )


def rows_of(month: Month, schema: Schema) -> Rows:
    """The delivered rows with their outcomes; an id may come twice, as faulty feeds deliver it."""
    lenient = replace(schema, id=None, ignored=(*schema.ignored, *([schema.id] if schema.id else [])))
    rows = rows_from(month.frame, lenient, target="absent", where=f"Month {month.start:%Y-%m}")
    names = range(1, len(rows) + 1) if schema.id is None else month.frame[schema.id]
    return replace(rows, ids=[str(name) for name in names], target=month.target.astype(np.float64))


def read_frame(path: Path) -> "pd.DataFrame":
    """A labelled file as a frame whose columns have their natural types."""
    import pandas as pd

    try:
        return pd.read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"The file {path} does not exist; check the path.") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as a table: {error}.") from None
