"""One back-test from start to end: read or make the history, replay every policy, score, compare."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from riskloop import views
from riskloop.backtest.history import History, Played, read_history
from riskloop.backtest.kept import keep
from riskloop.backtest.oracle import oracle_scores
from riskloop.backtest.policies import ALWAYS, NEVER, ORACLE, Policy, policies_named
from riskloop.backtest.replay import arrivals, below_floor, first_champion, model_of
from riskloop.backtest.request import Request
from riskloop.backtest.runs import FIRST, folder_of, run_all
from riskloop.backtest.score import Scores, against, exchange, overall, period_scores
from riskloop.backtest.watched import doubtful, sentences, watched
from riskloop.backtest.worlds import Game, play
from riskloop.core.english import counted
from riskloop.core.settings import duration_text
from riskloop.core.types import Bools, Diagnosis, Json, Promotion, to_micros
from riskloop.data.fetch import fetched
from riskloop.store.artefacts import Artefacts
from riskloop.store.home import Home
from riskloop.store.ledger import Ledger
from riskloop.train.calibrate import choose_threshold

Tick = Callable[[str, float], None]
TOLD: Final = ("diagnosis", "confirmed", "action", "sentence", "quarantined", "mature")  # of a window
TRAINING: Final = 0.1  # of the progress bar
REPLAYED: Final = 0.95


@dataclass(frozen=True)
class Run:
    """What one policy did."""

    policy: str
    sentence: str
    scores: tuple[Scores, ...]  # by period
    champions: tuple[int | None, ...]  # that decided on the last customer, by period
    story: Json  # retrainings, promotions, diagnoses, cases


def backtest(request: Request, progress: Tick | None = None, *, now: datetime | None = None) -> Json:
    """Replay the history under every policy and compare; the document is what the JSON file and the page are made of.

    An interrupted back-test goes on where it stopped when it is asked for again with the same file and settings.
    """
    tick = progress or (lambda _sentence, _share: None)
    policies = policies_named(request.policies, approve=request.approve)
    tick("Reading the history", 0.0)
    history, game = _history(request, now)
    folder = keep(request.work, history)
    first_champion(folder / FIRST, history, lambda what, share: tick(f"Training: {what}", TRAINING * share))
    history = replace(history, notes=(*history.notes, *below_floor(folder / FIRST, history)))
    jobs = request.jobs or min(len(policies), len(os.sched_getaffinity(0)))

    def share(done: float) -> None:
        tick("Replaying", TRAINING + (REPLAYED - TRAINING) * done)

    run_all(folder, history, policies, approve=request.approve, jobs=jobs, share=share)
    tick("Comparing", REPLAYED)
    runs = [collected(folder_of(folder, policy), history, policy) for policy in policies]
    if game is not None:
        runs.append(_oracle(folder, history, game, next(run for run in runs if run.policy == NEVER.name)))
    document = compared(history, runs, request, folder)
    if not request.keep:
        shutil.rmtree(folder)
        shutil.rmtree(request.work / "rows" / folder.name)
        _remove_if_empty(request.work / "rows")
        _remove_if_empty(request.work)
    tick("Done", 1.0)
    return document


def _history(request: Request, now: datetime | None) -> tuple[History, Game | None]:
    with fetched(request.history) as here:
        request = replace(request, history=here)
        return (read_history(request, now=now), None) if request.scenario is None else play(request)


def _remove_if_empty(folder: Path) -> None:
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


# --------------------------------------------------------------------------- what each policy did


def collected(folder: Path, history: History, policy: Policy) -> Run:
    """Read a replayed portfolio: decisions by period, and everything that is on record about the loop."""
    home = Home.open(folder, policy.applied(history.settings))
    try:
        frame = home.decisions.frame()
        edges = np.cumsum([len(period.rows) for period in history.periods])[:-1]
        probabilities = np.split(frame.probabilities, edges)
        versions = np.split(frame.model_versions, edges)
        declined = np.split(~frame.approved, edges)
        scores, champions = [], []
        for period, p, used, defaults in zip(history.periods, probabilities, versions, declined, strict=True):
            target = period.rows.target if period.rows.target is not None else np.full(len(period.rows), np.nan)
            scores.append(Scores(target, p, defaults, period.true_pd))
            champions.append(int(used[-1]) if len(used) else None)
        return Run(policy.name, policy.sentence, tuple(scores), tuple(champions), _story(home, history, policy, scores))
    finally:
        home.close()


def _story(home: Home, history: History, policy: Policy, scores: Sequence[Scores]) -> Json:
    promotions = home.ledger.promotions()
    exchanges = [
        _exchange(home.artefacts, home.ledger, history, scores, promotion, following)
        for promotion, following in zip(promotions, [*promotions[1:], None], strict=True)
        if promotion.kind.brings_challenger
    ]
    cases = [views.case_story(home.cases, case.id) for case in reversed(home.cases.latest(1000))]
    if policy.monitored:
        retrainings = [
            {"at": event["at"], "verdict": event["document"]["report"]["verdict"], "case": case["id"]}
            for case in cases
            for event in case["events"]
            if "report" in event["document"]
        ]
    else:
        retrainings = [
            {"at": views.utc(model.created_at), "verdict": None, "case": None}
            for model in home.ledger.models()
            if model.origin == "retrain"
        ]
    return {
        "retrainings": [{**entry, "period": _period_of(history, str(entry["at"]))} for entry in retrainings],
        "promotions": exchanges,
        "rollbacks": sum(p.kind.takes_back for p in promotions),
        "windows": {window.name: views.window(window) for window in home.windows.latest(10_000)},
        "held": [held.name for held in home.deliveries.held()],
        "cases": cases,
    }


def _exchange(
    artefacts: Artefacts,
    ledger: Ledger,
    history: History,
    scores: Sequence[Scores],
    promotion: Promotion,
    following: Promotion | None,
) -> Json:
    """One promotion, and how it turned out on what came next: the customers that the new champion decided on.

    Periods whose data were broken say nothing about either model.
    """
    until = history.periods[-1].end if following is None else following.at
    served = [
        (k, mask)
        for k, period in enumerate(history.periods)
        if period.truth is not Diagnosis.DATA_FAULT and (mask := _between(period, promotion.at, until)).any()
    ]
    before, after = promotion.previous or promotion.version, promotion.version
    old, new = (
        [
            model_of(artefacts, ledger, version).probabilities(history.periods[k].rows.features[mask])
            for k, mask in served
        ]
        for version in (before, after)
    )
    return {
        "period": _period_of(history, str(views.utc(promotion.at))),
        "at": views.utc(promotion.at),
        "version": after,
        "previous": before,
        "kind": promotion.kind.value,
        "by": promotion.by,
        "reason": promotion.reason,
        "periods": len(served),
        **exchange([scores[k].take(mask) for k, mask in served], old, new),
    }


def _between(period: Played, first: datetime, end: datetime) -> Bools:
    """The period's rows that came in a span of time."""
    came = arrivals(period)
    inside: Bools = (came >= to_micros(first)) & (came < to_micros(end))
    return inside


