"""History into a candidate: every learner is validated on rows it has not seen, the best is fitted to all.

Each statistic of the manifest comes from out-of-fold predictions; the final model is never judged on its own rows.
"""

import io
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from msgspec.structs import replace as replaced

from riskloop.core.errors import DataError
from riskloop.core.manifest import (
    FORMAT,
    Calibration,
    LearnerAuc,
    ModelManifest,
    ModelMetrics,
    RiskLevels,
    Training,
    TrainingRecord,
)
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.core.stats import Interval, auc, brier, delong_variance, ks_statistic, log_loss
from riskloop.core.types import Bools, Floats, Ints, Json, Rows
from riskloop.data.split import folds
from riskloop.store.artefacts import Artefact
from riskloop.train.blend import Blend, fit_blend
from riskloop.train.calibrate import choose_threshold, fit_calibration, log_odds
from riskloop.train.candidate import Candidate, baseline, describe_training, library_versions
from riskloop.train.learners import LIGHTGBM, SCORECARD, Estimator, Learner, dump, learner, one_thread, require_known

Progress = Callable[[str, float], None]  # what is being done, and the share that is done

_NORMAL_95: Final = 1.959963984540054
_LARGE: Final = 200_000  # rows from which one fit gains from several threads
_IMPORTANCE_ROWS: Final = 1000


@dataclass(frozen=True)
class OutOfFold:
    """Scores that fits without these rows gave them before: they need not be made again."""

    raw: Floats  # (n,) log-odds; NaN for rows that were not scored
    parts: tuple[Ints, ...]  # positions of the rows that each fit scored


@dataclass(frozen=True)
class _Validated:
    """One learner's predictions for rows that its models had not seen."""

    learner: Learner
    raw: Floats  # (n,) log-odds; NaN for rows that were only trained on
    fold_aucs: tuple[float, ...]
    interval: Interval


