"""From a confirmed case to a challenger and the gate's report on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.stats import auc, density_ratio_weights
from riskloop.core.types import Action, DecisionFrame, Diagnosis, Floats, GateReport, Ints, Json, to_micros
from riskloop.gate.budget import Try, tried
from riskloop.gate.evaluation import Context, Coverage, Evaluation
from riskloop.gate.verdict import judge
from riskloop.loop.champion import Served, load
from riskloop.loop.observe import matured_frame
from riskloop.loop.register import register
from riskloop.retrain.challenger import ChallengerPlan, plan_challenger
from riskloop.retrain.dataset import Pool, TrainingSet, Weighting, choose, pool, training_set, unseen_by
from riskloop.retrain.plan import Plan, Split, evaluation_plan, latest_block
from riskloop.serve.scorer import Scorer, load_scorer
from riskloop.store import documents
from riskloop.store.cases import Case
from riskloop.store.history import load_history
from riskloop.store.home import Home
from riskloop.train.candidate import Candidate
from riskloop.train.fit import fit, fit_once, recalibrate

Say = Callable[[str], None]


@dataclass(frozen=True)
class Challenge:
    """A registered challenger and what the gate said of it."""

    version: int
    report: GateReport
    record: Json  # how it was made: rows, weights, plan


@dataclass(frozen=True)
class _Fitted:
    """One fit's candidate and the rows behind it."""

    candidate: Candidate
    trained_on: TrainingSet


def challenge(home: Home, case: Case, served: Served, now: datetime, say: Say) -> Challenge:
    """Train a challenger for a case, register it, and judge it against the champion.

    Deterministic: the same case at the same ``now`` makes the same artefact, so a crash before the verdict is
    stored costs time and nothing else. Raises DataError while too few outcomes have matured.
    """
    frame = matured_frame(home, now)
    rows = pool(load_history(home.artefacts, served.manifest["training"]["history"]), frame)
    since = _since(home, case)
    settings = home.settings
    plan = evaluation_plan(
        rows,
        settings.gate,
        unseen=unseen_by(served.manifest["training"].get("record"), rows),
        outcome_window=settings.portfolio.outcome_window,
        since=since,
    )
    _enough(rows, plan, settings.gate.min_defaults)
    recipe = plan_challenger(
        _action(case),
        case.diagnosis,
        champion_learner=served.manifest["learner"],
        rows=len(rows),
        train=settings.train,
        retrain=settings.retrain,
    )
    say(f"Case {case.id}: {recipe.sentence}")
    maker = _Maker(home, served, rows, plan, recipe, since)
    scores, final = maker.run()
    version = register(
        home,
        final.candidate,
        final.trained_on.rows,
        origin=recipe.origin,
        parent=served.version,
        case_id=case.id,
        now=now,
    )
    scorer = load_scorer(home.artefact(version), version)
    evaluation = replace(
        _evaluation(home, served, scorer, rows, plan.tested, scores),
        kind=recipe.origin,
        coverage=_coverage(frame, served),
    )
    report = judge(evaluation, settings.gate, _gate_context(home, served, version, final.candidate.manifest, now))
    record = {
        "plan": recipe.sentence,
        "evaluation": plan.sentence,
        "training": final.trained_on.sentence,
        "weighting": maker.weighting.name,
        "validation": maker.validation,
        "since": since,
    }
    return Challenge(version, report, record)


