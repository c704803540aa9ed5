"""Does the challenger treat protected groups worse? An equivalence test: silence of a small sample is no proof."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from riskloop.core import stats
from riskloop.core.settings import GateSettings
from riskloop.core.types import Bools, Check, Json
from riskloop.gate.checks import applied, decided, unjudged
from riskloop.gate.evaluation import Context, Evaluation

_SMALL_SHARE: Final = 0.02  # of the applicants: groups below it are named and not compared (29 CFR 1607.15(A)(2)(a))
_SMALL_GROUP: Final = 30
_LEVEL: Final = 0.95
_LOSS: Final = 0.05  # a relative loss of a group's ratio against the champion's that is no difference in treatment
_SOURCE: Final = (
    "four-fifths rule, 29 CFR 1607.4(D), as a test of equivalence (Wellek 2010); interval of Katz et al. 1978"
)


class _Group(NamedTuple):
    feature: str
    group: str
    rows: int
    ratio: stats.Interval  # approval rate over the largest group's, by the challenger
    champion: float  # the same by the champion
    change: stats.Interval  # the challenger's ratio over the champion's, for the same people

    def sound(self, least: float) -> bool:
        """Whether it is shown to be approved often enough, or no less than by the champion."""
        return self.ratio.lower >= least or self.change.lower >= 1.0 - _LOSS

    def harmed(self, least: float) -> bool:
        """Whether it is shown to be approved too seldom, and the champion treats it better."""
        return self.ratio.upper < least and self.ratio.estimate < self.champion


def approval_ratio(evaluation: Evaluation, settings: GateSettings, _: Context) -> Check:
    """Approval rate of every protected group over the largest group's.

    Passes when every group is shown to be approved at the allowed ratio at least, or no less than by the champion.
    Rejected when a group's ratio is shown to be below the allowed one and the champion treats that group better.
    Between the two these applicants cannot tell, and a person has to decide: ``passed`` is None and the size
    ``undecided`` says of how many groups.
    """
    groups = [
        group
        for feature, levels in evaluation.everybody.groups.items()
        for group in _groups(evaluation, feature, levels)
    ]
    least = settings.min_approval_ratio
    compared = [group for group in groups if not _is_small(group, evaluation)]
    small = [f"{group.feature} {group.group} ({group.rows})" for group in groups if _is_small(group, evaluation)]
    left_out = f" Too few to compare: {', '.join(small)}." if small else ""
    if not compared:
        sentence = f"No protected group is large enough to compare its approval rate with the largest one's.{left_out}"
        return unjudged("approval_ratio", evaluation, least, _SOURCE, sentence)
    harmed = [group for group in compared if group.harmed(least)]
    undecided = [group for group in compared if not group.sound(least) and not group.harmed(least)]
    worst = min(harmed or undecided or compared, key=lambda group: group.ratio.estimate)
    passed = False if harmed else (None if undecided else True)
    return Check(
        name="approval_ratio",
        passed=passed,
        statistic=worst.ratio.estimate,
        threshold=least,
        source=_SOURCE,
        sizes=applied(evaluation) | {"groups": len(compared), "undecided": len(undecided)},
        sentence=_sentence(worst, passed, least) + left_out,
        details={"groups": [_document(group) for group in compared]},
    )


def _sentence(group: _Group, passed: bool | None, least: float) -> str:
    adjective = {True: "lowest", False: "harmed", None: "doubtful"}[passed]
    known = (
        f"The {adjective} group {group.feature} {group.group} ({group.rows:,} people) is approved at "
        f"{group.ratio.estimate:.2f} ({group.ratio.lower:.2f} to {group.ratio.upper:.2f}) of the largest group's rate; "
        f"the champion's ratio is {group.champion:.2f} and {least:.2f} is needed"
    )
    if passed is False:
        return f"{known}: it is shown to be worse than what is allowed, and worse than the champion."
    if passed is None:
        return (
            f"{known}: the group is too small to show that it is not harmed (about {_needed(group, least):,} "
            "people would be enough if it is treated like the others). A person must decide."
        )
    if group.ratio.upper < least:
        return f"{known}: it is below that, and no worse than with the champion. A person should look at both models."
    if group.ratio.lower >= least:
        return f"{known}: it is shown to be high enough."
    return f"{known}: it is shown to be no lower than with the champion."


def _needed(group: _Group, least: float) -> int:
    """People of the group that would show equal treatment: the interval's reach has to fit between 1 and the least."""
    reach = math.log(group.ratio.upper / max(group.ratio.lower, 1e-9)) / 2.0
    return math.ceil(group.rows * (reach / -math.log(least)) ** 2) if 0.0 < least < 1.0 else group.rows


def _is_small(group: _Group, evaluation: Evaluation) -> bool:
    return group.rows < max(_SMALL_GROUP, _SMALL_SHARE * len(evaluation.everybody.champion))


def _groups(evaluation: Evaluation, feature: str, levels: Sequence[str] | npt.NDArray[np.str_]) -> list[_Group]:
    before, after = decided(evaluation)
    customers = evaluation.everybody.customers
    names, member, counts = np.unique(np.asarray(levels, dtype=np.str_), return_inverse=True, return_counts=True)
    largest = int(np.argmax(counts))
    reference = member == largest
    if not (after[reference].any() and before[reference].any()):
        return []
    found = []
    for code, (name, count) in enumerate(zip(names, counts, strict=True)):
        if code != largest:
            part = member == code
            ratios = [
                stats.approval_ratio(
                    *_counts(approved, part, customers), *_counts(approved, reference, customers), _LEVEL
                )
                for approved in (before, after)
            ]
            change = stats.approval_ratio_change(before, after, part, reference, _LEVEL, customers)
            found.append(_Group(feature, str(name), int(count), ratios[1], ratios[0].estimate, change))
    return found


def _counts(approved: Bools, part: Bools, customers: npt.NDArray[np.int64] | None) -> tuple[float, float]:
    """Approved and all of a group, in independent people."""
    effect = stats.design_effect(approved[part].astype(np.float64), None if customers is None else customers[part])
    return np.count_nonzero(approved[part]) / effect, np.count_nonzero(part) / effect


def _document(group: _Group) -> Json:
    return {
        "feature": group.feature,
        "group": group.group,
        "rows": group.rows,
        "ratio": group.ratio.estimate,
        "lower": group.ratio.lower,
        "upper": group.ratio.upper,
        "champion": group.champion,
        "change": None if math.isnan(group.change.estimate) else group.change.estimate,
    }