def fit(
    rows: Rows,
    settings: Settings,
    *,
    weights: Floats | None = None,
    learners: Sequence[str] | None = None,
    present: Bools | None = None,
    changed: bool = False,
    judged: OutOfFold | None = None,
    declined: Floats | None = None,
    parent: int | None = None,
    origin: str = "train",
    history: str | None = None,
    record: TrainingRecord | None = None,
    progress: Progress | None = None,
) -> Candidate:
    """Fit the learners of ``settings`` (or ``learners``) to labelled ``rows`` and return the best by mean AUC.

    ``weights`` (n,) count rows more or less in fits, calibration and threshold; the validation's AUCs stay unweighted.
    ``present`` (n,) marks rows of the world as it is now, when older ones only help: everything that is measured or
    kept as the reference then comes from them, and folds mix all times, because time blocks would test the new world
    by models of the old one. ``changed`` says that they default differently from the older ones, so that the old
    world's model is corrected by them (`riskloop.train.blend`). ``judged`` takes the place of the validation of a
    single learner. ``declined`` (d, k) are features of applicants whose outcome nobody knows: nothing is learned from
    them, but they belong to the reference, which stands for who applies. ``history`` and ``record`` say where the rows
    are, for the manifest.
    Raises DataError when the rows cannot be learned from, ConfigError for an impossible learner.
    """
    schema, train = settings.row_schema, settings.train
    chosen = [learner(name, settings) for name in (learners or train.learners)]
    target = np.asarray(rows.target, dtype=np.float64)
    matrix = schema.model_matrix(rows.features)
    report = progress or (lambda what, share: None)
    recent = present if changed else None
    if judged is None:
        parts = _parts(rows, present, settings)
        validated = _validate(
            chosen, schema, matrix, target, weights, recent, parts, train.seed, _cores(settings), report
        )
    else:
        validated = [_judged(chosen[0], judged.raw, target, judged.parts)]
    best = max(validated, key=lambda v: v.interval.estimate)  # the first of equals: [train] lists them by preference

    report(f"{best.learner.name}, all rows", 0.95)
    threads = _threads(settings, len(rows))
    final = fit_blend(best.learner, schema, matrix, target == 1.0, weights, recent, train.seed, threads)
    require_known(final)
    tested = np.flatnonzero(~np.isnan(best.raw))
    tested_weights = None if weights is None else weights[tested]
    calibration = fit_calibration(best.raw[tested], target[tested], tested_weights)
    p = calibration.apply(best.raw[tested])
    others = rows.features[:0] if declined is None else declined
    share = len(tested) / (len(tested) + len(others))
    sample = _sample(len(tested), round(share * settings.drift.reference_rows), tested_weights, train.seed)
    reference = tested[sample]
    predict = _predictor(final, schema, calibration)
    others = others[_sample(len(others), round((1.0 / share - 1.0) * len(sample)), None, train.seed)]
    unlearned = predict(others) if len(others) else np.empty(0)
    model_file, content = dump(final)
    files = {
        model_file: content,
        "reference.npy": _npy(np.concatenate((rows.features[reference], others))),
        "reference_scores.npy": _npy(np.concatenate((p[sample], unlearned))),
        "reference_target.npy": _npy(np.concatenate((target[reference], np.full(len(others), np.nan)))),
    }
    manifest = ModelManifest(
        learner=best.learner.name,
        model_file=model_file,
        schema=schema,
        calibration=calibration,
        threshold=choose_threshold(p, settings.threshold, tested_weights),
        risk_levels=_risk_levels(settings),
        metrics=_metrics(best, target[tested], p),
        comparison={v.learner.name: _interval(v.interval) for v in validated},
        importance=_importance(final, model_file, content, schema, matrix[reference[:_IMPORTANCE_ROWS]]),
        training=describe_training(
            rows, schema, weights, history=history, record=record, blended=isinstance(final, Blend)
        ),
        baseline=baseline(rows.features, schema),
        seed=train.seed,
        settings=_settings(settings),
        libraries=library_versions(),
        parent=parent,
        origin=origin,
    )
    report("done", 1.0)
    return Candidate(best.learner.name, files, manifest, predict)


def fit_once(
    rows: Rows, settings: Settings, name: str, weights: Floats | None = None, changed: Bools | None = None
) -> Callable[[Floats], Floats]:
    """One learner fitted to all rows, as a function from features (n, k) to a score that ranks (n,).

    ``changed`` (n,) marks the rows of a world in which the same customers default differently, as in `fit`. Neither
    validated nor calibrated: enough to compare ways of weighting. Raises DataError for one class.
    """
    schema = settings.row_schema
    target = np.asarray(rows.target, dtype=np.float64)
    if not 0 < target.sum() < len(target):
        raise DataError("These rows have one class only, so nothing can be learned from them.")
    matrix, threads = schema.model_matrix(rows.features), _threads(settings, len(rows))
    entry, seed = learner(name, settings), settings.train.seed
    estimator = fit_blend(entry, schema, matrix, target == 1.0, weights, changed, seed, threads)
    return lambda features: _raw_scores(estimator, schema.model_matrix(features))


def recalibrate(
    parent: Artefact[ModelManifest],
    version: int,
    predict: Callable[[Floats], Floats],
    probabilities: Floats,
    outcomes: Floats,
    settings: Settings,
    training: Training | None = None,
) -> Candidate:
    """The parent's model with a new calibration line, fitted to its ``probabilities`` (n,) and ``outcomes`` (n,).

    ``predict`` is the parent's own path from features to calibrated probabilities. The ranking, and so
    every AUC, stays; threshold, Brier score and log loss are renewed. ``training`` replaces the parent's record of
    its rows. Raises DataError when the outcomes have one class.
    """
    line = fit_calibration(log_odds(probabilities), outcomes)
    p = line.apply(log_odds(probabilities))
    reference_scores = np.load(io.BytesIO(parent.bytes("reference_scores.npy")), allow_pickle=False)
    files = {**parent.contents, "reference_scores.npy": _npy(line.apply(log_odds(reference_scores)))}
    then = parent.manifest
    manifest = replaced(
        then,
        format=FORMAT,
        calibration=then.calibration.then(line),
        threshold=choose_threshold(p, settings.threshold),
        risk_levels=_risk_levels(settings),
        metrics=replaced(then.metrics, brier=brier(outcomes, p), log_loss=log_loss(outcomes, p)),
        training=training or then.training,
        settings=_settings(settings),
        parent=version,
        origin="recalibrate",
    )
    return Candidate(then.learner, files, manifest, lambda features: line.apply(log_odds(predict(features))))


