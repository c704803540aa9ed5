"""What is on record, as JSON-ready documents: the same ones for the commands, the API and the dashboard."""

import math
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import to_builtins

from riskloop.cases import Case, CaseState, CaseStep, ended, events, known_harm
from riskloop.cases.people import Care, CaseNote
from riskloop.core.english import counted
from riskloop.core.errors import NotFound
from riskloop.core.findings import WINDOW
from riskloop.core.grades import RATE_GAP, grades_off, grades_said
from riskloop.core.manifest import ModelManifest, benchmark_document
from riskloop.core.settings import (
    GateSettings,
    LineageSettings,
    MlflowSettings,
    ShadowSettings,
    WatchSettings,
)
from riskloop.core.types import Finding, Json, Promotion, iso, to_micros
from riskloop.store.artefacts import Artefacts
from riskloop.store.case_notes import attention, cares
from riskloop.store.cases import Cases
from riskloop.store.cycles import LINEAGE, MLFLOW, SHADOW, loop_state
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.documents import plain
from riskloop.store.home import Home
from riskloop.store.keys import Keys
from riskloop.store.ledger import Ledger, ModelVersion, served
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.notices import unsent
from riskloop.store.proof import Proof
from riskloop.store.running import running
from riskloop.store.shadow import ShadowScores, summary
from riskloop.store.tries import tries_against
from riskloop.store.trust import Checkpoint, TrustState
from riskloop.store.windows import Window, Windows, next_file_due


def utc(moment: datetime | None) -> str | None:
    """ISO 8601 with a Z, to the second or as exact as the moment is."""
    return None if moment is None else iso(moment, "auto")


def status(home: Home, now: datetime) -> Json:
    """The whole loop at a glance."""
    champion = home.ledger.champion()
    serving = {} if champion is None else model(home.ledger, home.artefacts, champion.version)
    latest = home.windows.latest(1)
    document: Json = {
        "portfolio": home.settings.portfolio.name,
        "config": str(home.config),
        "now": utc(now),
        "champion": None if champion is None else {**serving, "since": utc(champion.at)},
        "decisions": home.decisions.last_id(),
        "policy": home.settings.policy.name,
        "exploration": exploration(home.feed, now),
        "last_window": window(latest[-1]) if latest else None,
        "realised": realised(home.windows, None if champion is None else champion.version),
        "loop": loop(home.database, home.settings.watch, home.folder),
        "trust": trust(home.trust.state()),
        "outcomes": outcomes(home.feed, home.windows, now),
        "quarantine": quarantine(home.feed, home.windows, now),
        "next_file": utc(next_file_due(home.decisions, home.settings)),
        "open_cases": [case(entry) for entry in home.cases.latest(only_open=True)],
        "unresolved": []
        if champion is None
        else [case(entry) for entry in unresolved(home.cases, home.ledger, champion.version)],
        "unsent_alerts": unsent_alerts(home.database),
        "mirror": mirror(home.database, home.settings.mlflow),
        "lineage": lineage(home.database, home.settings.lineage),
        "shadow": shadow(home.database, home.settings.shadow, home.decisions),
    }
    return {**document, "next": next_steps(document)}


