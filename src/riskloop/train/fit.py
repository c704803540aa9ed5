"""History into a candidate: every learner is validated on rows it has not seen, the best is fitted to all.

Each statistic of the manifest comes from out-of-fold predictions; the final model is never judged on its own rows.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec.structs import replace as replaced

from riskloop.core.errors import DataError
from riskloop.core.manifest import (
    FORMAT,
    Benchmark,
    Calibration,
    ModelManifest,
    Size,
    Training,
    TrainingRecord,
)
from riskloop.core.scaling import Scaling
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.core.stats import brier, log_loss
from riskloop.core.types import DAY, Bools, Floats, Ints, Rows
from riskloop.scoring.predictors import TreesPredictor
from riskloop.scoring.preparation import FILE
from riskloop.store.artefacts import Artefact
from riskloop.train.benchmark import benchmark_of
from riskloop.train.blend import Blend
from riskloop.train.calibrate import (
    at_own_level,
    capped,
    choose_threshold,
    fit_calibration,
    level_of,
    levelled,
    log_odds,
)
from riskloop.train.candidate import (
    Candidate,
    baseline,
    describe_training,
    interval_of,
    library_versions,
    metrics_of,
    npy,
    risk_levels,
    sampled,
    shaping,
)
from riskloop.train.dump import dump
from riskloop.train.fitted import Fitted, Sample, fit_learner, raw_scores, reference_customers, sample_of
from riskloop.train.learners import LIGHTGBM, SCORECARD, Estimator, Learner, learner, require_known
from riskloop.train.memory import at_once
from riskloop.train.scorecard import Scorecard
from riskloop.train.size import choose_sizes, sized
from riskloop.train.validate import OutOfFold, Part, Progress, best_of, cores, judge, parts_of, threads, validate

_IMPORTANCE_ROWS: Final = 1000


def fit(
    rows: Rows,
    settings: Settings,
    *,
    weights: Floats | None = None,
    learners: Sequence[str] | None = None,
    present: Bools | None = None,
    changed: bool = False,
    judged: OutOfFold | None = None,
    declined: Rows | None = None,
    size: Size | None = None,
    parent: int | None = None,
    origin: str = "train",
    history: str | None = None,
    record: TrainingRecord | None = None,
    immature: int = 0,
    benchmark: Benchmark | None = None,
    progress: Progress | None = None,
) -> Candidate:
    """Fit the learners of ``settings`` (or ``learners``) to labelled ``rows`` and return the best by mean AUC.

    ``weights`` (n,) count rows more or less in fits, calibration and threshold; the validation's AUCs stay unweighted.
    ``present`` (n,) marks rows of the world as it is now, when older ones only help: everything that is measured or
    kept as the reference then comes from them, and folds mix all times, because time blocks would test the new world
    by models of the old one. ``changed`` says that they default differently from the older ones, so that the old
    world's model is corrected by them (`riskloop.train.blend`). ``judged`` takes the place of the validation of a
    single learner, ``size`` that of the search for the size of boosted trees. ``declined`` are applicants
    whose outcome nobody knows: nothing is learned from them, but they belong to the reference, which stands
    for who applies. A learner that cannot be fitted is left out with a sentence in the manifest. ``history`` and
    ``record`` say where the rows are, and ``immature`` how many had no final outcome, for the manifest. A competition
    is held against a plain scorecard on its folds; whoever names ``learners`` gives the ``benchmark``.
    Raises DataError when the rows cannot be learned from, ConfigError for an impossible learner.
    """
    schema, train = settings.row_schema, settings.train
    chosen = [learner(name, settings) for name in (learners or train.learners)]
    for entry in chosen:
        entry.make(schema, train.seed, 1, entry.params)  # what the config cannot mean is refused before anything else
    target = np.asarray(rows.target, dtype=np.float64)
    sample = sample_of(rows, settings, weights, present if changed else None)
    report = progress or (lambda what, share: None)
    left_out: dict[str, str] = {}
    if judged is None:
        parts = parts_of(rows, present, settings)
        sizes = _sizes(chosen, sample, parts, settings, size, report)
        size = sizes[-1]
        entries = [[sized(entry, s) for s in sizes[:-1]] for entry in chosen]
        side_by_side = at_once(sample, settings, cores(settings))
        validated, left_out = validate(
            entries, sample, parts, side_by_side, lambda what, share: report(what, 0.3 + 0.6 * share)
        )
        best = best_of(validated, sample, parts)
    else:
        validated = [best := judge(chosen[0], judged.raw, target, judged.parts, sample.customers)]

    if judged is None and learners is None and train.benchmark:
        benchmark, missing = benchmark_of(
            best, validated, sample, parts, side_by_side, lambda what, _: report(what, 0.9)
        )
        left_out = left_out | missing

    report(f"{best.learner.name}, all rows", 0.95)
    entry = next(entry for entry in chosen if entry.name == best.learner.name)
    final = fit_learner(sized(entry, size), sample, threads(settings, len(rows)))
    require_known(final.estimator)
    tested = np.flatnonzero(~np.isnan(best.raw))
    tested_weights = None if weights is None else weights[tested]
    level = level_of(rows.times, target, float(np.average(target[tested], weights=tested_weights)), train)
    line = fit_calibration(best.raw[tested], target[tested], tested_weights)
    folds = levelled(line, best.raw[tested], rows.times[tested], train, level)
    p = folds.apply(best.raw[tested])
    own, rate = final.raw_of(sample.X, tested), float(np.average(p, weights=tested_weights))
    calibration = at_own_level(folds, own, rate, tested_weights)
    if train.points and isinstance(final.estimator, Scorecard):
        final.estimator.round_points(calibration.a, calibration.b, Scaling())
    others = rows.take(np.empty(0, dtype=np.int64)) if declined is None else declined
    share = len(tested) / (len(tested) + len(others))
    drawn = sampled(len(tested), round(share * settings.drift.reference_rows), tested_weights, train.seed)
    reference = tested[drawn]
    predict = _predictor(final, schema, calibration)
    threshold = choose_threshold(
        np.concatenate((p, predict(others.features) if len(others) else np.empty(0))),
        settings.threshold,
        None if tested_weights is None else np.concatenate((tested_weights, np.ones(len(others)))),
    )
    others = others.take(sampled(len(others), round((1.0 / share - 1.0) * len(drawn)), None, train.seed))
    unlearned = predict(others.features) if len(others) else np.empty(0)
    model_file, content = dump(final.estimator)
    files = {
        model_file: content,
        **({} if final.preparation is None else {FILE: final.preparation.dump()}),
        "reference.npy": npy(np.concatenate((rows.features[reference], others.features))),
        "reference_scores.npy": npy(np.concatenate((p[drawn], unlearned))),
        "reference_target.npy": npy(np.concatenate((target[reference], np.full(len(others), np.nan)))),
        "reference_days.npy": npy(np.concatenate((rows.times[reference], others.times)) // DAY),
        **reference_customers(rows.take(reference), others),
    }
    manifest = ModelManifest(
        learner=best.learner.name,
        model_file=model_file,
        schema=schema,
        calibration=calibration,
        threshold=threshold,
        risk_levels=risk_levels(settings),
        metrics=metrics_of(best.interval, best.fold_aucs, target[tested], p),
        comparison={v.learner.name: interval_of(v.interval) for v in validated},
        importance=_importance(final, model_file, content, schema, sample.X[reference[:_IMPORTANCE_ROWS]]),
        training=describe_training(
            rows,
            schema,
            weights,
            history=history,
            record=record,
            blended=isinstance(final.estimator, Blend),
            size=size,
            left_out=left_out,
            definition=settings.outcomes.definition,
            level=level,
            immature=immature,
            benchmark=benchmark,
        ),
        baseline=baseline(rows.features, schema),
        seed=train.seed,
        settings=shaping(settings),
        libraries=library_versions(best.learner.name),
        parent=parent,
        origin=origin,
    )
    report("done", 1.0)
    return Candidate(best.learner.name, files, manifest, predict)


def _sizes(
    entries: Sequence[Learner],
    sample: Sample,
    parts: Sequence[Part],
    settings: Settings,
    given: Size | None,
    report: Progress,
) -> list[Size | None]:
    """The size of boosted trees for each part, and last for all rows; None: the learners' own."""
    tries = settings.train.search
    if given is not None or not tries or not any(entry.trees for entry in entries):
        return [given] * (len(parts) + 1)
    found = choose_sizes(sample, parts, tries, cores(settings), lambda what, share: report(what, 0.3 * share))
    return [*found.by_part, found.whole]