def _period_of(history: History, at: str) -> str:
    """The name of the period in which, or at whose end, something happened."""
    moment = datetime.fromisoformat(at)
    begun = [period.name for period in history.periods if period.first < moment]
    return begun[-1] if begun else history.last_name


def _oracle(folder: Path, history: History, game: Game, never: Run) -> Run:
    home = Home.open(folder / FIRST, history.settings)
    try:
        learner = home.ledger.model(home.champion().version).learner
    finally:
        home.close()
    scores = oracle_scores(history, game, learner, [s.probabilities for s in never.scores])
    # The same array is the first model's score of an unchanged world; every other is of a model of a changed one.
    changed = [p for s, p in zip(never.scores, scores, strict=True) if p is not s.probabilities]
    at = choose_threshold(np.concatenate(changed), history.settings.threshold) if changed else 0.0
    fitted = tuple(
        s if p is s.probabilities else replace(s, probabilities=p, declined=p >= at)
        for s, p in zip(never.scores, scores, strict=True)
    )
    story: Json = {"retrainings": [], "promotions": [], "rollbacks": 0, "windows": {}, "held": [], "cases": []}
    return Run(ORACLE, "knows the changed world from its first day", fitted, (None,) * len(fitted), story)


# --------------------------------------------------------------------------- the document


