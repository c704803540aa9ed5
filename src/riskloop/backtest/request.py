"""What is asked of one back-test."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from riskloop.core.errors import ConfigError
from riskloop.core.periods import Calendar
from riskloop.core.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from riskloop.data.joined import Joined

WORK: Final = Path(".riskloop-backtest")


@dataclass(frozen=True)
class Request:
    """What is asked of one back-test. None: as the settings say, or a sensible choice."""

    history: "Path | str | pd.DataFrame | Joined | None" = None
    target: str | None = None
    time: str | None = None
    id: str | None = None
    outcome_window: timedelta | None = None
    windows: Calendar | None = None
    train_on: int | None = None  # periods at the start that the first model is trained on
    seed: int | None = None
    policies: str = "on_drift"
    scenario: str | None = None
    months: int = 24
    per_month: int = 2000
    approve: bool = True  # whether the gate's `needs_approval` is approved
    settings: Settings | None = None  # None: inferred
    work: Path = WORK
    keep: bool = False  # the portfolios, to be looked at with the other commands
    jobs: int | None = None  # processes; None: one for each core

    @property
    def game_seed(self) -> int:
        """The seed that a scenario is played with."""
        return 1 if self.seed is None else self.seed

    def column(self, name: str) -> str | None:
        """The column that is the ``target``, the ``time`` or the ``id``: as asked for, else as the settings say."""
        asked: str | None = getattr(self, name)
        return asked or (None if self.settings is None else getattr(self.settings.portfolio, name))

    @property
    def outcome(self) -> str:
        """The target column; ConfigError when nobody names it."""
        found = self.column("target")
        if found is None:
            raise ConfigError("Which column says who defaulted? Name it with --target.")
        return found


def adapted(settings: Settings, asked: Request) -> Settings:
    """The portfolio's settings as a back-test runs with them: own storage, no pages, whole calendar windows."""
    by = asked.windows or settings.windows.by
    if by == "count":
        raise ConfigError("A back-test counts by calendar; give --windows month, for example.")
    portfolio = {"outcome_window": asked.outcome_window or settings.portfolio.outcome_window, "history": None}
    seed = settings.train.seed if asked.seed is None else asked.seed
    return settings.model_copy(
        update={
            "portfolio": settings.portfolio.model_copy(update=portfolio),
            "storage": Settings.model_fields["storage"].default,
            "windows": settings.windows.model_copy(update={"by": by}),
            # Evidently takes seconds for each window; the profiles give the same numbers.
            "drift": settings.drift.model_copy(update={"evidently_rows": 0}),
            "train": settings.train.model_copy(update={"seed": seed}),
            "alerts": Settings.model_fields["alerts"].default,  # nobody is told of what happens in a back-test
        }
    )
