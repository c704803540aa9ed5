"""What a data fault cost: the decisions on faulty rows beside those of a sound window, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskloop.core.maturity import Maturity
from riskloop.core.sampling import spread
from riskloop.core.settings import MoneySettings
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.windows import Window, Windows
from riskloop.web.queries import SAMPLE, DecisionSummary, served_between

SOUND: int = 12  # windows before the fault among which a sound one is looked for


@dataclass(frozen=True, slots=True)
class Incident:
    """The decisions of a case's faulty windows in sum."""

    windows: list[Window]
    decisions: int
    faulty: DecisionSummary
    normal: Window | None  # the latest sound window before the fault
    usual: DecisionSummary | None  # its decisions
    approved: int  # of a sample
    known: int  # of these, with an outcome
    defaults: int
    money: float | None  # from those with an outcome; None where no amounts are set

    @property
    def more(self) -> float | None:
        """How many more were approved than at the usual rate, below 0: fewer."""
        if self.usual is None or self.usual.approval_rate is None or self.faulty.approval_rate is None:
            return None
        return (self.faulty.approval_rate - self.usual.approval_rate) * self.decisions


def incident(
    database: Database,
    log: DecisionLog,
    store: Windows,
    money: MoneySettings,
    known: Maturity,
    windows: Sequence[Window],
) -> Incident | None:
    """Of a case's windows those that are quarantined; None where there are none."""
    held = [window for window in windows if window.quarantined and window.rows]
    if not held:
        return None
    before = store.latest(SOUND, held[0].id - 1) if held[0].id > 1 else []
    normal = next((w for w in reversed(before) if w.rows and not w.quarantined), None)
    total = sum(window.last_id - window.first_id + 1 for window in held)
    parts = [
        spread(w.first_id, w.last_id, max(1, SAMPLE * (w.last_id - w.first_id + 1) // total)) for w in held
    ]  # each window with its share of the sample
    frame = log.chosen(np.concatenate(parts), known, bare=True)
    given = frame.outcomes[frame.approved]
    happened = given[given == given]  # NaN: not known
    defaults = int(happened.sum())
    return Incident(
        windows=held,
        decisions=sum(window.rows for window in held),
        faulty=_sum([served_between(database, window.first_id, window.last_id) for window in held]),
        normal=normal,
        usual=None if normal is None else served_between(database, normal.first_id, normal.last_id),
        approved=int(frame.approved.sum()),
        known=int(happened.size),
        defaults=defaults,
        money=_money(money, int(happened.size), defaults, total / max(1, len(frame))),
    )


def _sum(parts: Sequence[DecisionSummary]) -> DecisionSummary:
    """Windows together, each with the weight of its decisions."""
    told = [part for part in parts if part.mean_pd is not None and part.approval_rate is not None]
    count = sum(part.decisions for part in told)
    if not count:
        return DecisionSummary(sum(part.decisions for part in parts), 0, None, None)
    mean = sum((part.mean_pd or 0.0) * part.decisions for part in told) / count
    rate = sum((part.approval_rate or 0.0) * part.decisions for part in told) / count
    return DecisionSummary(count, sum(part.sampled for part in told), mean, rate)


def _money(money: MoneySettings, known: int, defaults: int, each: float) -> float | None:
    if money.default_cost is None or money.good_gain is None:
        return None
    return each * (money.good_gain * (known - defaults) - money.default_cost * defaults)