def fit_once(
    rows: Rows,
    settings: Settings,
    name: str | Learner,
    weights: Floats | None = None,
    changed: Bools | None = None,
    size: Size | None = None,
) -> Callable[[Floats], Floats]:
    """One learner fitted to all rows, as a function from features (n, k) to a score that ranks (n,).

    ``changed`` (n,) marks the rows of a world in which the same customers default differently, as in `fit`. Neither
    validated nor calibrated: enough to compare ways of weighting. ``size`` as in `fit`. Raises DataError for one class.
    """
    schema = settings.row_schema
    target = np.asarray(rows.target, dtype=np.float64)
    if not 0 < target.sum() < len(target):
        raise DataError("These rows have one class only, so nothing can be learned from them.")
    entry = name if isinstance(name, Learner) else learner(name, settings)
    sample = sample_of(rows, settings, weights, changed)
    fitted = fit_learner(sized(entry, size), sample, threads(settings, len(rows)))
    return lambda features: fitted.raw(schema.model_matrix(features))


@dataclass(frozen=True)
class LongRun:
    """All rows that a model's level through the cycle comes from, each array (n,)."""

    times: Ints  # microseconds
    probabilities: Floats  # the model's own
    outcomes: Floats


def recalibrate(
    parent: Artefact[ModelManifest],
    version: int,
    predict: Callable[[Floats], Floats],
    probabilities: Floats,
    outcomes: Floats,
    settings: Settings,
    training: Training | None = None,
    *,
    cycle: LongRun | None = None,
    declined: Floats | None = None,
) -> Candidate:
    """The parent's model with a new calibration line, fitted to its ``probabilities`` (n,) and ``outcomes`` (n,).

    ``predict`` is the parent's own path from features to calibrated probabilities. The ranking, and so
    every AUC, stays; threshold, Brier score and log loss are renewed. ``training`` replaces the parent's record of
    its rows. Through the cycle only the level moves, to the long-run average of the ``cycle``, by default of these
    rows. The mean PD moves by `retrain.max_step` at most. ``declined`` (d, k) are the features of applicants without an
    outcome, for the threshold. Raises DataError when the outcomes have one class.
    """
    z, train = log_odds(probabilities), settings.train
    cycle = cycle or LongRun(np.zeros(len(outcomes), dtype=np.int64), probabilities, outcomes)
    level = level_of(cycle.times, cycle.outcomes, float(np.mean(outcomes)), train)
    line = Calibration() if train.calibration == "through_the_cycle" else fit_calibration(z, outcomes)
    line = levelled(line, log_odds(cycle.probabilities), cycle.times, train, level)
    line, wanted = capped(line, z, float(np.mean(probabilities)), settings.retrain.max_step)
    p = line.apply(z)
    applied = p if declined is None else np.concatenate((p, line.apply(log_odds(predict(declined)))))
    reference_scores = np.load(io.BytesIO(parent.bytes("reference_scores.npy")), allow_pickle=False)
    files = {**parent.contents, "reference_scores.npy": npy(line.apply(log_odds(reference_scores)))}
    then = parent.manifest
    manifest = replaced(
        then,
        format=FORMAT,
        calibration=then.calibration.then(line),
        threshold=choose_threshold(applied, settings.threshold),
        risk_levels=risk_levels(settings),
        metrics=replaced(then.metrics, brier=brier(outcomes, p), log_loss=log_loss(outcomes, p)),
        training=replaced(training or then.training, level=replaced(level, wanted=wanted)),
        settings=shaping(settings),
        parent=version,
        origin="recalibrate",
    )
    return Candidate(then.learner, files, manifest, lambda features: line.apply(log_odds(predict(features))))


