"""A scenario played month by month, with the truth beside the rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.types import Diagnosis, Floats, Ints
from riskloop.simulation.catalogue import Keep, Scenario
from riskloop.simulation.embedded import World, spread_over
from riskloop.simulation.source import Batch, Call, CustomerSource

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Month:
    """One month of production, and the truth about it."""

    start: date
    frame: "pd.DataFrame"  # what the feed delivers: the source's columns without the target, ordered by arrival
    target: Ints  # outcome of each row, 0 or 1; what will be known once the outcome window has passed
    true_pd: Floats | None  # P(target = 1 | row before any fault); None where nobody knows it
    diagnosis: Diagnosis  # the truth in this month
    share: float  # how far the change has gone: 0 not begun, 1 complete


def stream(
    scenario: Scenario,
    source: CustomerSource,
    months: Sequence[date],
    per_month: int,
    seed: int,
    starts_at: int | None = None,
) -> Iterator[Month]:
    """``scenario`` played on ``source``: one `Month` of ``per_month`` rows for each first-of-month date.

    ``starts_at`` is the position of the first changed month, by default the scenario's own. The same arguments give
    the same stream. Raises DataError when a labelled frame has too few rows for what the scenario selects.
    """
    if per_month < 1:
        raise ConfigError(f"per_month is {per_month}; a month has at least one row.")
    first = scenario.starts_at if starts_at is None else starts_at
    shares = [scenario.course(k - first, month) if k >= first else 0.0 for k, month in enumerate(months)]
    world = scenario.world if source.takes_worlds else None
    keep = None if world else scenario.keep
    calls = [
        Call(
            month=month,
            rows=min(per_month, scenario.most or per_month) if share else per_month,
            world=World().towards(world, share) if world else World(),
            chosen=bool(share and keep),
        )
        for month, share in zip(months, shares, strict=True)
    ]
    for call, share, pool in zip(calls, shares, source.pools(calls, seed), strict=True):
        if call.chosen and keep is not None:
            batch = _choose(keep, source, pool, call, share, seed)
        else:
            batch = _take(next(pool), call)
        yield _deliver(scenario, source, batch, call, share, seed)


def _take(batch: Batch, call: Call) -> Batch:
    if len(batch.frame) < call.rows:
        raise _too_few(call, len(batch.frame))
    return batch


def _choose(keep: Keep, source: CustomerSource, pool: Iterator[Batch], call: Call, share: float, seed: int) -> Batch:
    """Rejection sampling, so the chosen rows are an exact sample of the changed population.

    A row stays with probability k(x, y), hence P'(y=1|x) = p k(x, 1) / (p k(x, 1) + (1 - p) k(x, 0)).
    """
    import pandas as pd

    rng = _rng(seed, call, purpose=1)
    frames, truths, found = [], [], 0
    for batch in pool:
        ranks = source.ranks(batch.frame)
        good, bad = (keep(ranks, np.full(len(batch.frame), defaulted)) ** share for defaulted in (False, True))
        chance = np.where(batch.frame[source.target].to_numpy() == 1, bad, good)
        stays = np.flatnonzero(rng.random(len(chance)) < chance)[: call.rows - found]
        frames.append(batch.frame.iloc[stays])
        if batch.true_pd is not None:
            bads = batch.true_pd * bad
            truths.append((bads / (bads + (1.0 - batch.true_pd) * good))[stays])
        found += len(stays)
        if found == call.rows:
            return Batch(pd.concat(frames), np.concatenate(truths) if truths else None)
    raise _too_few(call, found)


def _too_few(call: Call, found: int) -> DataError:
    return DataError(
        f"Month {call.month.isoformat()} of the scenario needs {call.rows} rows and the data has only {found} left "
        f"for it; ask for fewer rows a month, fewer months, or give more data."
    )


def _deliver(scenario: Scenario, source: CustomerSource, batch: Batch, call: Call, share: float, seed: int) -> Month:
    """The month as it arrives: dated, its labels scrambled or its feed damaged where the scenario says so."""
    target = batch.frame[source.target].to_numpy(dtype=np.int64)
    true_pd = batch.true_pd
    frame = batch.frame.drop(columns=source.target).reset_index(drop=True)
    frame[source.time] = spread_over(call.month, len(frame))
    if share and scenario.scrambled:
        target, true_pd = _scramble(target, true_pd, share * scenario.scrambled, _rng(seed, call, purpose=2))
    if share and scenario.damage:
        frame = scenario.damage(frame, source.roles, source.time, _rng(seed, call, purpose=3))
        arrived = frame.index.to_numpy()  # damage may repeat or lose rows; the index says which came through
        target, true_pd = target[arrived], None if true_pd is None else true_pd[arrived]
        frame = frame.reset_index(drop=True)
    return Month(
        start=call.month,
        frame=frame,
        target=target,
        true_pd=true_pd,
        diagnosis=scenario.diagnosis if share else Diagnosis.STABLE,
        share=share,
    )


def _scramble(
    target: Ints, true_pd: Floats | None, part: float, rng: np.random.Generator
) -> tuple[Ints, Floats | None]:
    """Hand the labels of a random ``part`` of the rows round among them: the default rate stays."""
    rows = np.flatnonzero(rng.random(len(target)) < part)
    scrambled = target.copy()
    scrambled[rows] = target[rng.permutation(rows)]
    return scrambled, None if true_pd is None else (1.0 - part) * true_pd + part * true_pd.mean()


def _rng(seed: int, call: Call, purpose: int) -> np.random.Generator:
    return np.random.default_rng((seed, call.month.year, call.month.month, purpose))


# --------------------------------------------------------------------------- the truth about a score


def true_auc(score: Floats, true_pd: Floats) -> float:
    """The AUC that ``score`` has in expectation when row i defaults with probability ``true_pd[i]``.

    Σ p_i (1 - p_j) ([s_i > s_j] + ½ [s_i = s_j]) / Σ p_i (1 - p_j) over pairs of different rows: the ratio of the
    expected Mann-Whitney statistic to the expected number of pairs, exact with ties, in O(n log n).

    Raises DataError when the lengths differ or no pair of a default and a non-default is possible.
    """
    if len(score) != len(true_pd):
        raise DataError(f"{len(score)} scores and {len(true_pd)} true PDs; give one of each per row.")
    order = np.argsort(score, kind="stable")
    ranked, bad = np.asarray(score)[order], np.asarray(true_pd, dtype=np.float64)[order]
    good = 1.0 - bad
    pairs = bad.sum() * good.sum() - (bad * good).sum()
    if len(bad) < 2 or not pairs > 0.0:
        raise DataError("The true AUC needs rows that can default and rows that can repay.")
    before = np.concatenate(([0.0], np.cumsum(good)))
    below, upto = (before[np.searchsorted(ranked, ranked, side)] for side in ("left", "right"))
    won = bad * (below + 0.5 * (upto - below - good))
    return float(won.sum() / pairs)
