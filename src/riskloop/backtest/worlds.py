"""Scenarios as histories: the embedded portfolio, or a labelled file, in a world that changes in a known way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import structs

from riskloop.backtest.history import History, Played
from riskloop.backtest.request import Request, adapted
from riskloop.core.errors import ConfigError, DataError
from riskloop.core.periods import period_of
from riskloop.core.schema import Schema
from riskloop.core.settings import parse_settings
from riskloop.core.types import Rows
from riskloop.data.config import infer_config
from riskloop.data.joined import Joined
from riskloop.data.read import rows_from, table_of
from riskloop.data.words import no_column
from riskloop.simulation import CustomerSource, Embedded, FrameSource, Month, Scenario, scenario_named, stream
from riskloop.simulation.embedded import ID, TARGET, TIME, World, month_starts, spread_over
from riskloop.simulation.source import Call

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
    source: CustomerSource
    months: tuple[date, ...]
    per_month: int
    seed: int

    def play(self, seed: int | None = None, per_month: int | None = None) -> Iterator[Month]:
        """The months; another seed gives other customers of the same world."""
        chosen = self.seed if seed is None else seed
        return stream(self.scenario, self.source, self.months, per_month or self.per_month, chosen)


def play(asked: Request) -> tuple[History, Game]:
    """The request's scenario as a history, on its own rows or on the embedded portfolio."""
    return embedded_world(asked) if asked.history is None else frame_world(asked)


def embedded_world(asked: Request, source: CustomerSource | None = None) -> tuple[History, Game]:
    """A year of the embedded portfolio's past, and ``asked.months`` of production in the scenario's world.

    ``source`` may be that portfolio under other conditions (`simulation.conditions`); it never runs out.
    """
    import pandas as pd

    source = source or Embedded()
    calls = [Call(month, asked.per_month, World(), chosen=False) for month in month_starts(FIRST, PAST_MONTHS)]
    past = pd.concat([next(pool).frame for pool in source.pools(calls, asked.game_seed)], ignore_index=True)
    game = Game(_scenario(asked), source, _production(asked), asked.per_month, asked.game_seed)
    return _history(past, game, "embedded portfolio", replace(asked, target=TARGET, time=TIME, id=ID), ()), game


def frame_world(asked: Request) -> tuple[History, Game]:
    """Labelled rows in random order: a part is the past, the scenario chooses the others. No label is invented.

    The order is random so that the scenario is the only change. Raises DataError when the rows do not suffice.
    """
    frame, name = _frame(asked)
    target, time, customer = asked.outcome, asked.column("time") or TIME, asked.column("id") or "customer_id"
    if target not in frame.columns:
        raise no_column("the file", target, [str(name) for name in frame.columns])
    shuffled = frame.iloc[np.random.default_rng(asked.game_seed).permutation(len(frame))].reset_index(drop=True)
    shuffled[customer] = np.arange(1, len(shuffled) + 1)
    size = round(PAST_SHARE * len(shuffled))
    past = shuffled.iloc[:size].copy()
    starts = month_starts(FIRST, PAST_MONTHS)
    sizes = np.diff(np.linspace(0, size, len(starts) + 1).astype(int)).tolist()
    past[time] = np.concatenate([spread_over(start, n) for start, n in zip(starts, sizes, strict=True)])
    source = FrameSource(shuffled.iloc[size:], target, time=time, skip=(customer,))
    game = _largest(_scenario(asked), source, _production(asked), len(shuffled) - size, asked.game_seed)
    note = (
        f"The rows are taken in random order, {game.per_month:,} in a month, so that the scenario is the only change."
    )
    return _history(past, game, name, replace(asked, target=target, time=time, id=customer), (note,)), game


def _scenario(asked: Request) -> Scenario:
    if asked.scenario is None:
        raise ConfigError("Name the --scenario to play.")
    return scenario_named(asked.scenario)


def _production(asked: Request) -> tuple[date, ...]:
    return tuple(month_starts(FIRST, PAST_MONTHS + asked.months)[PAST_MONTHS:])


def _frame(asked: Request) -> "tuple[pd.DataFrame, str]":
    """The rows, and the portfolio's name where no settings give one."""
    import pandas as pd

    source = asked.history
    if isinstance(source, pd.DataFrame):
        return source, "rows in random order"
    if isinstance(source, Joined):
        raise ConfigError("A scenario is played on one file that has its outcomes; name it, or leave --scenario out.")
    path = Path(source or "")
    return read_frame(path), path.stem


def _largest(scenario: Scenario, source: CustomerSource, months: tuple[date, ...], rows: int, seed: int) -> Game:
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


def _history(past: "pd.DataFrame", game: Game, name: str, asked: Request, notes: Sequence[str]) -> History:
    """``asked`` names all three columns here."""
    where, settings = "the past", asked.settings
    if settings is None:
        table = table_of(past, where=where)
        text = infer_config(
            name,
            target=asked.outcome,
            id=asked.id,
            time=asked.time,
            table=table,
            outcome_window=timedelta(days=30),
        )
        settings = parse_settings(text, where)
        # Faults bring what the past did not have; refused at the door, they would never reach the loop.
        lenient = {"nullable": True, "unseen": "flag"}
        open_ = {name: entry.model_copy(update=lenient) for name, entry in settings.features.items()}
        settings = settings.model_copy(update={"features": open_})
    settings = adapted(settings, replace(asked, windows="month"))
    rows = rows_from(past, settings.row_schema, target="required", where=where)
    periods = tuple(as_period(month, settings.row_schema) for month in game.play())
    first, last = f"{FIRST:%Y-%m}", f"{month_starts(FIRST, PAST_MONTHS)[-1]:%Y-%m}"
    return History(settings, rows, periods, tuple(notes), first, last)


def as_period(month: Month, schema: Schema) -> Played:
    """A scenario's month with the truth about it."""
    span = period_of(datetime(month.start.year, month.start.month, 1, tzinfo=UTC), "month")
    return Played(span.name, span.first, span.end, rows_of(month, schema), month.true_pd, month.diagnosis, month.share)


def rows_of(month: Month, schema: Schema) -> Rows:
    """The delivered rows with their outcomes; an id may come twice, as faulty feeds deliver it."""
    lenient = structs.replace(
        schema, id=None, unit=None, ignored=(*schema.ignored, *([schema.id] if schema.id else []))
    )
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