# --------------------------------------------------------------------------- the manifest's parts


def _predictor(fitted: Fitted, schema: Schema, calibration: Calibration) -> Callable[[Floats], Floats]:
    return lambda features: calibration.apply(fitted.raw(schema.model_matrix(features)))


def _importance(final: Fitted, model_file: str, content: bytes, schema: Schema, X: Floats) -> dict[str, float]:
    """Share of the mean absolute contribution, as the model will give them; 0 for features that are no model input."""
    parts = _contributions(final.estimator, model_file, content, final.matrix(X))
    if final.preparation is not None:
        parts = final.preparation.attributed(np.column_stack((parts, np.zeros(len(parts)))))[:, :-1]
    size = np.abs(parts).mean(axis=0)
    shares = dict.fromkeys(schema.names, 0.0)
    for column, value in zip(schema.model_columns, size / (size.sum() or 1.0), strict=True):
        shares[schema.names[column]] = float(value)
    return shares


def _contributions(estimator: Estimator, model_file: str, content: bytes, matrix: Floats) -> Floats:
    if model_file == SCORECARD:
        return np.asarray(estimator.contributions(matrix))
    if model_file == LIGHTGBM:
        return TreesPredictor(content, LIGHTGBM, threads=1).contributions(matrix)[:, :-1]
    return _occlusions(estimator, matrix)


def _occlusions(estimator: Estimator, matrix: Floats) -> Floats:
    """What each feature's value adds to the log-odds over its median, one feature at a time."""
    whole = raw_scores(estimator, matrix)
    parts = []
    for column in range(matrix.shape[1]):
        changed = matrix.copy()
        there = changed[~np.isnan(changed[:, column]), column]
        changed[:, column] = np.sort(there)[len(there) // 2] if there.size else np.nan
        parts.append(whole - raw_scores(estimator, changed))
    return np.column_stack(parts)