class _Maker:
    """The fits of one challenge, all with the same weighting."""

    def __init__(
        self, home: Home, served: Served, rows: Pool, plan: Plan, recipe: ChallengerPlan, since: int | None
    ) -> None:
        self.home = home
        self.served = served
        self.rows = rows
        self.plan = plan
        self.recipe = recipe
        self.since = since
        self.weighting = recipe.weightings[0]
        self.validation: dict[str, float] = {}

    def run(self) -> tuple[Floats, _Fitted]:
        """Scores of the tested rows, in the plan's order, and the fit that may be promoted."""
        if len(self.recipe.weightings) > 1:
            self.weighting = self._validated()
        learners = self.recipe.learners
        fitted: list[_Fitted] = []
        scores: list[Floats] = []
        for split in self.plan.splits:
            fitted.append(self._fit(split.train, learners))
            learners = self._same(fitted[0], learners)
            scores.append(fitted[-1].candidate.predict(self.rows.rows.features[split.test]))
        final = fitted[-1] if self.plan.final is None else self._fit(self.plan.final, learners)
        return np.concatenate(scores), final

    def _same(self, first: _Fitted, learners: tuple[str, ...]) -> tuple[str, ...]:
        """Learners compete once; the other blocks and the final refit use the winner."""
        return learners and (first.candidate.learner,)

    def _validated(self) -> Weighting:
        """Try every weighting on the latest block of what may be learned from."""
        split = self.plan.splits[0]
        recent = split.train if self.since is None else split.train[self.rows.rows.times[split.train] >= self.since]
        if recent.size < 2:
            return self.recipe.weightings[0]
        block = latest_block(self.rows, split.train, recent, 0.3, self.home.settings.portfolio.outcome_window)
        labels = self.rows.labels[block.test]
        if not 0 < labels.sum() < labels.size:
            return self.recipe.weightings[0]
        tried_: list[tuple[Weighting, float]] = []
        for weighting in self.recipe.weightings:
            score = self._validation_score(block, weighting, labels)
            if score is not None:
                tried_.append((weighting, score))
                self.validation[weighting.name] = score
        return choose(tried_) if tried_ else self.recipe.weightings[0]

    def _validation_score(self, block: Split, weighting: Weighting, labels: Floats) -> float | None:
        try:
            chosen = self._chosen(block.train, weighting)
            score = fit_once(chosen.rows, self.home.settings, self.recipe.learners[0], chosen.weights)
        except DataError:  # a weighting that leaves one class
            return None
        return auc(labels, score(self.rows.rows.features[block.test]))

    def _chosen(self, index: Ints, weighting: Weighting) -> TrainingSet:
        ratios = self._ratios(index) if weighting.density else None
        settings = self.home.settings.retrain
        return training_set(self.rows, index, settings, weighting=weighting, since=self.since, ratios=ratios)

    def _fit(self, index: Ints, learners: tuple[str, ...]) -> _Fitted:
        chosen = self._chosen(index, self.weighting)
        if self.recipe.kind == "recalibrate":
            return _Fitted(self._recalibrated(chosen), chosen)
        candidate = fit(
            chosen.rows,
            self.home.settings,
            weights=chosen.weights,
            learners=learners,
            parent=self.served.version,
            origin="retrain",
            history=self.served.manifest["training"]["history"],
            present=None if self.since is None else chosen.rows.times >= self.since,
            record=chosen.record,
        )
        return _Fitted(candidate, chosen)

    def _recalibrated(self, chosen: TrainingSet) -> Candidate:
        recent = chosen.rows if self.since is None else chosen.rows.take(chosen.rows.times >= self.since)
        if recent.target is None or not len(recent):
            raise DataError("No matured decisions since the change can be learned from yet.")
        scorer = self.served.scorer
        return recalibrate(
            self.home.artefact(self.served.version),
            self.served.version,
            scorer.probabilities,
            scorer.probabilities(recent.features),
            recent.target,
            self.home.settings,
            training={**self.served.manifest["training"], "record": chosen.record},
        )

    def _ratios(self, index: Ints) -> Floats:
        """How much more often each row's kind of customer comes now than when it was decided on."""
        inputs = list(self.served.scorer.schema.model_columns)
        features = self.rows.rows.features[index][:, inputs]
        times = self.rows.rows.times[index]
        now = times >= (self.since or 0)
        if not now.any() or now.all():
            return np.ones(len(index))
        ratio = density_ratio_weights(features[~now], features[now])
        weights = np.ones(len(index))
        weights[~now] = ratio.weights
        return weights


def _since(home: Home, case: Case) -> int | None:
    """The new world begins where the case's first window does."""
    window = home.windows.get(case.window_id)
    return None if window is None else to_micros(window.first_time)


def _action(case: Case) -> Action:
    return Action.RECALIBRATE if case.diagnosis is Diagnosis.PRIOR_SHIFT else Action.RETRAIN


def _enough(rows: Pool, plan: Plan, least: int) -> None:
    defaults = int(rows.labels[plan.tested].sum())
    if min(defaults, plan.tested.size - defaults) < least:
        raise DataError(
            f"{plan.tested.size:,} matured decisions with {defaults:,} defaults can be tested on; "
            f"{least} of each class are needed. More outcomes have to mature."
        )


