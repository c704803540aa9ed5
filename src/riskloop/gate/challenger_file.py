"""The challenger file: what a person reads before signing. Computed from the evaluation once, when the gate judges."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from riskloop.core import stats
from riskloop.core.numbers import signed
from riskloop.core.settings import MoneySettings
from riskloop.core.types import NOTES, Bools, Check, Floats, GateReport, Ints, Json
from riskloop.gate.budget import IMPROVEMENT
from riskloop.gate.checks import decided
from riskloop.gate.evaluation import Evaluation

Unit = Literal["score", "share", "count", "ms", "ratio", "money"]  # how a number is written
GRADES: Final = ("low", "medium", "high", "very_high")
EDGES: Final = 40  # bins of the score distribution
GROUPS: Final = 10  # of a segment, the largest
LEAST: Final = 30  # people of a group that is shown
LEAST_CLASS: Final = 10  # of either class, for an AUC
PER: Final = 1000  # applicants to whom money is related


def challenger_file(
    evaluation: Evaluation,
    money: MoneySettings,
    segments: Mapping[str, npt.ArrayLike] | None = None,
    moved: Sequence[Json] = (),
) -> Json:
    """Everything that a person needs to see how two models differ on the evaluated rows; plain JSON.

    ``segments`` hold the group of every applicant by feature, in the order of `Evaluation.everybody`; ``moved`` are
    the partial effects that differ most. Raises DataError for rows of which too few defaulted for any test.
    """
    return {
        "rows": int(evaluation.labels.size),
        "defaults": evaluation.defaults,
        "customers": None if evaluation.customers is None else int(np.unique(evaluation.customers).size),
        "applicants": len(evaluation.everybody.champion),
        "within_blocks": evaluation.blocks is not None,
        "thresholds": [evaluation.champion_threshold, evaluation.challenger_threshold],
        "measures": _measures(evaluation),
        "roc": [_curve(evaluation.labels, p) for p in (evaluation.champion, evaluation.challenger)],
        "grades": _grades(evaluation),
        "scores": _scores(evaluation),
        "swap": _swap(evaluation),
        "segments": [
            group
            for name, levels in (segments or {}).items()
            for group in _groups(evaluation, name, np.asarray(levels))
        ],
        "moved": list(moved),
        "money": _money(evaluation, money),
        "benchmark": _benchmark(evaluation),
    }


def _measures(evaluation: Evaluation) -> Json:
    """Each measure of both, and how far it moves on the same rows with its 95% interval."""
    labels, everybody = evaluation.labels, evaluation.everybody
    ranking, losses = evaluation.ranking, evaluation.log_losses
    reach = stats.upper_quantile(0.025)
    brier = [np.square(p - labels) for p in (evaluation.champion, evaluation.challenger)]
    approved = [found.astype(np.float64) for found in decided(evaluation)]
    return {
        "auc": _measure(
            ranking.auc_champion, ranking.auc_challenger, _around(ranking.difference, reach * ranking.std_error)
        ),
        "log_loss": _measure(losses.champion, losses.challenger, _around(losses.difference, reach * losses.std_error)),
        "brier": _moved(brier[0], brier[1], evaluation.customers),
        "mean_pd": _moved(everybody.champion, everybody.challenger, everybody.customers),
        "approval_rate": _moved(approved[0], approved[1], everybody.customers),
    }


def _moved(before: Floats, after: Floats, customers: Ints | None) -> Json:
    change = stats.paired_change(before, after, customers)
    return _measure(float(before.mean()), float(after.mean()), change)


def _measure(champion: float, challenger: float, change: stats.Interval) -> Json:
    return {
        "champion": champion,
        "challenger": challenger,
        "change": change.estimate,
        "lower": change.lower,
        "upper": change.upper,
    }


def _around(value: float, reach: float) -> stats.Interval:
    return stats.Interval(value, value - reach, value + reach)


def _interval(found: stats.Interval) -> Json:
    return {"value": found.estimate, "lower": found.lower, "upper": found.upper}


def _curve(labels: Floats, p: Floats) -> Json:
    declined, found = stats.roc_curve(labels, p)
    return {"x": declined.tolist(), "y": found.tolist()}


def _grades(evaluation: Evaluation) -> list[Json]:
    """Mean PD and default rate by grade, the customers graded by each model itself, with Jeffreys bands."""
    models = [_by_grade(evaluation, p) for p in (evaluation.champion, evaluation.challenger)]
    return [
        {"grade": name, "champion": models[0].get(number), "challenger": models[1].get(number)}
        for number, name in enumerate(GRADES)
    ]


def _by_grade(evaluation: Evaluation, p: Floats) -> dict[int, Json]:
    labels, customers = evaluation.labels, evaluation.customers
    grades = np.searchsorted(np.asarray(evaluation.grade_bounds), p, side="right")
    found = {}
    for test in stats.jeffreys_by_grade(labels, p, grades, two_sided=True, customers=customers):
        part = grades == test.grade
        effect = stats.design_effect(labels[part] - p[part], None if customers is None else customers[part])
        band = stats.jeffreys_interval(test.defaults / effect, test.n / effect)
        found[test.grade] = {
            "rows": test.n,
            "defaults": test.defaults,
            "pd": test.pd,
            "p": test.p_value,
            "rate": _interval(band),
        }
    return found


def _scores(evaluation: Evaluation) -> Json:
    everybody = evaluation.everybody
    counts = [np.histogram(p, bins=EDGES, range=(0.0, 1.0))[0] for p in (everybody.champion, everybody.challenger)]
    return {
        "edges": np.linspace(0.0, 1.0, EDGES + 1)[:-1].tolist(),
        "shares": [(count / max(1, count.sum())).tolist() for count in counts],
    }


def _swap(evaluation: Evaluation) -> list[Json]:
    """Who changes side, and how they turned out, as far as their outcomes are known."""
    before, after = decided(evaluation)
    parts: dict[str, Bools] = {
        "both_approve": before & after,
        "swapped_in": ~before & after,
        "swapped_out": before & ~after,
        "both_decline": ~before & ~after,
    }
    return [{"side": side, **_side(evaluation, part)} for side, part in parts.items()]


def _side(evaluation: Evaluation, part: Bools) -> Json:
    everybody, labels = evaluation.everybody, evaluation.labels
    known = labels[part[: labels.size]]  # the rows with an outcome come first
    count, defaults = int(part.sum()), int(known.sum())
    return {
        "applicants": count,
        "share": count / part.size,
        "known": int(known.size),
        "defaults": defaults,
        "rate": _interval(stats.wilson_interval(defaults, known.size)) if known.size else None,
        "champion_pd": float(everybody.champion[part].mean()) if count else None,
        "challenger_pd": float(everybody.challenger[part].mean()) if count else None,
    }


def _groups(evaluation: Evaluation, feature: str, levels: npt.ArrayLike) -> list[Json]:
    """The largest groups of a feature: approvals of all of them, AUC of those with an outcome."""
    members = np.asarray(levels).astype(np.str_)
    names, counts = np.unique(members, return_counts=True)
    largest = [name for count, name in sorted(zip(counts.tolist(), names.tolist(), strict=True), reverse=True)[:GROUPS]]
    before, after = decided(evaluation)
    customers = evaluation.everybody.customers
    found = []
    for name in sorted(largest, key=stats.group_order):
        part: Bools = members == name
        if int(part.sum()) < LEAST:
            continue
        approved = _moved(
            before[part].astype(np.float64),
            after[part].astype(np.float64),
            None if customers is None else customers[part],
        )
        found.append({"feature": feature, "group": name, **_group(evaluation, part), "approved": approved})
    return found


def _group(evaluation: Evaluation, part: Bools) -> Json:
    labels = evaluation.labels
    rows = part[: labels.size]
    defaults, known = int(labels[rows].sum()), int(rows.sum())
    sizes: Json = {"applicants": int(part.sum()), "known": known, "defaults": defaults, "auc": None, "rate": None}
    if known:
        sizes["rate"] = _interval(stats.wilson_interval(defaults, known))
    if min(defaults, known - defaults) >= LEAST_CLASS:
        test = stats.paired_delong(
            labels[rows],
            evaluation.champion[rows],
            evaluation.challenger[rows],
            customers=None if evaluation.customers is None else evaluation.customers[rows],
        )
        reach = stats.upper_quantile(0.025) * test.std_error
        sizes["auc"] = _measure(test.auc_champion, test.auc_challenger, _around(test.difference, reach))
    return sizes


def _money(evaluation: Evaluation, money: MoneySettings) -> Json | None:
    """Gain per thousand customers with an outcome, by either model's approvals; None where no amounts are set."""
    if money.default_cost is None or money.good_gain is None:
        return None
    labels = evaluation.labels
    worth = np.where(labels == 1.0, -money.default_cost, money.good_gain) * PER
    approved = [found[: labels.size] for found in decided(evaluation)]
    return {
        "per": PER,
        "default_cost": money.default_cost,
        "good_gain": money.good_gain,
        **_moved(worth * approved[0], worth * approved[1], evaluation.customers),
    }