def realised(windows: Windows, champion: int | None) -> Json | None:
    """How the champion did in its newest window that was judged by its outcomes; another version where it has none.

    A champion that came back has the outcomes of its earlier time. None before the first judged window.
    """
    judged = windows.newest_judged(champion)
    if judged is None:
        return None
    everything = windows.findings(judged.id)
    found = {entry.check: entry for entry in everything if entry.subject == WINDOW}
    off = grades_off(everything, RATE_GAP)
    auc, level = found["auc"], found.get("calibration")
    usual = auc.details.get("reference")
    low, high = auc.details.get("lower"), auc.details.get("upper")
    between = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    training = "" if usual is None else f"; {usual:.3f} at training"
    rates = {} if level is None else {key: level.details.get(key) for key in ("observed", "expected")}
    happened = "" if None in rates.values() or not rates else (
        f" {rates['observed']:.1%} defaulted at a mean PD of {rates['expected']:.1%}."
    )  # fmt: skip
    return {
        "window": judged.name,
        "model_version": judged.model_version,
        "rows": auc.n,
        "auc": auc.statistic,
        "auc_low": low,
        "auc_high": high,
        "auc_training": usual,
        **{"default_rate": rates.get("observed"), "mean_pd": rates.get("expected")},
        "grades_off": [entry.subject for entry in off],
        "sentence": f"Realised AUC of version {judged.model_version}: {auc.statistic or 0.0:.3f}{between} on "
        f"{counted(auc.n, 'decision')} of {judged.name}{training}.{happened}{grades_said(off)}",
    }


def next_steps(status: Json) -> list[Json]:
    """What a person should do now by command, the most urgent first; empty where nothing waits for one."""
    steps: list[tuple[str, str]] = []
    if status["trust"]["problem"] is not None:
        doubt = status["trust"]["doubt"]
        steps.append(("verify", "the record is in doubt") if doubt else ("doctor", "nothing was signed lately"))
    if status["champion"] is None:
        return _steps([*steps, ("train", "no model serves yet")])
    for entry in status["open_cases"]:
        waits = _WAITS.get(entry["state"])
        if waits is not None:
            steps.append((f"cases show {entry['id']}", waits))
    if status["loop"]["stands_still"] or (status["decisions"] and not status["loop"]["watched"]):
        steps.append(("up", "nobody watches the decisions"))
    there = status["outcomes"]["judged_next"]
    if there:
        steps.append(("watch --once", "outcomes have come that the loop has not looked at"))
    if status["outcomes"]["late"] or len(status["outcomes"]["not_judged"]) > len(there):
        steps.append(("outcomes FILE", "outcomes are due"))
    if status["next_file"] is not None and status["next_file"] < status["now"]:
        steps.append(("score IN OUT", "a file of decisions is due"))
    if status["unsent_alerts"]:
        steps.append(("alerts list", "somebody was not told"))
    for entry in status["unresolved"]:
        steps.append((f"cases show {entry['id']}", f"its harm goes on: {ended(CaseState(entry['state']))}"))
    return _steps(steps)


_WAITS: Final = {"needs_approval": "it waits for your approval", "quarantined": "its rows are kept out of learning"}


def _steps(steps: list[tuple[str, str]]) -> list[Json]:
    return [{"command": f"riskloop {words}", "why": why} for words, why in steps]


def mirror(database: Database, settings: MlflowSettings) -> Json | None:
    """How the mirror in MLflow stands; None where there is none."""
    if settings.mirror is None:
        return None
    return _followed(database, MLFLOW)


def lineage(database: Database, settings: LineageSettings) -> Json | None:
    """How the events of OpenLineage stand; None where they are not sent."""
    return None if settings.to is None else _followed(database, LINEAGE)


def shadow(database: Database, settings: ShadowSettings, decisions: DecisionLog) -> Json | None:
    """How far the shadows have come and how often they agree; None where no version is one."""
    if not settings.versions:
        return None
    counts, newest = {one.version: one for one in ShadowScores(database).counts()}, decisions.last_id()
    found = [summary(counts.get(version), version, newest, active=True) for version in settings.versions]
    return {**_followed(database, SHADOW), "versions": found}


def _followed(database: Database, name: str) -> Json:
    state = loop_state(database, name)
    return {"finished_at": utc(state.finished_at), "failures": state.failures, "problem": state.problem}


def unsent_alerts(database: Database) -> list[Json]:
    """What people should have been told of by a channel that did not take it, oldest first."""
    return [
        {
            "title": notice.alert.get("title", notice.subject),
            "channel": notice.channel,
            "state": notice.state.value,
            "tries": notice.tries,
            "at": utc(notice.at),
            "problem": notice.problem.rstrip("."),
        }
        for notice in unsent(database)
    ]


