"""Which rows a challenger learns from, with which weights.

A :class:`Pool` holds all matured rows in time order. Everything else is index arrays into it: plans of what is
fitted and what is tested live in :mod:`riskloop.retrain.plan`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.exploration import inclusion_weights
from riskloop.core.manifest import TrainingRecord
from riskloop.core.sampling import drawn
from riskloop.core.settings import RetrainSettings
from riskloop.core.stats import customer_codes, effective_size, paired_delong
from riskloop.core.types import Bools, DecisionFrame, Floats, Ints, Rows

UNIFORM: Final = "uniform"
CREDIBILITY: Final = "credibility"
DENSITY_RATIO: Final = "density_ratio"
Way = TypeVar("Way")  # to weight, or to learn

_BLOCK: Final = 1_000_000  # numbers at once
_LUCK: Final = 0.05  # a gain on the validation block that is seen so often without any


@dataclass(frozen=True, slots=True)
class Pool:
    """Every matured row that may be learned from or tested on, oldest first."""

    rows: Rows  # ids are customers; the target is set
    sources: Ints  # (n,): a decision's id (from 1), or −1 − position for a row of the history
    stands_for: Floats  # (n,): applicants behind each row; above 1 only for explored decisions
    customers: Ints  # (n,): a number for each customer, history and decisions together
    share: float = 1.0  # of everything that could be learned from, drawn by the sources; each row is of equal chance

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Floats:
        """The outcomes, shape (n,)."""
        if self.rows.target is None:
            raise DataError("The matured rows carry no outcomes; build them with `pool`.")
        return self.rows.target


@dataclass(frozen=True, slots=True)
class Weighting:
    """One way to weight old against recent rows."""

    name: str
    credibility: float | None = None  # defaults of the new world that weigh as much as all before; 0: it alone counts
    density: bool = False  # old rows count as often as their kind of customer occurs now


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The exact rows of one fit."""

    index: Ints  # of the rows in the pool
    rows: Rows
    weights: Floats | None  # mean 1; None: all alike
    effective_size: float  # Kish's (Σw)²/Σw² rows
    fingerprint: str  # sha256 over ids, features, labels and weights
    record: TrainingRecord
    sentence: str
    changed: Bools | None = None  # (n,): rows of a world in which the same customers default differently


def pool(
    history: Rows | None,
    decisions: DecisionFrame | None,
    quarantined: Sequence[tuple[int, int]] = (),
    *,
    identified: bool = True,
    share: float = 1.0,
) -> Pool:
    """History and matured decisions together; ``quarantined`` are ranges of decision ids, both ends included.

    ``identified`` says that the history's ids name customers; else they are row numbers, and each row stands alone.

    Decisions without a matured outcome stay out: early defaults alone would bias the labels. Rows of a history
    without times count as made just before the first decision. Explored decisions stand for declined ones.

    ``share`` is what was drawn of the decisions already; of the history the same share is drawn here, so that every row
    stands for as many.
    """
    parts: list[tuple[Rows, Ints, Floats]] = []
    if decisions is not None and len(decisions):
        usable = ~np.isnan(decisions.outcomes) & ~_within(decisions.ids, quarantined)
        chosen = np.flatnonzero(usable)
        rows = Rows(
            decisions.features[chosen],
            [decisions.customer_ids[i] for i in chosen.tolist()],
            decisions.times[chosen],
            decisions.outcomes[chosen],
        )
        parts.append((rows, decisions.ids[chosen], applicants(decisions)[chosen]))
    if history is not None and len(history):
        if history.target is None:
            raise DataError("The history carries no target, so nothing can be learned from it.")
        before = int(parts[0][0].times.min()) - 1 if parts and len(parts[0][0]) else 0
        times = history.times if history.times.any() else np.full_like(history.times, before)
        rows = Rows(history.features, history.ids, times, history.target)
        positions = -1 - np.arange(len(history), dtype=np.int64)
        chosen = np.flatnonzero(drawn(positions, share))
        parts.append((rows.take(chosen), positions[chosen], np.ones(len(chosen))))
    if not parts:
        raise DataError("There are neither history rows nor matured decisions to learn from.")
    return _sorted(parts, identified, share)


