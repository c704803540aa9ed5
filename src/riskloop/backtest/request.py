"""What is asked of one back-test."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from riskloop.backtest.history import Wishes
from riskloop.core.errors import ConfigError
from riskloop.core.periods import Calendar
from riskloop.core.settings import Settings, parse_duration

if TYPE_CHECKING:
    import pandas as pd

WORK: Final = Path(".riskloop-backtest")


@dataclass(frozen=True)
class Request:
    """What is asked of one back-test."""

    history: "Path | str | pd.DataFrame | None" = None
    wishes: Wishes = field(default_factory=Wishes)
    policies: str = "on_drift"
    scenario: str | None = None
    months: int = 24
    per_month: int = 2000
    approve: bool = True  # whether the gate's `needs_approval` is approved
    settings: Settings | None = None  # None: inferred
    work: Path = WORK
    keep: bool = False  # the portfolios, to be looked at with the other commands
    jobs: int | None = None  # processes; None: one for each core


def wishes(
    target: str | None,
    time: str | None,
    customer: str | None,
    outcome_window: str | None,
    windows: str | None,
    trained: int | None,
    seed: int | None,
) -> Wishes:
    """The options of the command; ConfigError for a duration or a window that is none."""
    by: Calendar | None = next((name for name in get_args(Calendar) if name == windows), None)
    if by != windows:
        raise ConfigError(f"--windows {windows}: choose day, week or month.")
    try:
        span = parse_duration(outcome_window)
    except ValueError as error:
        raise ConfigError(f"--outcome-window: {error}.") from None
    return Wishes(target, time, customer, span, by, trained, seed)