def _benchmark(evaluation: Evaluation) -> Json | None:
    """AUC of a plain scorecard on the same rows, and how far either model is above it; None where there is none."""
    if evaluation.benchmark is None:
        return None
    reach = stats.upper_quantile(0.025)
    found: Json = {}
    for name, scores in (("champion", evaluation.champion), ("challenger", evaluation.challenger)):
        test = stats.paired_delong(
            evaluation.labels, evaluation.benchmark, scores, evaluation.blocks, evaluation.customers
        )
        change = _around(test.difference, reach * test.std_error)
        found |= {"auc": test.auc_champion, name: {"auc": test.auc_challenger, **_interval(change)}}
    return found


# --------------------------------------------------------------------------- the table


@dataclass(frozen=True, slots=True)
class SignedLine:
    """One line of the table that is signed: both models, the change, its limit, and whether it is kept."""

    name: str  # of the check or the measure
    unit: Unit
    champion: float | None = None
    challenger: float | None = None
    change: float | None = None
    lower: float | None = None  # of the change, 95%
    upper: float | None = None
    limit: str = ""
    passed: bool | None = None
    judged: bool = True  # False: a measure that is shown and not judged
    sentence: str = ""
    source: str = ""


_OF_MEASURE: Final[Mapping[str, tuple[str, Unit]]] = {
    "auc_gain": ("auc", "score"),
    "log_loss_gain": ("log_loss", "score"),
    "log_loss": ("log_loss", "score"),
    "auc_range": ("auc", "score"),
    "approval_shift": ("approval_rate", "share"),
}
_SHOWN: Final[Mapping[str, Unit]] = {"brier": "score", "mean_pd": "share"}
_OF_STATISTIC: Final[Mapping[str, Unit]] = {
    "evidence": "count",
    "latency": "ms",
    "score_shift": "score",
    "promotion_rate": "count",
}


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "less than 0.0001"