def applicants(decisions: DecisionFrame) -> Floats:
    """How many applicants each decision stands for, shape (n,); 1 where nothing is known of refusals."""
    known = ~np.isnan(decisions.outcomes)
    weights = np.ones(len(decisions))
    if decisions.declined is None or decisions.exploration is None or not known.any():
        return weights
    over = decisions.times <= decisions.times[known].max()  # later ones lack outcomes because they are young
    weights[over] = inclusion_weights(decisions.exploration[over], decisions.declined[over], known[over])
    return weights


def _sorted(parts: Sequence[tuple[Rows, Ints, Floats]], identified: bool, share: float) -> Pool:
    sources = np.concatenate([source for _, source, _ in parts])
    stands_for = np.concatenate([each for _, _, each in parts])
    times = np.concatenate([rows.times for rows, _, _ in parts])
    # History before decisions of the same time, each in its own order.
    order = np.lexsort((np.abs(sources), sources > 0, times))
    ids = [name for rows, _, _ in parts for name in rows.ids]
    target = np.concatenate([rows.target for rows, _, _ in parts if rows.target is not None])
    features = np.concatenate([rows.features for rows, _, _ in parts])
    rows = Rows(features[order], [ids[i] for i in order.tolist()], times[order], target[order])
    logged = (sources > 0).tolist()
    names = [ids[i] if identified or logged[i] else "" for i in order.tolist()]
    return Pool(rows, sources[order], stands_for[order], customer_codes(names), share)


def _within(ids: Ints, ranges: Sequence[tuple[int, int]]) -> Bools:
    """Which ``ids`` lie in one of the ranges, which may overlap."""
    if not len(ranges):
        return np.zeros(ids.shape, dtype=np.bool_)
    first, last = np.array(sorted(ranges), dtype=np.int64).T
    place = np.searchsorted(first, ids, side="right")
    reached = np.maximum.accumulate(last)
    inside: Bools = (place > 0) & (ids <= reached[np.maximum(place - 1, 0)])
    return inside


def unseen_by(record: TrainingRecord | None, rows: Pool) -> Bools:
    """Which rows a model was not trained on, shape (n,), by its training record; None: trained on the history."""
    return unseen_sources(record, rows.sources)


def unseen_sources(record: TrainingRecord | None, sources: Ints) -> Bools:
    """The same for rows that are only known by their sources, as in `Pool`."""
    if record is None:
        return sources > 0
    learned = _within(sources, record.decisions) | _within(-1 - sources, record.history)
    return ~(learned & drawn(sources, record.share))


def weightings(settings: RetrainSettings, *, drifted: bool, shifted: bool) -> tuple[Weighting, ...]:
    """The candidates, the preferred one first: ``drifted`` says that new rows differ, ``shifted`` that the mix does."""
    uniform, density = Weighting(UNIFORM), Weighting(DENSITY_RATIO, density=True)
    credible = Weighting(CREDIBILITY, credibility=settings.credibility)
    match settings.weighting:
        case "uniform":
            return (uniform,)
        case "credibility":
            return (credible,) if drifted else (uniform,)
        case "density_ratio":
            return (density,) if shifted else (uniform,)
        case "validated":
            return (credible,) if drifted else (uniform, *((density,) if shifted else ()))


def choose(labels: Floats, validation: Sequence[tuple[Way, Floats]], customers: Ints | None = None) -> Way:
    """The first way to fit, or the best of those that are shown to rank the validation block better.

    Scores (n,), outcomes ``labels`` (n,) and ``customers`` (n,) are the block's, which is small: taking whatever ranks
    it best is a choice by luck, and makes worse models than a good first guess. Raises DataError when there is nothing
    to choose from.
    Source: DeLong's test; Shimodaira, Journal of Statistical Planning and Inference 90 (2000) 227–244, section 3.
    """
    if not validation:
        raise DataError("Nothing was validated; fit at least one.")
    first, *others = validation
    tests = [(way, paired_delong(labels, first[1], scores, customers=customers)) for way, scores in others]
    better = [(way, test.difference) for way, test in tests if test.p_one_sided <= _LUCK]
    return max(better, key=lambda pair: pair[1])[0] if better else first[0]


