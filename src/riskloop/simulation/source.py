"""Where a scenario's rows come from: the embedded portfolio, or any labelled frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.stats import auc
from riskloop.core.types import Floats
from riskloop.simulation.embedded import ID, TARGET, TIME, World, month_starts, simulate, simulate_with_truth

if TYPE_CHECKING:
    import pandas as pd

CONTINUOUS = 20  # a numeric column with more distinct values than this is an amount
REFERENCE_ROWS = 20_000  # of the embedded portfolio, for ranks; the error of a rank is below 0.01


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns that scenarios act on. All but ``category`` are numeric."""

    risk: str  # the strongest driver of default
    mix: str  # says who the customers are rather than how they pay
    amount: str  # a continuous amount
    other: str  # another continuous amount
    category: str | None  # few levels; None when there is no such column

    @property
    def numeric(self) -> tuple[str, ...]:
        """The columns that must be numbers."""
        return (self.risk, self.mix, self.amount, self.other)


CARD_ROLES = Roles("PAY_0", "AGE", "LIMIT_BAL", "BILL_AMT1", "EDUCATION")


@dataclass(frozen=True, slots=True)
class Ranks:
    """Mid-ranks of rows among the source's unchanged rows: 0 lowest, 1 highest, a half where missing."""

    risk: Floats  # 1 is the riskiest end, whichever way the column runs
    mix: Floats
    amount: Floats


class Batch(NamedTuple):
    """Labelled rows (target included) and, where it is known, their true PD."""

    frame: "pd.DataFrame"
    true_pd: Floats | None


class Call(NamedTuple):
    """What one month of a stream asks for."""

    month: date
    rows: int
    world: World  # what the embedded portfolio's world is like in that month
    chosen: bool  # the scenario will turn rows away, so there must be spare ones


class CustomerSource(Protocol):
    """Labelled rows, month by month."""

    takes_worlds: bool  # changes by its `World`; the others by the choice of rows

    @property
    def target(self) -> str: ...

    @property
    def time(self) -> str: ...

    @property
    def roles(self) -> Roles: ...

    def pools(self, calls: Sequence[Call], seed: int) -> Iterator[Iterator[Batch]]:
        """For each call the batches to choose rows from; no row appears in two of them."""
        ...

    def ranks(self, frame: "pd.DataFrame") -> Ranks:
        """Where the rows stand among the source's unchanged rows."""
        ...


# --------------------------------------------------------------------------- the embedded portfolio


class Embedded:
    """The embedded portfolio: never runs out, and knows every true PD. In a ``panel`` customers come every month."""

    takes_worlds = True
    target = TARGET
    time = TIME
    roles = CARD_ROLES

    def __init__(self, *, panel: bool = False) -> None:
        self._panel = panel

    def pools(self, calls: Sequence[Call], seed: int) -> Iterator[Iterator[Batch]]:
        for call in calls:
            yield self._pool(call, seed)

    def _pool(self, call: Call, seed: int) -> Iterator[Batch]:
        batch, batch_seed = 0, seed
        while True:
            frame, true_pd = simulate_with_truth([call.month], call.rows, batch_seed, call.world, panel=self._panel)
            frame[ID] += batch * call.rows
            yield Batch(frame, true_pd)
            batch += 1
            batch_seed = int(np.random.SeedSequence((seed, batch)).generate_state(1)[0])

    def ranks(self, frame: "pd.DataFrame") -> Ranks:
        return _embedded_ranker().ranks(frame)


@lru_cache(maxsize=1)
def _embedded_ranker() -> "Ranker":
    reference = simulate(month_starts(date(2000, 1, 1), 1), REFERENCE_ROWS, seed=0)
    return Ranker(reference, TARGET, CARD_ROLES)


# --------------------------------------------------------------------------- any labelled frame


