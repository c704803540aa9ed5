"""Outcomes that are missing: what they may turn out to be, and what holds however they do.

A window can be judged from a share of its outcomes on. Those that lack are no random part: good customers may come
first, or those whom the champion ranked well. So nothing is assumed about them (Manski, 1989), and each figure has
bounds.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from riskloop.core.findings import DESCRIBES, WINDOW, DeclaredCheck
from riskloop.core.stats import auc
from riskloop.core.types import Bools, Finding, Floats, Ints, Severity

OUTCOMES: Final = DeclaredCheck(
    "outcomes",
    DESCRIBES,
    "Worst-case bounds for missing outcomes (Manski, 1989): all good, all bad, ranked best and worst by the scores",
    "Who defaults",
)

CALM: Final = (Severity.OK, Severity.NOISE)
CHANGED: Final = (Severity.DRIFTED, Severity.SEVERE, Severity.FAULT)
# What a figure is when nothing changed, where it may move either way: bounds on both sides of it contradict each other.
NEUTRAL: Final = {"calibration": 0.0, "calibration_slope": 1.0}
FIGURES: Final = {"auc": "the AUC", "calibration": "the rate", "calibration_slope": "the slope"}


def not_judged(known: int, reference: int, because: str) -> Finding:
    """That a window cannot be judged by its outcomes yet: ``known`` of its decisions have one."""
    return OUTCOMES.unknown(WINDOW, (known, reference), because)


def judged_in_part(known: int, expected: int, reference: int) -> Finding:
    """That ``known`` of the ``expected`` outcomes are there, and what is said holds whatever the others are."""
    return OUTCOMES.finding(
        WINDOW,
        Severity.OK,
        (known, reference),
        f"{known:,} of {expected:,} expected outcomes are known. What is said holds however the other "
        f"{expected - known:,} turn out; the window is judged again when they come.",
        statistic=known / max(1, expected),
    )


# --------------------------------------------------------------------------- what the missing ones may be


def completions(outcomes: Floats, scores: Floats, missing: Bools) -> list[Floats]:
    """The outcomes (n,) with the ``missing`` ones as they bound the figures: the level, and the AUC, from both sides.

    All good, and all bad; and so that the ``scores`` (n,) rank them as badly, and as well, as can be. Who else has no
    outcome stays NaN.
    """
    at: Ints = np.flatnonzero(missing)
    at = at[np.argsort(scores[at], kind="stable")]
    found = [_with_bad(outcomes, at, at[:0]), _with_bad(outcomes, at, at)]
    counts = _aucs(outcomes, scores, at)
    if counts is not None:
        lowest, highest = counts
        found += [
            _with_bad(outcomes, at, at[: int(np.argmin(lowest))]),
            _with_bad(outcomes, at, at[at.size - int(np.argmax(highest)) :]),
        ]
    return found


def _with_bad(outcomes: Floats, missing: Ints, bad: Ints) -> Floats:
    filled = outcomes.copy()
    filled[missing], filled[bad] = 0.0, 1.0
    return filled


def _aucs(outcomes: Floats, scores: Floats, at: Ints) -> tuple[Floats, Floats] | None:
    """The AUC with the k lowest, and with the k highest, of the missing ones bad, each (missing + 1,); 0 <= k.

    For a number k no other choice of the bad ones gives a lower, or a higher, AUC: exchanging the labels of two
    missing ones moves it as their scores are ordered. None where the known ones are of one class, or none lack.
    """
    bad, good = np.sort(scores[outcomes == 1.0]), np.sort(scores[outcomes == 0.0])
    if not (bad.size and good.size and at.size):
        return None
    own, k = scores[at], np.arange(at.size + 1)
    as_bad = (np.searchsorted(good, own, "left") + np.searchsorted(good, own, "right")) / 2.0
    as_good = bad.size - (np.searchsorted(bad, own, "left") + np.searchsorted(bad, own, "right")) / 2.0
    known = auc(outcomes[~np.isnan(outcomes)], scores[~np.isnan(outcomes)]) * bad.size * good.size
    pairs = (bad.size + k) * (good.size + at.size - k)
    taken, left = _sums(as_bad), _sums(as_good[::-1])[::-1]  # of the first k, and of those from k on
    lowest = (known + taken + left) / pairs
    taken, left = _sums(as_bad[::-1]), _sums(as_good)[::-1]  # of the last k, and of those before
    highest = (known + taken + left + k * (at.size - k)) / pairs
    return lowest, highest


def _sums(values: Floats) -> Floats:
    return np.concatenate(([0.0], np.cumsum(values)))


# --------------------------------------------------------------------------- what holds whatever they are


def agreed(found: Sequence[Finding], bounds: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Findings on the known outcomes, as far as they hold however the missing ones turn out.

    ``bounds`` are the findings with the missing ones as they bound the figures. What moved only without them, or one
    way with some and the other way with others, is not found; what is calm only without them is not known.
    """
    others = [{(f.check, f.subject): f for f in bound} for bound in bounds]
    keys = [(f.check, f.subject) for f in found]
    return [_bounded(f, [o[key] for o in others if key in o]) for f, key in zip(found, keys, strict=True)]


def _bounded(finding: Finding, bounds: Sequence[Finding]) -> Finding:
    all_of_them = (finding, *bounds)
    low, high = _ends([_figure(one) for one in all_of_them])
    details = {**finding.details, "bounds": [low, high]}
    said = [one.severity for one in all_of_them]
    if finding.severity is Severity.UNKNOWN or (len({s in CALM for s in said}) == 1 and _one_way(all_of_them)):
        mildest = min(said, key=list(Severity).index)
        return replace(
            finding, severity=mildest, details=details, sentence=finding.sentence + _range(finding, low, high)
        )
    because = f"the missing outcomes decide. {finding.sentence}{_range(finding, low, high)}"
    sizes = finding.n, finding.m
    return replace(OUTCOMES.unknown(finding.subject, sizes, because), check=finding.check, details=details)


def _one_way(found: Sequence[Finding]) -> bool:
    """Whether what changed changed in one direction."""
    neutral = NEUTRAL.get(found[0].check)
    moved = [f.statistic for f in found if f.severity in CHANGED and f.statistic is not None]
    return neutral is None or len({value > neutral for value in moved}) < 2


def _figure(finding: Finding) -> float | None:
    """What a bound is given of: the rate rather than its log-odds."""
    observed = finding.details.get("observed")
    return observed if isinstance(observed, float) else finding.statistic


def _ends(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    there = [value for value in values if value is not None]
    return (min(there), max(there)) if there else (None, None)


def _range(finding: Finding, low: float | None, high: float | None) -> str:
    what = FIGURES.get(finding.check)
    if what is None or low is None or high is None:
        return ""
    ends = f"{low:.1%} and {high:.1%}" if finding.check == "calibration" else f"{low:.3f} and {high:.3f}"
    return f" With the missing outcomes {what} is between {ends}."