def _evaluation(home: Home, served: Served, challenger: Scorer, rows: Pool, tested: Ints, scores: Floats) -> Evaluation:
    features = rows.rows.features[tested]
    levels = home.settings.risk_levels
    return Evaluation(
        labels=rows.labels[tested],
        champion=served.scorer.probabilities(features),
        challenger=scores,
        champion_threshold=served.scorer.threshold,
        challenger_threshold=challenger.threshold,
        groups=protected_groups(served.scorer.schema, features),
        grade_bounds=(levels.low, levels.medium, levels.high),
        latency_ms=_latency(challenger, features[:1]),
        reasons=bool(challenger.reasons(features[0], challenger.contributions(features[:1])[0], 1)),
    )


def protected_groups(schema: Schema, features: Floats) -> Mapping[str, Any]:
    """The group of every row by each protected attribute: levels as they are, numbers in quarters of the sample."""
    groups: dict[str, Any] = {}
    for column in schema.protected_columns:
        feature, values = schema.features[column], features[:, column]
        if feature.kind == "category":
            groups[feature.name] = np.asarray([feature.text(value) for value in values])
            continue
        known = values[~np.isnan(values)]
        if not known.size:
            continue
        edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
        bands = [f"{feature.name} up to {edges[0]:g}"]
        bands += [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
        bands += [f"over {edges[-1]:g}"]
        named = np.asarray(bands)[np.searchsorted(edges, np.nan_to_num(values))]
        groups[feature.name] = np.where(np.isnan(values), "missing", named)
    return groups


def _latency(challenger: Scorer, row: Floats) -> float:
    challenger.probabilities(row)  # the first call builds what later ones reuse
    started = perf_counter()
    for _ in range(20):
        challenger.probabilities(row)
    return (perf_counter() - started) / 20 * 1e3


def _coverage(frame: DecisionFrame, served: Served) -> Coverage:
    """Among the decisions up to the latest matured one: whose outcome is known?"""
    known = ~np.isnan(frame.outcomes)
    over = frame.times <= frame.times[known].max()
    approved = frame.probabilities < served.scorer.threshold
    return Coverage(
        approved=int((approved & over).sum()),
        approved_known=int((approved & known).sum()),
        refused=int((~approved & over).sum()),
        refused_known=int((~approved & known).sum()),
    )


def compare(home: Home, champion: int, challenger: int, now: datetime) -> GateReport:
    """The gate on two registered versions, on the matured decisions that neither was trained on.

    Raises DataError when there is no such decision yet.
    """
    one, other = load(home, champion), load(home, challenger)
    frame = matured_frame(home, now)
    rows = pool(None, frame)
    unseen = unseen_by(one.manifest["training"].get("record"), rows)
    unseen &= unseen_by(other.manifest["training"].get("record"), rows)
    tested = np.flatnonzero(unseen)
    if not tested.size:
        raise DataError("No matured decision exists that neither version was trained on; wait for outcomes.")
    scores = other.scorer.probabilities(rows.rows.features[tested])
    evaluation = replace(_evaluation(home, one, other.scorer, rows, tested, scores), coverage=_coverage(frame, one))
    return judge(evaluation, home.settings.gate, _gate_context(home, one, challenger, other.manifest, now))


def _gate_context(home: Home, served: Served, version: int, manifest: Json, now: datetime) -> Context:
    settings = home.settings
    promotions = home.ledger.promotions()
    schema = served.scorer.schema
    challenger_schema = Schema.from_json(manifest["schema"])
    return Context(
        now=now,
        champion=served.version,
        challenger=version,
        learner=manifest["learner"],
        allowed_learners=settings.gate.learners or settings.train.learners,
        champion_features=tuple(schema.names[i] for i in schema.model_columns),
        challenger_features=tuple(challenger_schema.names[i] for i in challenger_schema.model_columns),
        tries=_tries(home),
        promotions=tuple(promotion.at for promotion in promotions),
    )


def _tries(home: Home) -> tuple[Try, ...]:
    """Every earlier test of a challenger, from the events of the cases."""
    found = []
    for case in home.cases.latest(1000):
        for event in home.cases.events(case.id):
            if "report" in event.document:
                report = documents.gate_report(event.document["report"])
                one = tried(report, int(event.document["champion"]), event.at)
                if one is not None:
                    found.append(one)
    return tuple(found)