class FrameSource:
    """The rows of a labelled frame in random order, each handed out once.

    ``frame`` needs a target of 0 and 1 without gaps. ``time`` is written over, or added where absent, with the dates
    of the stream: shuffled rows have no dates of their own. ``skip`` names columns without a role, such as the id.
    Roles that are not given are the card portfolio's where its columns are all there, else guessed from the data.

    Raises DataError when the target or the columns for the roles are missing or unfit.
    """

    takes_worlds = False

    def __init__(
        self,
        frame: "pd.DataFrame",
        target: str = TARGET,
        *,
        time: str = TIME,
        skip: Sequence[str] = (),
        roles: Roles | None = None,
    ) -> None:
        if target not in frame.columns:
            raise DataError(f"The frame has no column '{target}'; name the target column.")
        if not frame[target].isin((0, 1)).all():
            raise DataError(f"Target '{target}' holds values other than 0 and 1; recode or drop these rows.")
        if frame[target].nunique() < 2:
            raise DataError(f"Target '{target}' has one class only; scenarios need defaults and non-defaults.")
        self.target, self.time = target, time
        self.roles = roles or _guess_roles(frame, target, {target, time, *skip})
        self._frame = frame
        self._ranker = Ranker(frame, target, self.roles)

    def pools(self, calls: Sequence[Call], seed: int) -> Iterator[Iterator[Batch]]:
        """Months without choice get the rows they ask for; the other months share all the rest evenly."""
        order = np.random.default_rng(seed).permutation(len(self._frame))
        fixed = sum(call.rows for call in calls if not call.chosen)
        choosers = sum(call.chosen for call in calls)
        spare = max(len(order) - fixed, 0) // max(choosers, 1)
        start = 0
        for call in calls:
            size = spare if call.chosen else call.rows
            yield iter([Batch(self._frame.iloc[order[start : start + size]], None)])
            start += size

    def ranks(self, frame: "pd.DataFrame") -> Ranks:
        return self._ranker.ranks(frame)


def _guess_roles(frame: "pd.DataFrame", target: str, skip: set[str]) -> Roles:
    """Roles by how well each column alone ranks the defaulters."""
    from pandas.api.types import is_numeric_dtype

    if set(CARD_ROLES.numeric) | {CARD_ROLES.category} <= set(frame.columns):
        return CARD_ROLES
    features = [name for name in frame.columns if name not in skip]
    levels = {name: frame[name].nunique() for name in features}
    numeric = [name for name in features if is_numeric_dtype(frame[name]) and levels[name] > 1]
    strength = {name: abs(auc(frame[target], frame[name].fillna(frame[name].median())) - 0.5) for name in numeric}
    risk, *rest = sorted(numeric, key=lambda name: -strength[name]) or [""]
    # The driver of risk has a part already; it is an amount only where there are no two others.
    amounts = [name for name in (*rest, risk) if levels.get(name, 0) > CONTINUOUS]
    if len(amounts) < 2:
        raise DataError(
            f"Scenarios need two numeric columns with more than {CONTINUOUS} distinct values; found {amounts}."
        )
    few = [name for name in features if 2 < levels[name] <= CONTINUOUS and name != risk]
    # Text first: a number with few values may be a count, whose levels nobody recodes.
    few.sort(key=lambda name: (is_numeric_dtype(frame[name]), -strength.get(name, 0.0)))
    mix = min(amounts, key=lambda name: strength[name])
    return Roles(risk, mix, amounts[0], amounts[1], few[0] if few else None)


class Ranker:
    """Mid-ranks against a reference."""

    def __init__(self, frame: "pd.DataFrame", target: str, roles: Roles) -> None:
        missing = [name for name in roles.numeric if name not in frame.columns]
        if missing:
            raise DataError(f"The frame has no column {', '.join(missing)}, which the scenarios' roles name.")
        self._roles = roles
        self._sorted = {name: _sorted_numbers(frame, name) for name in set(roles.numeric)}
        risk, defaulted = self._rank(frame, roles.risk), frame[target].to_numpy() == 1
        self._risky_end_is_high = risk[defaulted].mean() >= risk[~defaulted].mean()

    def ranks(self, frame: "pd.DataFrame") -> Ranks:
        risk = self._rank(frame, self._roles.risk)
        return Ranks(
            risk=risk if self._risky_end_is_high else 1.0 - risk,
            mix=self._rank(frame, self._roles.mix),
            amount=self._rank(frame, self._roles.amount),
        )

    def _rank(self, frame: "pd.DataFrame", name: str) -> Floats:
        known, values = self._sorted[name], frame[name].to_numpy(dtype=np.float64)
        below, upto = (np.searchsorted(known, values, side) for side in ("left", "right"))
        ranks: Floats = np.where(np.isnan(values), 0.5, (below + upto) / (2.0 * len(known)))
        return ranks


def _sorted_numbers(frame: "pd.DataFrame", name: str) -> Floats:
    try:
        values = frame[name].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Column '{name}' has a role in the scenarios and must be numeric.") from error
    numbers: Floats = np.sort(values[~np.isnan(values)])
    if not len(numbers):
        raise DataError(f"Column '{name}' has a role in the scenarios and holds no number.")
    return numbers