def loop(database: Database, settings: WatchSettings, folder: Path) -> Json:
    """When the last cycle finished, and what is wrong with the loop.

    Nothing is wrong yet where `riskloop up` was started in ``folder`` so lately that its first cycle is not late.
    """
    state, late = loop_state(database), settings.late
    server = running(folder)
    lately = server is not None and time.time() - server.watched_since < late.total_seconds()
    starting = lately and not state.given_up and not state.failures
    return {
        "finished_at": utc(state.finished_at),
        "age_seconds": None if state.age is None else state.age.total_seconds(),
        "failures": state.failures,
        "watched": starting or state.under_way or not (state.finished_at is None or state.stands_still(late)),
        "stands_still": not starting and state.stands_still(late),
        "problem": None if starting else state.trouble(late),
    }


def trust(state: TrustState) -> Json:
    """The last checkpoint, and whether the record agrees with it."""
    return {
        "checkpoint": checkpoint(state.checkpoint),
        "age_seconds": None if state.age is None else state.age.total_seconds(),
        "problem": state.problem,
        "doubt": state.doubt,
    }


def checkpoint(one: Checkpoint | None) -> Json | None:
    """What was signed last."""
    return None if one is None else {"at": utc(one.at), "link": one.number, "promotion": one.seq, "key": one.key}


def proof(found: Proof) -> Json:
    """What `riskloop verify` found."""
    rows = sum(found.recomputed.rows.values())
    count = len(found.breaches) + found.recomputed.uncounted
    where = "" if found.first_broken is None else f" The first broken link is {found.first_broken}."
    sentence = (
        f"Sound: {rows:,} rows and {found.recomputed.links:,} links are as they were committed."
        if found.sound
        else f"Not sound: {counted(count, 'finding')}.{where}"
    )
    return {
        "sound": found.sound,
        "sentence": sentence,
        "breaches": [asdict(breach) for breach in found.breaches],
        "uncounted": found.recomputed.uncounted,
        "first_broken": found.first_broken,
        "links": found.recomputed.links,
        "rows": found.recomputed.rows,
        "checkpoints": found.checkpoints,
        "last_checkpoint": checkpoint(found.last),
        "limits": found.limits,
        "seconds": round(found.seconds, 3),
    }


def unresolved(cases: Cases, ledger: Ledger, champion: int) -> list[Case]:
    """The closed cases by which a champion is known to do worse than at its training, newest first."""
    marked = cases.unresolved()
    return known_harm(marked, champion, ledger.alike(champion)) if marked else []


def outcomes(feed: OutcomeFeed, windows: Windows, now: datetime) -> Json:
    """Where the outcome feed stands: up to when it is complete, whether it is late, what is in quarantine."""
    state = feed.state(now)
    how = "as it says itself" if state.given else "as far as what arrived tells"
    until = state.complete_until
    complete = "No outcome counts yet." if until is None else f"Outcomes are complete up to {until:%Y-%m-%d}, {how}."
    waiting = windows.unjudged(to_micros(now - feed.settings.portfolio.outcome_window))
    return {
        "complete_until": utc(until),
        "given": state.given,
        "last_at": utc(state.last_at),
        "due": utc(state.due),
        "late": state.late,
        "held": list(state.held),
        "not_judged": [entry.name for entry in waiting],
        "judged_next": [entry.name for entry in windows.untried(feed.maturity(now).until + 1)],  # at its next turn
        "sentence": " ".join(part for part in (complete, state.late) if part),
    }