def training_set(
    rows: Pool,
    index: Ints,
    settings: RetrainSettings,
    *,
    weighting: Weighting | None = None,
    since: int | None = None,
    ratios: Floats | None = None,
    stands_for: Floats | None = None,
) -> TrainingSet:
    """The rows at ``index`` with their weights.

    ``since`` is the first microsecond of the new world. ``ratios`` are density ratios and ``stands_for`` the rows
    that each one represents after :func:`thinned`, both of ``index``'s length.
    Raises DataError where the weighting needs one of them and it is missing, or where a class is left empty.
    """
    chosen = weighting or Weighting(UNIFORM)
    if ratios is not None and ratios.shape != index.shape:
        raise DataError(f"There are {ratios.size} density ratios for {index.size} rows; give one per row.")
    times = rows.rows.times[index]
    seen = _in_window(times, settings) * (np.ones(index.size) if stands_for is None else stands_for)
    base = seen * rows.stands_for[index]
    weights = _weights(base, seen, times, rows.labels[index], settings, chosen, since, ratios)
    kept, weights = index[weights > 0.0], weights[weights > 0.0]
    alike = bool(np.all(weights == weights[:1]))
    return _assembled(rows, kept, None if alike else weights / weights.mean(), chosen, since)


def _weights(
    base: Floats,
    seen: Floats,
    times: Ints,
    labels: Floats,
    settings: RetrainSettings,
    weighting: Weighting,
    since: int | None,
    ratios: Floats | None,
) -> Floats:
    weights = base.copy()
    if settings.window == "decayed" and times.size:
        half_life = settings.half_life.total_seconds() * 1e6
        weights *= np.exp2(-(times.max() - times) / half_life)
    if weighting.density:
        if ratios is None:
            raise DataError("Density-ratio weighting needs one ratio per row.")
        weights *= np.minimum(ratios, settings.max_weight)
    if weighting.credibility is not None:
        if since is None:
            raise DataError(f"The weighting '{weighting.name}' needs the time since when the world is different.")
        recent = times >= since
        carried, rest = float(weights[recent].sum()), float(weights[~recent].sum())
        share = _credible(seen[recent], labels[recent], weighting.credibility)
        # With rows of one kind there is nothing to prefer; after a small history new rows weigh what their number does.
        if carried and rest and share > carried / (carried + rest):
            weights[recent] *= share / carried
            weights[~recent] *= (1.0 - share) / rest
    return weights


def _credible(seen: Floats, labels: Floats, half: float) -> float:
    """The share of all weight that a new world's rows have earned: n / (n + half), n of the rarer outcome.

    ``seen`` (n,) are the rows that each one was drawn for. Few rows teach less than what they contradict, and what
    happened once may end. Source: Bühlmann, ASTIN Bulletin 4 (1967) 199–207.
    """
    defaults = float(seen[labels == 1.0].sum())
    rarer = min(defaults, float(seen.sum()) - defaults)
    return rarer / (rarer + half) if half else 1.0


def _in_window(times: Ints, settings: RetrainSettings) -> Bools:
    """What a sliding window leaves in; ages count from the latest row, not from a clock."""
    if settings.window != "sliding" or not times.size:
        return np.ones(times.shape, dtype=np.bool_)
    inside: Bools = times > times.max() - settings.length.total_seconds() * 1e6
    return inside


