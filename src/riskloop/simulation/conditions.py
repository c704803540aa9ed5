"""The conditions of a lender under which any scenario can be played: how outcomes come, of whom, and of what book.

One scenario says what changes in the world; `Conditions` say what the lender is like that it happens to. `Lender` is
the embedded portfolio of such a lender, and `Conditions.feed` how its outcomes come in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from riskloop.core.types import Floats
from riskloop.simulation.embedded import ID, TARGET, TIME, World, month_starts, simulate_with_truth
from riskloop.simulation.feeds import FEEDS, WRONG, FeedKind, Labels, SimulatedFeed
from riskloop.simulation.source import CARD_ROLES, REFERENCE_ROWS, Batch, Call, Embedded, Ranks

if TYPE_CHECKING:
    import pandas as pd

Delivery = Literal["on_time", "monthly", "late", "corrected"]
Selection = Literal["all", "approved", "explored"]
Repetition = Literal["once", "panel"]
Width = Literal["card", "wide", "levels"]

LEVELS: Final[dict[str, tuple[Any, ...]]] = {
    "delivery": get_args(Delivery),
    "selection": get_args(Selection),
    "repetition": get_args(Repetition),
    "correlation": (0.0, 0.03),
    "width": get_args(Width),
    "base_rate": (0.22, 0.03, 0.005),
}

APPROVED: Final = 0.8  # share of the history below the threshold, whatever the base rate is
EXPLORED: Final = 0.05  # share of the declined that is approved at random
LASTING: Final = 0.5  # correlation of a returning customer's defaults with each other, of their latent variables
COPIES: Final = 77  # columns of a wide book beside the card portfolio's 23 …
COPIED: Final = ("LIMIT_BAL", "BILL_AMT1", "BILL_AMT2", "BILL_AMT3", "PAY_AMT1", "PAY_AMT2", "PAY_AMT3")
BLUR: Final = 0.15  # … each one of these amounts times exp(0.15 z)
DEALERS: Final = 1_000
USUAL_RATE: Final = LEVELS["base_rate"][0]  # of the embedded portfolio as it is


@dataclass(frozen=True, slots=True)
class Conditions:
    """One lender's conditions; the defaults are the ones in which loops are usually judged."""

    delivery: Delivery = "on_time"  # a file on the 5th, ten days late, some wrong and corrected later
    selection: Selection = "all"  # whose outcomes are reported: everybody's, or those of the approved
    repetition: Repetition = "once"  # a panel: the same customers come every month
    correlation: float = 0.0  # asset correlation of the defaults of one month
    width: Width = "card"  # 23 columns, 100 of which many are nearly copies, or a category of 1,000 levels more
    base_rate: float = USUAL_RATE

    @property
    def settings(self) -> tuple[str, ...]:
        """What such a lender writes into riskloop.toml beside the columns, each as TOML."""
        chosen = ['threshold.policy = "approval_rate"', f"threshold.approval_rate = {APPROVED}"]
        if self.selection == "explored":
            chosen.append(f"exploration.rate = {EXPLORED}")
        if self.repetition == "panel":
            chosen.append(f'portfolio.unit = "{ID}"')
        return tuple(chosen)

    def kind(self, labels: Labels | None = None) -> FeedKind:
        """The feed's kind; with a fault of its ``labels``, which a corrected feed cannot have besides."""
        # Where few default, as large a share of the reported defaults is wrong as where many do.
        wrong = WRONG * self.base_rate / USUAL_RATE
        kind = replace(FEEDS[self.delivery], approved_only=self.selection != "all", wrong=wrong)
        return kind if labels is None else replace(kind, labels=labels)

    def feed(
        self, outcome_window: timedelta, seed: int, labels: Labels | None = None, since: datetime | None = None
    ) -> SimulatedFeed:
        """A new feed of that kind."""
        return SimulatedFeed(self.kind(labels), outcome_window, seed, since)

    def __str__(self) -> str:
        return ", ".join(str(getattr(self, field.name)) for field in fields(self))