def quarantine(feed: OutcomeFeed, windows: Windows, now: datetime) -> Json | None:
    """What is kept out of learning, since when, and how its PD stands to what happened; None where nothing is.

    Where it lasts for `drift.among` windows or more, a person is asked: a broken feed is mended, a new world is not.
    """
    held = [entry for entry in windows.quarantined() if entry.rows]
    if not held:
        return None
    known, outcomes, expected = feed.maturity(now), np.empty(0), np.empty(0)
    for entry in held[-feed.settings.drift.among :]:
        frame = feed.decisions.some(entry.span, entry.first_id, entry.last_id, known)
        outcomes, expected = np.append(outcomes, frame.outcomes), np.append(expected, frame.probabilities)
    if (happened := ~np.isnan(outcomes)).any():
        expected = expected[happened]
    rate = float(outcomes[happened].mean()) if happened.any() else None
    pd = float(expected.mean()) if expected.size else None  # retention and erasure take decisions, not windows
    rows, first = sum(entry.rows for entry in held), held[0].first_time
    costs = f" In the latest of them {rate:.1%} defaulted at a PD of {pd:.1%}." if None not in (rate, pd) else ""
    asks = " Find out whether the feed is broken or the world has changed: mend it, or release them."
    says = f"In quarantine: {counted(len(held), 'window')} with {rows:,} decisions since {first:%Y-%m-%d}."
    return {
        "windows": len(held),
        "decisions": rows,
        "since": utc(first),
        "until": utc(held[-1].end_time),
        "mean_pd": pd,
        "default_rate": rate,
        "sentence": f"{says}{costs}{asks if len(held) >= feed.settings.drift.among else ''}",
    }


def gate_budget(database: Database, settings: GateSettings, champion: int, now: datetime) -> Json:
    """How often challengers were tried against a champion, and what is left of the error that the tries may make."""
    tries = [t for t in tries_against(database, champion) if t.at > now - settings.budget_period]
    return {"tries": len(tries), "left": max(0.0, settings.run_alpha - math.fsum(t.alpha for t in tries))}


def exploration(feed: OutcomeFeed, now: datetime) -> Json | None:
    """What is learned about declined customers; None where nobody is approved at random."""
    rate = feed.settings.exploration.rate
    if not rate:
        return None
    declined, explored, known = feed.decisions.exploration(feed.maturity(now))
    return {
        "rate": rate,
        "declined": declined,
        "explored": explored,
        "known": known,
        "sentence": f"{rate:.1%} of the declined are approved at random: {explored:,} of {declined:,} so far, "
        f"{known:,} of them with a known outcome.",
    }


def models(ledger: Ledger) -> list[Json]:
    """Every registered version, oldest first, with the spans in which it served."""
    history = ledger.promotions()
    return [_model(row, history) for row in ledger.models()]


def model(ledger: Ledger, artefacts: Artefacts, version: int) -> Json:
    """One version: its ledger row and what its manifest says about quality, training and threshold."""
    row = ledger.model(version)
    written = artefacts.read(row.artefact, ModelManifest, row.sha256).manifest
    manifest = to_builtins(written)
    shown = ("metrics", "comparison", "threshold", "risk_levels", "calibration", "importance", "training", "libraries")
    beside = benchmark_document(written.training.benchmark)
    return {**_model(row, ledger.promotions()), **{key: manifest[key] for key in shown}, "benchmark": beside}


def _model(row: ModelVersion, history: list[Promotion]) -> Json:
    return {
        "version": row.version,
        "champion": bool(history) and history[-1].version == row.version,
        "learner": row.learner,
        "origin": row.origin,
        "auc": row.auc,
        "created_at": utc(row.created_at),
        "parent": row.parent,
        "case_id": row.case_id,
        "sha256": row.sha256,
        "served": [{"from": utc(first), "until": utc(end)} for first, end in served(history, row.version)],
    }


