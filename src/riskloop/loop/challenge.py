"""From a confirmed case to a challenger and the gate's report on it."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Literal

import numpy as np

from riskloop.cases import Case, CaseState
from riskloop.cases.events import Judged, Making
from riskloop.core.errors import DataError
from riskloop.core.manifest import EvaluationManifest, RetrainOrder
from riskloop.core.settings import GateSettings, Settings
from riskloop.core.types import Action, Diagnosis, GateReport, to_micros
from riskloop.gate.approval import evidence_fingerprint
from riskloop.gate.verdict import judge, sentences
from riskloop.loop import snapshot
from riskloop.loop.challenger_file import make_file
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.evidence import context, evaluate, keep
from riskloop.loop.labels import doubts
from riskloop.loop.making import make
from riskloop.loop.register import register
from riskloop.loop.trainer import Challenger, Tick
from riskloop.retrain.dataset import pool, unseen_by
from riskloop.scoring.model import load_model
from riskloop.store.cases import Cases
from riskloop.store.documents import gate_report, plain
from riskloop.store.home import Home
from riskloop.store.windows import Windows

Say = Callable[[str], None]


def challenge(
    home: Home, case: Case, champion: ReferenceModel, matured: int, now: datetime, say: Say, tick: Tick
) -> tuple[int, Judged]:
    """Train a challenger for a case, register it, and judge it against the champion; its version and the judgement.

    Deterministic: the same case at the same ``now`` makes the same artefact, so a crash before the verdict is
    stored costs time and nothing else. ``matured`` decisions can be learned from. Raises DataError while too few have
    matured.
    """
    seq = home.champion().seq
    begun = since(home.windows, home.cases, case, home.settings.policy.again)
    known = snapshot.take_judged(home.feed, home.windows, now)
    made = make(
        home.settings,
        home.decisions,
        home.artefacts,
        RetrainOrder(champion.version, _action(case), case.diagnosis, begun, known),
        champion,
        least=home.settings.gate.min_defaults,
        say=lambda sentence: say(f"Case {case.id}: {sentence}"),
        tick=tick,
    )
    origin, tested = made.recipe.origin, made.plan.tested
    version = register(
        home.artefacts,
        home.ledger,
        made.candidate,
        made.trained_on.rows,
        origin=origin,
        parent=champion.version,
        case_id=case.id,
        now=now,
        threads=home.settings.train.threads,
    )
    model = load_model(home.artefact(version), version)
    evaluation = evaluate(
        home.settings, champion, model, made.rows, tested, made.scores, made.frame, origin, made.plan.blocks, made.card
    )
    file = make_file(home.settings, evaluation, champion, model, made.rows, tested, made.frame)
    about = EvaluationManifest(champion=champion.version, challenger=version)
    scores = keep(home.artefacts, evaluation, made.rows, tested, made.frame, about, file)
    gate = _patience(home.cases, home.settings, case, champion)
    report = judge(
        evaluation,
        gate,
        context(
            home.settings,
            home.ledger,
            champion,
            version,
            made.candidate.manifest,
            now,
            doubts(home.feed, home.windows, champion, known.maturity),
        ),
    )
    report = replace(report, evaluation=scores.sha256)
    return version, Judged(
        report=gate_report(plain(report)),
        sentences=sentences(report),
        fingerprint=evidence_fingerprint(report, version),
        evaluation=scores.name,
        record=_record(made),
        matured=matured,
        next=_next(report, matured),
        champion=champion.version,
        seq=seq,
    )


def _next(report: GateReport, matured: int) -> int | None:
    """How many decisions have to have matured for the next try; None when there is none."""
    if report.retry_defaults is None:
        return None
    defaults = max(1, int(report.checks[0].sizes["defaults"]))
    return matured + max(1, math.ceil(matured * report.retry_defaults / defaults))


def _patience(cases: Cases, settings: Settings, case: Case, champion: ReferenceModel) -> GateSettings:
    """The gate, with another try as late as a renewal where no outcomes show that the champion does worse.

    So it is after a changed mix of customers, and when the champion was made for the case's new world: a better model
    may exist and is not urgent, and early tries would spend the alpha budget that it needs.
    """
    gate = settings.gate
    made = next((c for c in cases.latest(1000) if c.challenger == champion.version), None)
    urgent = case.diagnosis is not Diagnosis.COVARIATE_SHIFT and (made is None or made.window_id != case.window_id)
    return gate if urgent else gate.model_copy(update={"retry_growth": max(gate.retry_growth, settings.policy.renew)})


def _record(made: Challenger) -> Making:
    choice, trained_on = made.choice, made.trained_on
    return Making(
        plan=made.recipe.sentence,
        evaluation=made.plan.sentence,
        training=trained_on.sentence,
        weighting=choice.weighting.name,
        learner=choice.learner,
        validation={name: float(auc) for name, auc in choice.tried.items()},
        effective_size=float(trained_on.effective_size),
        fingerprint=trained_on.fingerprint,
        blended=made.candidate.manifest.training.blended,
    )


def since(windows: Windows, cases: Cases, case: Case, again: int) -> int | None:
    """The new world begins where the case's first window does, or that of the case before, at most ``again`` windows.

    A concept that changes back soon after a champion was made for it is no third world: a challenger that learned the
    latest months alone would forget the ones that the champion was made for, and the gate would not see it.
    """
    least, first = case.window_id - again, case
    while (before := _made_for(cases, first)) is not None and least <= before.window_id < first.window_id:
        first = before
    window = windows.get(first.window_id)
    return None if window is None else to_micros(window.first_time)


def _made_for(cases: Cases, case: Case) -> Case | None:
    """The case of a concept that the champion of a case of a concept was made for."""
    if case.champion is None or case.diagnosis is not Diagnosis.CONCEPT_DRIFT:
        return None
    made = (CaseState.PROMOTED, CaseState.ROLLED_BACK)
    found = (c for c in cases.of_challenger(case.champion) if c.diagnosis is Diagnosis.CONCEPT_DRIFT)
    return next((c for c in found if c.state in made), None)


def _action(case: Case) -> Action:
    return Action.RECALIBRATE if case.diagnosis is Diagnosis.PRIOR_SHIFT else Action.RETRAIN


def compare(home: Home, champion: int, challenger: int, now: datetime, gate: GateSettings | None = None) -> GateReport:
    """The gate on two registered versions, on the matured decisions that neither was trained on.

    ``gate`` is asked instead of that of the settings.

    Raises DataError when there is no such decision yet, or the two read other features.
    """
    one, other = load(home, champion), load(home, challenger)
    if not other.model.schema.alike(one.model.schema):
        apart = other.model.schema.apart(one.model.schema) or ["they stand in another order"]
        raise DataError(
            f"Versions {champion} and {challenger} cannot be compared on the same decisions, because they read other "
            f"features: {'; '.join(apart)}. Look at the validation of version {challenger}, let it score beside the "
            f"champion, and put it in force with --force and a reason."
        )
    known = snapshot.take(home.feed, home.windows, now)
    frame = snapshot.read(home.decisions, known, one.model.schema)
    rows = pool(None, frame)
    unseen = unseen_by(one.manifest.training.record, rows)
    unseen &= unseen_by(other.manifest.training.record, rows)
    tested = np.flatnonzero(unseen)
    if not tested.size:
        raise DataError("No matured decision is new to both versions. More outcomes have to mature.")
    scores = other.model.probabilities(rows.rows.features[tested])
    # Only a recalibration of this very champion ranks like it; against any other model the ranking decides.
    alike = other.manifest.origin == "recalibrate" and other.manifest.parent == champion
    kind: Literal["retrain", "recalibrate"] = "recalibrate" if alike else "retrain"
    evaluation = evaluate(home.settings, one, other.model, rows, tested, scores, frame, kind, blocks=None)
    return judge(
        evaluation,
        gate or home.settings.gate,
        context(
            home.settings,
            home.ledger,
            one,
            challenger,
            other.manifest,
            now,
            doubts(home.feed, home.windows, one, known.maturity),
        ),
    )
