"""The loop's monitor on streams of windows, and others beside it; one record a window."""

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from benchmarks.streams import World, course_of, labels
from riskloop.core.stats import auc
from riskloop.core.types import Diagnosed, Diagnosis, Finding, Severity
from riskloop.data.scenarios import SCENARIOS, true_auc
from riskloop.decide.diagnosis import diagnose
from riskloop.loop.examine import Arrived, at_closing, when_matured
from riskloop.monitor.estimate import estimate_findings
from riskloop.monitor.profile import Profile

Record = dict[str, Any]
COVARIATE: Final = ("new_channel_sudden", "new_channel_gradual", "ageing", "policy_change")


def records(world: World, sizes: tuple[int, ...], names: tuple[str, ...] = ()) -> Iterator[Record]:
    """Every scenario's windows of every size, judged at closing and again with their outcomes."""
    for name in names or tuple(SCENARIOS):
        for size in sizes if name != "small_windows" else sizes[:1]:
            course = course_of(name, world.name, size)
            if course is not None:
                yield from _stream(world, name, size, course)


def _stream(world: World, name: str, size: int, course: Any) -> Iterator[Record]:
    windows = list(world.windows(name, size, course))
    changed = [w for w in windows if w.truth.share == 1.0] or windows[-1:]
    score_psi, feature_psi = world.true_psi(changed)
    previous: list[Profile] = []
    early: list[list[Finding]] = []
    final: list[list[Finding]] = []
    settings = world.settings
    for k, window in enumerate(windows):
        started = time.perf_counter()
        rows = window.rows
        profile = world.served.reference.profile(rows.features, window.scores, rows.times)
        arrived = Arrived(profile, rows.features, window.scores, rows.times)
        found = at_closing(
            world.served, settings, arrived, previous=previous[-12:], period=window.period, estimated=False
        )
        first = diagnose(found, early[-settings.drift.among :], settings.drift)
        fault = first.diagnosis is Diagnosis.DATA_FAULT
        last, both = first, found
        if not fault:
            both = [*found, *when_matured(world.served, settings, rows.features, window.scores, labels(window.truth))]
            last = diagnose(both, final[-settings.drift.among :], settings.drift)
            previous.append(profile)
        early.append(found)
        final.append(both)
        yield {
            "source": world.name,
            "seed": world.seed,
            "scenario": name,
            "size": size,
            "window": k,
            "before": course.before,
            "share": window.truth.share,
            "truth": window.truth.diagnosis.value,
            "score_psi": score_psi,
            "feature_psi": feature_psi,
            "closing": _answer(first),
            "final": _answer(last),
            "faults": [[f.check, f.subject] for f in found if f.severity is Severity.FAULT],
            "any_psi": any((f.statistic or 0.0) > 0.1 for f in found if f.check == "psi"),
            "seconds": time.perf_counter() - started,
            **_estimated(world, window, name, k == len(windows) - 1),
        }


def _answer(diagnosed: Diagnosed) -> list[Any]:
    return [diagnosed.diagnosis.value, diagnosed.confirmed]


def _estimated(world: World, window: Any, name: str, last: bool) -> Record:
    """Does the band of the estimated AUC hold the realised one? Asked of the last window of covariate shifts."""
    if not (last and name in COVARIATE):
        return {}
    served, outcomes = world.served, labels(window.truth)
    inputs = list(served.scorer.schema.model_columns)
    found = estimate_findings(
        served.features[:, inputs],
        served.probabilities,
        served.outcomes,
        window.rows.features[:, inputs],
        window.scores,
        harm_auc=world.settings.policy.harm_auc,
    )
    record: Record = {"realised_auc": auc(outcomes, window.scores)}
    if window.truth.true_pd is not None:
        record["true_auc"] = true_auc(window.scores, window.truth.true_pd)
    for finding in found:
        if finding.check == "estimated_auc" and finding.statistic is not None:
            low, high = finding.details["lower"], finding.details["upper"]
            record[finding.subject] = [finding.statistic, low, high]
    return record


def progress(world: World, started: float) -> None:
    """One line on standard error for every world."""
    print(f"{world.name}, seed {world.seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def quantile(values: list[float], q: float) -> float:
    """A quantile, NaN of nothing."""
    return float(np.quantile(values, q)) if values else float("nan")