def champion_at(ledger: Ledger, moment: datetime, now: datetime) -> Json:
    """Which model served at ``moment``, and by which promotion; NotFound before the first one and after ``now``.

    Every API process has a new champion within a second, so a decision's own `model_version` is what counts for it.
    """
    if moment > now:
        raise NotFound(f"{utc(moment)} lies in the future; which model will serve then is not decided yet.")
    found = ledger.champion_at(moment)
    if found is None:
        raise NotFound(f"No model served at {utc(moment)}; the first promotion came later.")
    row = ledger.model(found.version)
    return {
        "at": utc(moment),
        "version": found.version,
        "learner": row.learner,
        "sha256": row.sha256,
        "promotion": {key: value for key, value in promotion(found).items() if key != "evidence"},
        "sentence": f"Version {found.version} ({row.learner}) served at {utc(moment)}: promotion {found.seq} of "
        f"{utc(found.at)} by {found.by}. {found.reason}",
    }


def promotion(entry: Promotion) -> Json:
    """One row of the ledger."""
    document: Json = plain(entry)
    return {**document, "at": utc(entry.at)}


def cases(cases: Cases, limit: int = 100) -> list[Json]:
    """The newest cases, newest first, with who takes care of each."""
    found = cases.latest(limit)
    cared = cares(cases, found)
    return [{**case(entry), **_care(cared[entry.id])} for entry in found]


def case_story(cases: Cases, number: int) -> Json:
    """One case with every step, and what people said about it."""
    entry, steps = cases.get(number), cases.steps(number)
    people = attention(cases, entry, steps)
    said = [_note(note) for note in people.notes]
    return {**case(entry), **_care(people.care), "notes": said, "events": [_step(step) for step in steps]}


def _care(care: Care) -> Json:
    return {
        "assigned_to": care.assigned_to,
        "acknowledged_by": care.acknowledged_by,
        "acknowledged_at": utc(care.acknowledged_at),
    }


def _note(note: CaseNote) -> Json:
    return {"at": utc(note.at), "by": note.by, "kind": note.kind.value, "person": note.person, "text": note.text}


def case(entry: Case) -> Json:
    """One case."""
    return {
        "id": entry.id,
        "state": entry.state.value,
        "open": entry.is_open,
        "diagnosis": entry.diagnosis.value,
        "sentence": entry.sentence,
        "window": entry.window_id,
        "challenger": entry.challenger,
        "tries": entry.tries,
        "opened_at": utc(entry.opened_at),
        "closed_at": utc(entry.closed_at),
        "closed_by": entry.closed_by,
        "unresolved": entry.unresolved,
    }


def _step(step: CaseStep) -> Json:
    return {
        "at": utc(step.at),
        "state": step.state.value,
        "by": step.by,
        "sentence": step.sentence,
        "document": events.plain(step.event),
    }


def drift(windows: Windows, limit: int = 12) -> list[Json]:
    """The newest windows, oldest of them first, each with its findings."""
    return [
        {**window(entry), "findings": [finding(found) for found in windows.findings(entry.id)]}
        for entry in windows.latest(limit)
    ]


def window(entry: Window) -> Json:
    """One window without its findings."""
    return {
        "id": entry.id,
        "name": entry.name,
        "from": utc(entry.first_time),
        "until": utc(entry.end_time),
        "decisions": entry.rows,
        "model_version": entry.model_version,
        "diagnosis": entry.diagnosis.value,
        "confirmed": entry.confirmed,
        "action": entry.action.value,
        "sentence": entry.sentence,
        "rungs": plain(entry.rungs),
        "mature": entry.matured_at is not None,
        "quarantined": entry.quarantined,
        "case_id": entry.case_id,
        "report": entry.report,
    }


def finding(found: Finding) -> Json:
    """One finding."""
    document: Json = plain(found)
    return document


def keys(database: Database) -> list[Json]:
    """The API keys without their secrets."""
    return [
        {
            "name": key.name,
            "roles": list(key.roles),
            "created_at": utc(key.created_at),
            "revoked_at": utc(key.revoked_at),
            "expires_at": utc(key.expires_at),
        }
        for key in Keys(database).all()
    ]
