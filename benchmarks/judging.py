"""The loop's monitor on streams of windows, and others beside it; one record a window."""

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.streams import Course, Window, World, course_of, labels
from riskloop.core.stats import auc
from riskloop.core.types import Diagnosed, Diagnosis, Finding, Severity
from riskloop.decide.diagnosis import LEVEL, MOVED, POPULATION, RANKING, SPREAD, diagnose
from riskloop.loop.examine import Arrived, at_closing, when_matured
from riskloop.monitor.estimate import estimate_findings
from riskloop.monitor.profile import Profile
from riskloop.simulation import SCENARIOS, true_auc

Record = dict[str, Any]
SMALLEST: Final = 500  # the size that 100 rows a month are played beside
COVARIATE: Final = ("new_channel_sudden", "new_channel_gradual", "ageing", "policy_change")
DECISIVE: Final = (*POPULATION, *LEVEL, *RANKING, *SPREAD)

Look = tuple[Profile, list[Finding], Diagnosed, list[Finding], Diagnosed]  # at closing, and with the outcomes


class Judge:
    """The loop's monitor on one world's streams."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._before: dict[tuple[int, int], Look] = {}  # windows before any change, the same in every scenario

    def records(self, size: int, names: tuple[str, ...] = ()) -> Iterator[Record]:
        """Every scenario's windows of one size, judged at closing and again with their outcomes."""
        for name in names or tuple(SCENARIOS):
            course = course_of(name, self.world.name, size)
            if course is not None and (name != "small_windows" or size == SMALLEST):
                yield from self._stream(name, size, course)

    def _stream(self, name: str, size: int, course: Course) -> Iterator[Record]:
        world = self.world
        windows = list(world.windows(name, size, course))
        complete = [w for w in windows if w.truth.share == 1.0] or windows[-1:]
        score_psi, feature_psi = world.true_psi(complete)
        auc_moves, rate_moves = world.true_moves(complete)
        looks: list[Look] = []
        for k, window in enumerate(windows):
            started = time.perf_counter()
            if k < course.before:
                if (size, k) not in self._before:
                    self._before[size, k] = self._look(window, looks)
                looks.append(self._before[size, k])
                continue
            look = self._look(window, looks)
            looks.append(look)
            _, found, closing, late, final = look
            yield {
                "source": world.name,
                "seed": world.seed,
                "scenario": name,
                "size": len(window.rows) if name == "small_windows" else size,
                "window": k - course.before,
                "truth": window.truth.diagnosis.value,
                "score_psi": score_psi,
                "feature_psi": feature_psi,
                "auc_moves": auc_moves,
                "rate_moves": rate_moves,
                "closing": _answer(closing),
                "final": _answer(final),
                "faults": [[f.check, f.subject] for f in found if f.severity is Severity.FAULT],
                "moved": [
                    [f.check, f.severity.value, f.statistic]
                    for f in late
                    if f.check in DECISIVE and f.severity in MOVED
                ],
                "any_psi": any((f.statistic or 0.0) > 0.1 for f in found if f.check == "psi"),
                "seconds": time.perf_counter() - started,
                **_estimated(world, window, name, k == len(windows) - 1),
            }

    def _look(self, window: Window, looks: list[Look]) -> Look:
        world, settings, rows = self.world, self.world.settings, window.rows
        among = settings.drift.among
        profile = world.champion.reference.profile(rows.features, window.scores, rows.times)
        arrived = Arrived(profile, rows.features, window.scores, rows.times)
        sound = [p for p, _, answer, _, _ in looks if answer.diagnosis is not Diagnosis.DATA_FAULT]
        found = at_closing(
            world.champion, settings, arrived, previous=sound[-12:], period=window.period, estimated=False
        )
        closing = diagnose(found, [early for _, early, _, _, _ in looks][-among:], settings.drift)
        if closing.diagnosis is Diagnosis.DATA_FAULT:
            return profile, found, closing, found, closing
        realised = when_matured(world.champion, settings, rows.features, window.scores, labels(window.truth))
        both = [*found, *realised]
        final = diagnose(both, [late for _, _, _, late, _ in looks][-among:], settings.drift)
        return profile, found, closing, both, final


def _answer(diagnosed: Diagnosed) -> list[Any]:
    return [diagnosed.diagnosis.value, diagnosed.confirmed]


def _estimated(world: World, window: Window, name: str, last: bool) -> Record:
    """Does the band of the estimated AUC hold the realised one? Asked of the last window of covariate shifts."""
    if not (last and name in COVARIATE):
        return {}
    champion, outcomes = world.champion, labels(window.truth)
    inputs = list(champion.model.schema.model_columns)
    found = estimate_findings(
        champion.features[:, inputs],
        champion.probabilities,
        champion.outcomes,
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
