"""What happens in the demo: a history, and the months of production that follow it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from riskloop.core.errors import ConfigError, DataError, NotFound
from riskloop.core.types import Ints
from riskloop.simulation import SCENARIOS, CustomerSource, Embedded, FrameSource, stream
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate, spread_over

if TYPE_CHECKING:
    import pandas as pd

HISTORY_MONTHS: Final = 12
FIRST_MONTH: Final = date(2025, 1, 1)
PER_MONTH: Final = 2000
LEAST_ROWS: Final = 6000
PAST: Final = 0.3  # share of a frame's rows that is history
MONTH: Final = 0.05  # share of the others that one month takes; scenarios need several rows to choose one from
TARGETS: Final = ("default", "default.payment.next.month", "default payment next month", "target", "bad", "loan_status")

# Title, scenario, months, and the share of a frame's production rows that the scenario may choose from.
PLOT: Final = (
    ("nothing changes", "stable", 1, 0.06),
    ("{amount} arrives 100 times too large", "units_x100", 1, 0.06),
    ("the feed is repaired", "stable", 1, 0.06),
    ("a new sales channel brings riskier customers", "new_channel_sudden", 2, 0.27),
    ("a recession: the same data mean another risk", "recession", 4, 0.55),
)


@dataclass(frozen=True)
class Chapter:
    """One month of production."""

    title: str  # the truth, which the loop does not know
    month: date
    frame: "pd.DataFrame"  # what the feed delivers
    target: Ints  # what happened, known after the outcome window


@dataclass(frozen=True)
class Story:
    """Where the rows come from, and what the columns are called."""

    history: "pd.DataFrame"
    chapters: tuple[Chapter, ...]
    target: str
    id: str
    time: str


def embedded_story(seed: int) -> Story:
    """The embedded portfolio: 18,000 past customers and nine months of production."""
    starts = month_starts(date(FIRST_MONTH.year - 1, FIRST_MONTH.month, 1), HISTORY_MONTHS)
    history = simulate(starts, 1500, seed)
    sources: list[CustomerSource] = [Embedded()] * len(PLOT)
    return Story(history, tuple(_chapters(sources, PER_MONTH, seed)), TARGET, ID, TIME)


def frame_story(path: Path, target: str | None, seed: int) -> Story:
    """Real labelled customers, in random order: three tenths are history, the others come in the months after it.

    The world is changed by choosing which rows come; no row and no label is invented.
    """
    import numpy as np

    frame = _read(path)
    target = _target(frame, target, path)
    if len(frame) < LEAST_ROWS:
        raise DataError(f"{path} has {len(frame):,} rows; the demo's months need at least {LEAST_ROWS:,}.")
    order = np.random.default_rng(seed).permutation(len(frame))
    frame = frame.iloc[order].reset_index(drop=True)
    id_column = ID if ID in frame.columns else "customer_id"
    frame[id_column] = np.arange(1, len(frame) + 1)
    past = int(PAST * len(frame))
    history = frame.iloc[:past].copy()
    starts = month_starts(date(FIRST_MONTH.year - 1, FIRST_MONTH.month, 1), HISTORY_MONTHS)
    sizes = np.diff(np.linspace(0, past, len(starts) + 1).astype(int)).tolist()
    dates = [spread_over(start, size) for start, size in zip(starts, sizes, strict=True)]
    history[TIME] = np.concatenate(dates)
    sources: list[CustomerSource] = []
    begin = past
    for _, _, _, share in PLOT:
        end = begin + int(share * (len(frame) - past))
        sources.append(FrameSource(frame.iloc[begin:end], target, time=TIME, skip=(id_column,)))
        begin = end
    per_month = min(PER_MONTH, int(MONTH * (len(frame) - past)))
    return Story(history, tuple(_chapters(sources, per_month, seed)), target, id_column, TIME)


def _chapters(sources: list[CustomerSource], per_month: int, seed: int) -> Iterator[Chapter]:
    first = FIRST_MONTH
    for position, ((title, name, length, _), source) in enumerate(zip(PLOT, sources, strict=True)):
        months = month_starts(first, length)
        for month in stream(SCENARIOS[name], source, months, per_month, seed + position + 1, starts_at=0):
            yield Chapter(title.format(amount=source.roles.amount), month.start, month.frame, month.target)
        first = month_starts(first, length + 1)[-1]


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd

    if not path.is_file():
        raise NotFound(f"The file {path} does not exist.")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as a table: {error}.") from None


def _target(frame: "pd.DataFrame", named: str | None, path: Path) -> str:
    if named is not None:
        if named not in frame.columns:
            raise DataError(f"{path} has no column '{named}'.")
        return named
    for name in TARGETS:
        if name in frame.columns:
            return name
    raise ConfigError(f"Which column of {path} is the target? Name it with --target.")
