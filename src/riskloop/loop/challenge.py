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
from riskloop.core.types import Action, DecisionFrame, Diagnosis, Floats, GateReport, Ints, Json, to_micros
from riskloop.gate.budget import Try, tried
from riskloop.gate.evaluation import Context, Coverage, Evaluation
from riskloop.gate.verdict import judge
from riskloop.loop.champion import Served, load
from riskloop.loop.observe import matured_frame
from riskloop.loop.register import register
from riskloop.loop.trainer import Trainer
from riskloop.retrain.challenger import plan_challenger
from riskloop.retrain.dataset import Pool, pool, unseen_by
from riskloop.retrain.plan import Plan, evaluation_plan
from riskloop.serve.scorer import Scorer, load_scorer
from riskloop.store import documents
from riskloop.store.cases import Case
from riskloop.store.history import load_history
from riskloop.store.home import Home

Say = Callable[[str], None]


@dataclass(frozen=True)
class Challenge:
    """A registered challenger and what the gate said of it."""

    version: int
    report: GateReport
    record: Json  # how it was made: rows, weights, plan


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
    made = Trainer(home, served, rows, recipe, since).make(plan)
    version = register(
        home,
        made.candidate,
        made.trained_on.rows,
        origin=recipe.origin,
        parent=served.version,
        case_id=case.id,
        now=now,
    )
    scorer = load_scorer(home.artefact(version), version)
    evaluation = replace(
        _evaluation(home, served, scorer, rows, plan.tested, made.scores),
        kind=recipe.origin,
        coverage=_coverage(frame, served),
    )
    report = judge(evaluation, settings.gate, _gate_context(home, served, version, made.candidate.manifest, now))
    record = {
        "plan": recipe.sentence,
        "evaluation": plan.sentence,
        "training": made.trained_on.sentence,
        "weighting": made.choice.weighting.name,
        "learner": made.choice.learner,
        "validation": dict(made.choice.tried),
        "since": since,
    }
    return Challenge(version, report, record)


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
        bands = [f"up to {edges[0]:g}"]
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
