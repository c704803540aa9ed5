"""Every learner judged on rows that its fits have not seen; one that cannot be fitted is left out and says why."""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from riskloop.core.errors import ConfigError, DataError, RiskloopError
from riskloop.core.settings import Settings
from riskloop.core.stats import Interval, auc, delong_variance, paired_delong
from riskloop.core.types import Bools, Floats, Ints, Rows
from riskloop.data.split import folds
from riskloop.train.fitted import Sample, fit_learner
from riskloop.train.learners import Learner, one_thread

Progress = Callable[[str, float], None]  # what is being done, and the share that is done
Part = tuple[Ints, Ints]  # positions to fit to, and to test on

_NORMAL_95: Final = 1.959963984540054
_LARGE: Final = 200_000  # rows from which one fit gains from several threads


@dataclass(frozen=True)
class OutOfFold:
    """Scores that fits without these rows gave them before: they need not be made again."""

    raw: Floats  # (n,) log-odds; NaN for rows that were not scored
    parts: tuple[Ints, ...]  # positions of the rows that each fit scored


@dataclass(frozen=True)
class Validated:
    """One learner's predictions for rows that its models had not seen."""

    learner: Learner
    raw: Floats  # (n,) log-odds; NaN for rows that were only trained on
    fold_aucs: tuple[float, ...]
    interval: Interval


def cores(settings: Settings) -> int:
    """Fits that run side by side."""
    return settings.train.threads or len(os.sched_getaffinity(0))


def threads(settings: Settings, rows: int) -> int:
    """Threads of one fit: with few rows they would only wait for each other."""
    return cores(settings) if rows >= _LARGE else 1


def parts_of(rows: Rows, present: Bools | None, settings: Settings) -> list[Part]:
    """Training and test positions; only ``present`` rows are tested where they hold enough of both classes."""
    train, embargo = settings.train, settings.portfolio.outcome_window
    if present is None or rows.target is None or not enough(rows.target[present], train.folds):
        return folds(rows, train.folds, train.seed, embargo=embargo)
    mixed = folds(replace(rows, times=np.zeros_like(rows.times)), train.folds, train.seed)
    return [(fitted, test[present[test]]) for fitted, test in mixed]


def enough(target: Floats, parts: int) -> bool:
    """Whether these outcomes can be judged by in so many parts."""
    defaults = int(target.sum())
    return min(defaults, target.size - defaults) >= 10 * parts


def validate(
    entries: Sequence[Sequence[Learner]], sample: Sample, parts: Sequence[Part], workers: int, report: Progress
) -> tuple[list[Validated], dict[str, str]]:
    """Fit every learner on every part, one thread each: many small fits waste no time waiting for each other.

    ``entries`` holds for each learner how it is fitted in each part, which may differ in size. Returns what could be
    judged, and for each learner that could not be fitted a sentence. Raises the first one's error where none could.
    """
    raw = {entry[0].name: np.full(len(sample.y), np.nan) for entry in entries}
    failed: dict[str, RiskloopError] = {}

    def predict_fold(entry: Learner, fitted: Ints, test: Ints) -> str:
        if entry.name not in failed:
            try:
                raw[entry.name][test] = fit_learner(entry, sample.take(fitted), 1).raw_of(sample.X, test)
            except (DataError, ConfigError) as error:
                failed.setdefault(entry.name, error)
        return entry.name

    # Around all of them, because BLAS has one limit for all threads: the first fit to end must not lift it.
    with one_thread(), ThreadPoolExecutor(workers) as pool:
        tasks = [
            pool.submit(predict_fold, entry[number], fitted, test)
            for number, (fitted, test) in reversed(list(enumerate(parts)))  # the largest first
            for entry in entries
        ]
        try:
            for done, task in enumerate(as_completed(tasks), start=1):
                report(f"{task.result()}, fold {done} of {len(tasks)}", done / len(tasks))
        finally:
            pool.shutdown(cancel_futures=True)
    if len(failed) == len(entries):
        raise failed[entries[0][0].name]
    target, tests = sample.y.astype(np.float64), [test for _, test in parts]
    judged = [
        judge(entry[0], raw[entry[0].name], target, tests, sample.customers)
        for entry in entries
        if entry[0].name not in failed
    ]
    return judged, {name: f"{name} is left out. {error.message}" for name, error in failed.items()}


def judge(
    entry: Learner, raw: Floats, target: Floats, tests: Sequence[Ints], customers: Ints | None = None
) -> Validated:
    """A learner by the mean AUC of its folds."""
    aucs, interval = mean_auc(raw, target, tests, customers)
    return Validated(entry, raw, aucs, interval)


def best_of(validated: Sequence[Validated], sample: Sample, parts: Sequence[Part]) -> Validated:
    """The learner with the highest mean AUC; of equals the one that [train] lists first.

    Boosters whose AUCs differ by no more than the standard error of the pair are equals: they are much alike, and on
    few rows the highest is the luckiest.
    """
    best = max(validated, key=lambda v: v.interval.estimate)
    alike = [v for v in validated if v.learner.trees and best.learner.trees]
    return next((v for v in alike if v is best or not _proven(best, v, sample, parts)), best)


def _proven(best: Validated, other: Validated, sample: Sample, parts: Sequence[Part]) -> bool:
    fold = fold_of(len(sample.y), [test for _, test in parts])
    tested = fold >= 0
    customers = None if sample.customers is None else sample.customers[tested]
    try:
        test = paired_delong(sample.y[tested], other.raw[tested], best.raw[tested], fold[tested], customers)
    except DataError:  # no fold has two of each class
        return False
    return test.difference > test.std_error


def fold_of(rows: int, tests: Sequence[Ints]) -> Ints:
    """The number of the fold that each row (rows,) is tested in; -1 for those that are only learned from."""
    fold = np.full(rows, -1, dtype=np.int64)
    for number, test in enumerate(tests):
        fold[test] = number
    return fold


def mean_auc(
    raw: Floats, target: Floats, tests: Sequence[Ints], customers: Ints | None = None
) -> tuple[tuple[float, ...], Interval]:
    """AUC of each fold, and their mean; its variance is the mean of the folds' DeLong variances over their number.

    The rows of one of the ``customers`` (n,) are one witness.

    Source: LeDell, Petersen & van der Laan, Electronic Journal of Statistics 9 (2015) 1583–1607.
    """
    aucs = tuple(auc(target[test], raw[test]) for test in tests)
    who = [None if customers is None else customers[test] for test in tests]
    variances = [delong_variance(target[test], raw[test], w) for test, w in zip(tests, who, strict=True)]
    variance = sum(variances) / len(tests) ** 2
    mean, reach = sum(aucs) / len(aucs), _NORMAL_95 * math.sqrt(variance)
    return aucs, Interval(mean, max(0.0, mean - reach), min(1.0, mean + reach))