def _point(share: float) -> str:
    return "point" if math.isclose(share, 0.01) else "points"


_LIMITS: Final[Mapping[str, Callable[[float], str]]] = {
    "auc_gain": lambda x: f"p at most {_p(x)}",
    "log_loss_gain": lambda x: f"p at most {_p(x)}",
    "log_loss": lambda x: f"at most {signed(x, 4)}",
    "calibration": lambda x: f"at most {100.0 * x:g} {_point(x)} more",
    "money_gain": lambda x: f"at least {x:+,.2f} an applicant",
    "approval_ratio": lambda x: f"at least {x:.2f}",
    "auc_range": lambda x: f"at most {signed(x, 2)}",
    "approval_shift": lambda x: f"at most {100.0 * x:g} {_point(x)}",
    "score_shift": lambda x: f"PSI at most {x:g}",
    "promotion_rate": lambda x: f"at most {x:g} in 30 days",
    "latency": lambda x: f"at most {x:g} ms",
    "evidence": lambda x: f"at least {x:g} defaults",
}


def comparison(report: GateReport, document: Json | None) -> list[SignedLine]:
    """The table of a report: what failed first, then what is open, then what passed, then what is only shown."""
    measures = {} if document is None else document["measures"]
    lines = [_line(check, measures) for check in report.checks if check.name not in NOTES]
    notices = [replace(_line(check, measures), judged=False) for check in report.checks if check.name in NOTES]
    order = {False: 0, None: 1, True: 2}
    shown = [
        SignedLine(name, unit, **measures[name], judged=False) for name, unit in _SHOWN.items() if name in measures
    ]
    return [*sorted(lines, key=lambda line: order[line.passed]), *shown, *notices]


def _line(check: Check, measures: Json) -> SignedLine:
    limit = _LIMITS.get(check.name)
    said = "" if limit is None or check.threshold is None else limit(check.threshold)
    if check.name in IMPROVEMENT and check.statistic is not None:
        said = f"{said}, is {_p(check.statistic)}"
    values, unit = _values(check, measures)
    return SignedLine(
        check.name, unit, **values, limit=said, passed=check.passed, sentence=check.sentence, source=check.source
    )


def _values(check: Check, measures: Json) -> tuple[Json, Unit]:
    if check.name in _OF_MEASURE:
        measure, unit = _OF_MEASURE[check.name]
        return measures.get(measure, {}), unit
    if check.name == "money_gain":
        return {key: check.details.get(key) for key in ("change", "lower", "upper")}, "money"
    if check.name == "calibration" and "missed" in check.details:
        challenger, champion = check.details["missed"]
        return {"champion": champion, "challenger": challenger, "change": challenger - champion}, "share"
    if check.name == "approval_ratio" and check.statistic is not None:
        groups = check.details.get("groups", ())
        worst = next((group for group in groups if math.isclose(group["ratio"], check.statistic)), None)
        if worst is not None:
            change = worst["ratio"] - worst["champion"]
            return {"champion": worst["champion"], "challenger": worst["ratio"], "change": change}, "ratio"
    if check.name in _OF_STATISTIC:
        return {"challenger": check.statistic}, _OF_STATISTIC[check.name]
    return {}, "score"