def thinned(rows: Pool, index: Ints, most: int, *, since: int | None, seed: int) -> tuple[Ints, Floats]:
    """At most ``most`` rows for a quick fit, and how many rows each one stands for; the new world's rows go last.

    A seeded draw among the old rows; recent ones are thinned only where they alone are more than half of ``most``.
    """
    if index.size <= most:
        return index, np.ones(index.size)
    recent = np.zeros(index.size, dtype=np.bool_) if since is None else rows.rows.times[index] >= since
    rng = np.random.default_rng(seed)
    new, old = np.flatnonzero(recent), np.flatnonzero(~recent)
    room_new = min(new.size, max(most // 2, most - old.size))
    drawn_new = rng.choice(new, room_new, replace=False)
    drawn_old = rng.choice(old, min(old.size, most - room_new), replace=False)
    drawn = np.sort(np.concatenate((drawn_new, drawn_old)))
    each = np.where(recent[drawn], new.size / max(1, drawn_new.size), old.size / max(1, drawn_old.size))
    return index[drawn], each


def _assembled(rows: Pool, index: Ints, weights: Floats | None, weighting: Weighting, since: int | None) -> TrainingSet:
    taken = rows.rows.take(index)
    labels = rows.labels[index]
    defaults = int(np.count_nonzero(labels))
    if not 0 < defaults < labels.size:
        raise DataError(f"A training set of {labels.size} rows with {defaults} defaults cannot be learned from.")
    sources = rows.sources[index]
    effective = float(labels.size) if weights is None else effective_size(weights)
    print_ = fingerprint(taken, weights)
    logged = int(np.count_nonzero(sources > 0))
    record = TrainingRecord(
        fingerprint=print_,
        rows=int(labels.size),
        defaults=defaults,
        decisions=_runs(sources[sources > 0], rows.share),
        history=tuple((-1 - last, -1 - first) for first, last in reversed(_runs(sources[sources < 0], rows.share))),
        share=rows.share,
        explored=int(np.count_nonzero(rows.stands_for[index] > 1.0)),
        weighting=weighting.name,
        since=since,
        effective_size=effective,
    )
    weighted = "" if weights is None else f", weighted '{weighting.name}' (worth {effective:,.0f} equal rows)"
    of_all = "" if rows.share >= 1.0 else f", a random {rows.share:.2%} of all,"
    sentence = (
        f"Trained on {labels.size:,} matured rows{of_all} with {defaults:,} defaults, "
        f"{labels.size - logged:,} of the history and {logged:,} logged decisions{weighted}."
    )
    changed = None if weighting.credibility is None or since is None else taken.times >= since
    return TrainingSet(index, taken, weights, effective, print_, record, sentence, changed)


def fingerprint(rows: Rows, weights: Floats | None) -> str:
    """sha256 over ids, features, labels and weights, in order."""
    digest = hashlib.sha256("".join(f"{name}\0" for name in rows.ids).encode())
    columns: list[npt.NDArray[np.float64] | None] = [rows.features, rows.target, weights]
    for column in columns:
        digest.update(b"none" if column is None else np.ascontiguousarray(column, dtype="<f8").tobytes())
    return digest.hexdigest()


def _runs(numbers: Ints, share: float) -> tuple[tuple[int, int], ...]:
    """Whole numbers as ascending (first, last) runs; what the share does not hold interrupts none."""
    if not numbers.size:
        return ()
    ordered = np.sort(numbers)
    places = ordered if share >= 1.0 else np.searchsorted(_all_drawn(ordered[0], ordered[-1], share), ordered)
    breaks = np.flatnonzero(np.diff(places) > 1)
    starts = ordered[np.concatenate(([0], breaks + 1))]
    ends = ordered[np.concatenate((breaks, [ordered.size - 1]))]
    return tuple((int(a), int(b)) for a, b in zip(starts, ends, strict=True))


def _all_drawn(first: int, last: int, share: float) -> Ints:
    """Every number of a share from ``first`` to ``last``, in blocks: there may be a hundred million between them."""
    blocks = (np.arange(start, min(start + _BLOCK, last + 1)) for start in range(first, last + 1, _BLOCK))
    return np.concatenate([block[drawn(block, share)] for block in blocks])