def compared(history: History, runs: Sequence[Run], request: Request, folder: Path) -> Json:
    """Everything as one JSON document."""
    never = next(run for run in runs if run.policy == NEVER.name)
    always = next((run for run in runs if run.policy == ALWAYS.name), None)
    policies = {run.policy: _policy(history, run, never, always) for run in runs}
    cases = [{"policy": run.policy, **case} for run in runs for case in run.story["cases"]]
    for case in cases:
        windows = [w for w in _windows(runs, case["policy"]).values() if w["id"] == case["window"]]
        case["period"] = windows[0]["name"] if windows else None
        for event in case["events"]:
            event.pop("document")  # the gate's whole report; the portfolio has it
    settings = history.settings
    document: Json = {
        "portfolio": settings.portfolio.name,
        "scenario": request.scenario,
        "seed": settings.train.seed if request.scenario is None else request.game_seed,
        "windows": settings.windows.by,
        "outcome_window": duration_text(settings.portfolio.outcome_window),
        "trained_on": {"rows": len(history.past), "first": history.first_name, "last": history.last_name},
        "decisions": sum(len(period.rows) for period in history.periods),
        "approved": request.approve,
        "kept": str(folder) if request.keep else None,
        "notes": list(history.notes),
        "policies": policies,
        "cases": cases,
    }
    return {**document, "answer": answer(document)}


def _windows(runs: Sequence[Run], policy: str) -> Json:
    windows: Json = next(run for run in runs if run.policy == policy).story["windows"]
    return windows


def _policy(history: History, run: Run, never: Run, always: Run | None) -> Json:
    money = history.settings.money
    documents = [period_scores(scores, money) for scores in run.scores]
    watch = _watch(history, run, always) if run.story["windows"] else None
    reasons: Json = watch.pop("reasons") if watch else {}
    periods = []
    for period, document, champion in zip(history.periods, documents, run.champions, strict=True):
        told = _told(run.story["windows"].get(period.name), reasons.get(period.name))
        truth = None if period.truth is None else period.truth.value
        periods.append({"period": period.name, **document, "champion": champion, **told, "truth": truth})
    promotions = run.story["promotions"]
    return {
        "sentence": run.sentence,
        **overall(run.scores, documents, money),
        "retrainings": len(run.story["retrainings"]),
        "promotions": len(promotions),
        "wrong_promotions": sum(bool(entry["wrong"]) for entry in promotions),
        "rollbacks": run.story["rollbacks"],
        "against_never": against(run.scores, never.scores, money),
        "watch": watch,
        "periods": periods,
        "promotion_list": promotions,
        "retraining_list": run.story["retrainings"],
    }


def _told(window: Json | None, unjudged: str | None) -> Json:
    """What a loop said of a window; that nothing moved is no diagnosis of one whose outcomes it did not judge."""
    told: Json = {key: window[key] if window else None for key in TOLD} | {"not_judged": unjudged}
    if unjudged is not None and told["diagnosis"] in (Diagnosis.STABLE, Diagnosis.NOT_ENOUGH_DATA):
        told |= {"diagnosis": None, "sentence": f"Not judged, because {unjudged[0].lower()}{unjudged[1:]}"}
    return told


def _watch(history: History, run: Run, always: Run | None) -> Json:
    scores = None if always is None else always.scores
    return {**watched(history, run.story["windows"], run.scores, scores), "held_outcomes": run.story["held"]}


def answer(document: Json) -> str:
    """The question's answer in a few sentences. Where much was kept out or not judged, that comes first."""
    said = []
    for name, entry in document["policies"].items():
        gained, unseen = _gained(name, entry), sentences(name, entry["watch"])
        said += [*unseen, *gained] if doubtful(entry["watch"]) else [*gained, *unseen]
    return " ".join(said) or "No period has outcomes of both kinds, so nothing can be compared."


def _gained(name: str, entry: Json) -> list[str]:
    gain = entry["against_never"]
    if name in {NEVER.name, ORACLE} or gain["auc"] is None:
        return []
    retrained, promoted = counted(entry["retrainings"], "retraining"), counted(entry["promotions"], "promotion")
    if not entry["promotions"]:
        return [f"'{name}' never exchanged the model, after {retrained}."]
    how = "" if gain["auc_low"] > 0.0 or gain["auc_high"] < 0.0 else ", which may be chance"
    auc = f"{gain['auc']:+.4f} ({gain['auc_low']:+.4f} to {gain['auc_high']:+.4f}{how})"
    wrong = f"{entry['wrong_promotions']} of them wrong{_beyond_chance(entry)}"
    return [
        f"'{name}' changes the mean AUC by {auc} against never retraining, with {retrained} and {promoted}, {wrong}."
    ]


def _beyond_chance(entry: Json) -> str:
    """How many wrong promotions are shown to be wrong: few outcomes turn a good one into a wrong one by luck."""
    if not entry["wrong_promotions"]:
        return ""
    wrong = [promotion for promotion in entry["promotion_list"] if promotion["wrong"]]
    shown = sum(p["low"] > 0.0 if p["measure"] == "log_loss" else p["high"] < 0.0 for p in wrong)
    return f" ({shown or 'none'} beyond chance)"