class Lender:
    """The embedded portfolio as a lender of these conditions has it: a `CustomerSource` that never runs out.

    A customer defaults in a month when √ρ·Z + √λ·W + √(1−ρ−λ)·ε < Φ⁻¹(PD), with Z of the month and W of the customer
    (λ = 0.5 in a panel, else 0), so that each true PD is what it is without them.
    """

    takes_worlds = True
    target = TARGET
    time = TIME
    roles = CARD_ROLES

    def __init__(self, conditions: Conditions, per_month: int) -> None:
        self.conditions, self._size = conditions, per_month
        self._panel = conditions.repetition == "panel"
        self._base = shift_to(conditions.base_rate)
        self._plain = Embedded(panel=self._panel)

    def pools(self, calls: Sequence[Call], seed: int) -> Iterator[Iterator[Batch]]:
        """For each call endless batches; a panel's first batch is the same customers in every call."""
        for call in calls:
            yield self._pool(call, seed)

    def _pool(self, call: Call, seed: int) -> Iterator[Batch]:
        # A panel's people are drawn together: of a smaller month they are the first ones.
        rows = max(call.rows, self._size) if self._panel else call.rows
        asked = call._replace(rows=rows, world=replace(call.world, base=call.world.base + self._base))
        for number, batch in enumerate(next(self._plain.pools([asked], seed))):
            yield self._as_booked(batch, call, (seed, call.month.year, call.month.month, number))

    def _as_booked(self, batch: Batch, call: Call, seed: tuple[int, ...]) -> Batch:
        if batch.true_pd is None:
            raise ValueError("the embedded portfolio knows every true PD")
        frame, true_pd = batch.frame.iloc[: call.rows], batch.true_pd[: call.rows]
        columns = self._more(frame, np.random.default_rng((*seed, 1)))
        defaults = self._defaults(true_pd, seed)
        return Batch(frame.assign(**columns, **{TARGET: defaults}), true_pd)

    def _defaults(self, true_pd: Floats, seed: tuple[int, ...]) -> Any:
        from scipy.special import ndtri

        rho, lasting = self.conditions.correlation, LASTING if self._panel else 0.0
        month = np.random.default_rng((*seed[:3], 2))
        customer = np.random.default_rng((seed[0], seed[3], 3)).standard_normal(len(true_pd))
        own = np.random.default_rng((*seed, 4)).standard_normal(len(true_pd))
        latent = np.sqrt(rho) * month.standard_normal() + np.sqrt(lasting) * customer
        return (latent + np.sqrt(1.0 - rho - lasting) * own < ndtri(true_pd)).astype(np.int64)

    def _more(self, frame: "pd.DataFrame", rng: np.random.Generator) -> dict[str, Any]:
        """The columns that only this lender has; no default depends on them beyond what they copy."""
        n = len(frame)
        if self.conditions.width == "levels":
            dealers = np.minimum((DEALERS * rng.random(n) ** 1.6).astype(np.int64), DEALERS - 1)
            return {"dealer": np.array([f"D{dealer:03d}" for dealer in dealers], dtype=object)}
        if self.conditions.width == "wide":
            amounts = [frame[COPIED[k % len(COPIED)]].to_numpy() for k in range(COPIES)]
            return {f"x{k:02d}": np.round(a * np.exp(BLUR * rng.standard_normal(n))) for k, a in enumerate(amounts)}
        return {}

    def ranks(self, frame: "pd.DataFrame") -> Ranks:
        """Among the embedded portfolio's customers."""
        return self._plain.ranks(frame)


@lru_cache(maxsize=8)
def shift_to(base_rate: float) -> float:
    """What has to be added to everybody's log-odds for so many defaults; 0 for the embedded portfolio's own rate."""
    from scipy.optimize import brentq

    if base_rate == USUAL_RATE:
        return 0.0
    _, pd = simulate_with_truth(month_starts(date(2000, 1, 1), 1), REFERENCE_ROWS, 0, World())
    odds = np.log(pd / (1.0 - pd))
    return float(brentq(lambda shift: np.mean(1.0 / (1.0 + np.exp(-odds - shift))) - base_rate, -20.0, 10.0))