# --------------------------------------------------------------------------- validation


def _cores(settings: Settings) -> int:
    return settings.train.threads or len(os.sched_getaffinity(0))


def _threads(settings: Settings, rows: int) -> int:
    """Threads of one fit: with few rows they would only wait for each other."""
    return _cores(settings) if rows >= _LARGE else 1


def _parts(rows: Rows, present: Bools | None, settings: Settings) -> list[tuple[Ints, Ints]]:
    """Training and test positions; only ``present`` rows are tested where they hold enough of both classes."""
    train = settings.train
    if present is None or rows.target is None or not enough(rows.target[present], train.folds):
        return folds(rows, train.folds, train.seed)
    mixed = folds(replace(rows, times=np.zeros_like(rows.times)), train.folds, train.seed)
    return [(fitted, test[present[test]]) for fitted, test in mixed]


def enough(target: Floats, parts: int) -> bool:
    """Whether these outcomes can be judged by in so many parts."""
    defaults = int(target.sum())
    return min(defaults, target.size - defaults) >= 10 * parts


def _validate(
    learners: Sequence[Learner],
    schema: Schema,
    matrix: Floats,
    target: Floats,
    weights: Floats | None,
    recent: Bools | None,
    parts: Sequence[tuple[Ints, Ints]],
    seed: int,
    threads: int,
    report: Progress,
) -> list[_Validated]:
    """Fit every learner on every fold, one thread each: many small fits waste no time waiting for each other."""
    default = target == 1.0
    raw = {entry.name: np.full(len(target), np.nan) for entry in learners}

    def predict_fold(entry: Learner, train: Ints, test: Ints) -> str:
        weight = None if weights is None else weights[train]
        new = None if recent is None else recent[train]
        estimator = fit_blend(entry, schema, matrix[train], default[train], weight, new, seed, 1)
        raw[entry.name][test] = _raw_scores(estimator, matrix[test])
        return entry.name

    # Around all of them, because BLAS has one limit for all threads: the first fit to end must not lift it.
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        tasks = [
            pool.submit(predict_fold, entry, train, test)
            for train, test in reversed(parts)  # the largest first, so that no thread is left with it at the end
            for entry in learners
        ]
        try:
            for done, task in enumerate(as_completed(tasks), start=1):
                report(f"{task.result()}, fold {done} of {len(tasks)}", 0.95 * done / len(tasks))
        finally:
            pool.shutdown(cancel_futures=True)
    return [_judged(entry, raw[entry.name], target, [test for _, test in parts]) for entry in learners]


def _judged(entry: Learner, raw: Floats, target: Floats, tests: Sequence[Ints]) -> _Validated:
    """Mean AUC of the folds; its variance is the mean of the folds' DeLong variances over their number.

    Source: LeDell, Petersen & van der Laan, Electronic Journal of Statistics 9 (2015) 1583–1607.
    """
    aucs = tuple(auc(target[test], raw[test]) for test in tests)
    variance = sum(delong_variance(target[test], raw[test]) for test in tests) / len(tests) ** 2
    mean, reach = sum(aucs) / len(aucs), _NORMAL_95 * math.sqrt(variance)
    return _Validated(entry, raw, aucs, Interval(mean, max(0.0, mean - reach), min(1.0, mean + reach)))


def _raw_scores(estimator: Estimator, matrix: Floats) -> Floats:
    with one_thread():
        probabilities = np.asarray(estimator.predict_proba(matrix), dtype=np.float64)
    if probabilities.shape != (len(matrix), 2) or not np.isfinite(probabilities).all():
        raise DataError(f"{type(estimator).__name__} gave no finite probabilities of two classes for this history.")
    return log_odds(probabilities[:, 1])


def _predictor(estimator: Estimator, schema: Schema, calibration: Calibration) -> Callable[[Floats], Floats]:
    return lambda features: calibration.apply(_raw_scores(estimator, schema.model_matrix(features)))


# --------------------------------------------------------------------------- the manifest's parts


def _metrics(best: _Validated, target: Floats, p: Floats) -> ModelMetrics:
    return ModelMetrics(
        auc=best.interval.estimate,
        auc_low=best.interval.lower,
        auc_high=best.interval.upper,
        gini=2.0 * best.interval.estimate - 1.0,
        ks=ks_statistic(target, p),
        brier=brier(target, p),
        log_loss=log_loss(target, p),
        folds=best.fold_aucs,
    )


def _interval(interval: Interval) -> LearnerAuc:
    return LearnerAuc(interval.estimate, interval.lower, interval.upper)


def _risk_levels(settings: Settings) -> RiskLevels:
    return RiskLevels(**settings.risk_levels.model_dump())


def _settings(settings: Settings) -> Json:
    """What shaped the model; threads do not, and the rest of the config may hold secrets."""
    shaping = settings.model_dump(mode="json", include={"threshold", "risk_levels", "learners", "train"})
    del shaping["train"]["threads"]
    shaping["drift"] = {"reference_rows": settings.drift.reference_rows}
    return shaping


def _sample(n: int, most: int, weights: Floats | None, seed: int) -> Ints:
    """Ascending positions of at most ``most`` rows; with weights they stand for the weighted population."""
    rng = np.random.default_rng(seed)
    positions = np.arange(n)
    if weights is not None:
        # Rejection keeps rows in proportion to their weight, without drawing one twice.
        positions = positions[rng.random(n) < weights / np.quantile(weights, 0.99)]
    if len(positions) > most:
        positions = rng.choice(positions, most, replace=False)
    return np.sort(positions)


def _npy(array: Floats) -> bytes:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array, dtype="<f8"), allow_pickle=False)
    return out.getvalue()


def _importance(
    estimator: Estimator, model_file: str, content: bytes, schema: Schema, matrix: Floats
) -> dict[str, float]:
    """Share of the mean absolute contribution, as the model will give them; 0 for features that are no model input."""
    size = np.abs(_contributions(estimator, model_file, content, matrix)).mean(axis=0)
    shares = dict.fromkeys(schema.names, 0.0)
    for column, value in zip(schema.model_columns, size / (size.sum() or 1.0), strict=True):
        shares[schema.names[column]] = float(value)
    return shares


def _contributions(estimator: Estimator, model_file: str, content: bytes, matrix: Floats) -> Floats:
    if model_file == SCORECARD:
        return np.asarray(estimator.contributions(matrix))
    if model_file == LIGHTGBM:
        from lightgbm import Booster

        booster = Booster(model_str=content.decode())
        return np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=1), dtype=np.float64)[:, :-1]
    return _occlusions(estimator, matrix)


def _occlusions(estimator: Estimator, matrix: Floats) -> Floats:
    """What each feature's value adds to the log-odds over its median, one feature at a time."""
    whole = _raw_scores(estimator, matrix)
    parts = []
    for column in range(matrix.shape[1]):
        changed = matrix.copy()
        there = changed[~np.isnan(changed[:, column]), column]
        changed[:, column] = np.sort(there)[len(there) // 2] if there.size else np.nan
        parts.append(whole - _raw_scores(estimator, changed))
    return np.column_stack(parts)
