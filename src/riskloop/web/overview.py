"""What the first page shows: the loop as it is now, the champion, what waits for a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from riskloop import views
from riskloop.cases import Case, CaseState, ended, events
from riskloop.core.grades import RATE_GAP, grades_off, grades_said
from riskloop.core.numbers import number
from riskloop.core.settings import Settings
from riskloop.core.types import Diagnosis, Finding, Json, Promotion, Verdict
from riskloop.store.database import Database
from riskloop.store.home import Home
from riskloop.store.ledger import ModelVersion
from riskloop.store.probations import watched
from riskloop.store.tables import case_events, cases
from riskloop.store.trust import TrustState
from riskloop.store.windows import Window
from riskloop.web import words
from riskloop.web.findings import whole
from riskloop.web.manifests import manifest
from riskloop.web.performance import Cohort, cohorts_of
from riskloop.web.queries import DecisionSummary, served_between, served_since
from riskloop.web.timeline import timeline
from riskloop.web.words import Tone

WINDOWS = 12
EVENTS = 8
CASES = 50  # that the time line looks at


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer to "is it healthy?" in one sentence."""

    tone: Tone
    icon: str
    text: str
    link: str | None = None
    more: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One station of the loop and what it says now."""

    key: str
    title: str
    state: str
    detail: str
    link: str
    tone: Tone = "quiet"


@dataclass(frozen=True, slots=True)
class LastReport:
    """What the gate said last of a case's challenger, and what became of it."""

    case: int
    verdict: Verdict
    state: CaseState  # of the case, now

    @property
    def label(self) -> words.Label:
        """The verdict while it stands; then what was done about it."""
        done = (CaseState.PROMOTED, CaseState.REJECTED, CaseState.ROLLED_BACK)
        return words.STATES[self.state] if self.state in done else words.VERDICTS[self.verdict]


def standing(home: Home) -> Json:
    """What a portfolio's line in a list says: champion, headlines, newest window, open cases."""
    champion = home.ledger.champion()
    newest = home.windows.latest(1)
    last = newest[-1] if newest else None
    open_cases = sorted(
        home.cases.latest(only_open=True), key=lambda c: (c.state is not CaseState.NEEDS_APPROVAL, -c.id)
    )
    judged = home.windows.newest_judged(None if champion is None else champion.version)
    off = () if champion is None or judged is None else _off(home, judged, champion)
    loop, trust = views.loop(home.database, home.settings.watch, home.folder), home.trust.state()
    harm = [] if champion is None else views.unresolved(home.cases, home.ledger, champion.version)
    return {
        "headlines": _headlines(loop, trust, headline(champion, last, open_cases, harm, off)),
        "loop": loop,
        "trust": trust,
        "champion": champion,
        "model": None if champion is None else home.ledger.model(champion.version),
        "manifest": None if champion is None else manifest(home.artefacts, home.ledger, champion.version),
        "last": last,
        "judged": judged,
        "off": off,
        "open_cases": open_cases,
    }


def _off(home: Home, judged: Window, champion: Promotion) -> Sequence[Finding]:
    """The champion's own grades whose PD is off by so much that it matters, the worst first."""
    if judged.model_version != champion.version:
        return ()
    found = whole(home.database, judged.id, judged.id, checks=("jeffreys",))
    return grades_off(found.get(judged.id, ()), RATE_GAP)


def overview(home: Home, now: datetime) -> Json:
    """Everything that the first page shows."""
    database = home.database
    found = standing(home)
    champion, last, open_cases, written = (found[key] for key in ("champion", "last", "open_cases", "manifest"))
    promotions = home.ledger.promotions()
    versions = home.ledger.models()
    recent = home.windows.latest(WINDOWS)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    today = served_since(database, midnight)
    latest = today if champion is None else served_since(database, max(midnight, champion.at), champion.version)
    shown = latest if latest.sampled or last is None else served_between(database, last.first_id, last.last_id)
    cohorts = cohorts_of(database, home.settings, recent)
    sums = [served_between(database, cohort.window.first_id, cohort.window.last_id) for cohort in cohorts]
    judged = next(iter(cohorts_of(database, home.settings, [found["judged"]] if found["judged"] else [])), None)
    drawn = {}
    if cohorts:
        drawn["timeline"] = timeline(cohorts, sums, home.cases.latest(CASES), versions, promotions)
    rows = 0 if written is None else written.training.rows
    logged, finished = home.decisions.last_id(), found["loop"]["finished_at"]
    return {
        **found,
        "now": now,
        "stages": stages(
            home.settings, last_report(database), rows, logged, versions, promotions, last, open_cases, found["off"]
        ),
        "cycled": None if finished is None else datetime.fromisoformat(finished),
        "feed": home.feed.state(now),
        "probation": _probation(home.database, champion),
        "today": today,
        "shown": shown,
        "shown_where": _where(shown is latest, shown, champion, last),
        "windows": recent,
        "judged": judged,
        "own": judged is not None and champion is not None and judged.window.model_version == champion.version,
        "worst": None if judged is None else next(iter(grades_off(judged.grades)), None),
        "next_due": _next_due(cohorts),
        "cohorts": {cohort.window.id: cohort for cohort in cohorts},
        "sums": {cohort.window.id: summed for cohort, summed in zip(cohorts, sums, strict=True)},
        "figures": drawn,
        "closed_cases": [case for case in home.cases.latest(6) if not case.is_open],
        "promotions": list(reversed(promotions))[:EVENTS],
    }


def _where(today: bool, shown: DecisionSummary, champion: Promotion | None, last: Window | None) -> str:
    """What the approval rate is of."""
    part = f", a sample of {number(shown.sampled)}" if shown.sampled < shown.decisions else ""
    if not today and last is not None:
        return f"in {last.name}, version {last.model_version}{part}"
    return "today" if champion is None else f"today, version {champion.version}{part}"


def _next_due(cohorts: Sequence[Cohort]) -> tuple[str, datetime | None]:
    """Which window's outcomes count next, and from which day on."""
    waiting = next((cohort for cohort in cohorts if cohort.state in ("immature", "not judged")), None)
    return ("the first window", None) if waiting is None else (waiting.window.name, waiting.matures)


def _headlines(loop: Json, trust: TrustState, said: Headline) -> list[Headline]:
    """A record that was changed and a loop that stands still come first; beside them nothing is well."""
    first = []
    if trust.problem is not None:
        doubt = Headline("bad", "fault", "The record is in doubt.", more=trust.problem)
        late = Headline("watch", "clock", "The record is not signed up to now.", more=trust.problem)
        first.append(doubt if trust.doubt else late)
    if loop["stands_still"]:
        text = "The loop stands still: nobody watches the decisions."
        first.append(Headline("bad", "fault", text, more=loop["problem"]))
    return [*first, *(() if first and said.tone == "ok" else (said,))]


def headline(
    champion: Promotion | None,
    last: Window | None,
    open_cases: Sequence[Case],
    harm: Sequence[Case] = (),
    off: Sequence[Finding] = (),
) -> Headline:
    """The one sentence that matters most now; ``off`` are the champion's grades whose PD is off."""
    if champion is None:
        return Headline("watch", "dots", "No model serves yet.", more="Run `riskloop train` to train the first one.")
    for case in open_cases:
        label, link = words.STATES[case.state], f"/dashboard/cases/{case.id}"
        if case.state is CaseState.NEEDS_APPROVAL:
            return Headline("watch", "person", f"Case {case.id} needs an approval.", link, case.sentence)
        if case.state is CaseState.QUARANTINED:
            labels = case.diagnosis is Diagnosis.LABEL_FAULT
            what = "broken labels in the outcome feed" if labels else "a data fault in the feed"
            return Headline("fault", "fault", f"Case {case.id}: {what}.", link, case.sentence)
        if harm and case.state is CaseState.WATCHING:
            continue  # a first finding says less than what is known
        return Headline(label.tone, label.icon, f"Case {case.id} is open: {label.text.lower()}.", link, case.sentence)
    for case in harm:
        found = words.DIAGNOSES[case.diagnosis].text.lower()
        text = f"Version {champion.version} serves and is known to do worse: {found}, unresolved since"
        more = f"Case {case.id}: {ended(case.state)}. {case.sentence}"
        return Headline("bad", "drift", f"{text} {words.day(case.opened_at)}.", f"/dashboard/cases/{case.id}", more)
    label = words.DIAGNOSES[Diagnosis.STABLE if last is None else last.diagnosis]
    if off and label.tone not in ("bad", "fault"):
        more = "Jeffreys test of the newest window with final outcomes, over all grades together"
        more = f"{more} (false discovery rate {off[0].critical or 0.0:.0%}); by more than {RATE_GAP:.0%} of the PD."
        text = f"Version {champion.version} serves{grades_said(off, ', and ')}"
        return Headline("watch", "drift", text, "/dashboard/performance", more)
    if last is None:
        return Headline("ok", "check", f"Version {champion.version} serves.", more="No window is closed yet.")
    if last.diagnosis is Diagnosis.STABLE:
        more = f"{last.name}: {last.sentence}"
        return Headline("ok", "check", f"Version {champion.version} serves, and no case is open.", more=more)
    return Headline(
        label.tone, label.icon, f"{last.name}: {label.text.lower()}.", f"/dashboard/windows/{last.id}", last.sentence
    )


def stages(
    settings: Settings,
    report: LastReport | None,
    rows: int,
    logged: int,
    versions: Sequence[ModelVersion],
    promotions: Sequence[Promotion],
    last: Window | None,
    open_cases: Sequence[Case],
    off: Sequence[Finding] = (),
) -> list[Stage]:
    """The loop in its order, each station with its present state; ``rows`` trained the champion."""
    champion = promotions[-1] if promotions else None
    newest = versions[-1] if versions else None
    working = next((case for case in open_cases if case.state is not CaseState.QUARANTINED), None)
    diagnosis = None if last is None else words.DIAGNOSES[last.diagnosis]
    action = None if last is None else words.ACTIONS[last.action]
    verdict = None if report is None else report.label
    return [
        Stage(
            "train",
            "Train",
            "No model yet" if newest is None else f"{rows:,} rows",
            "run `riskloop train`" if champion is None else f"behind version {champion.version}",
            "/dashboard/models",
        ),
        Stage(
            "registry",
            "Registry",
            f"{len(versions)} version{'' if len(versions) == 1 else 's'}",
            "" if newest is None else f"newest: {newest.version}, {newest.learner}",
            "/dashboard/models",
        ),
        Stage(
            "promote",
            "Promote",
            "No champion" if champion is None else f"Version {champion.version}",
            "" if champion is None else words.KINDS[champion.kind].text.lower(),
            "/dashboard/models",
        ),
        Stage(
            "serve",
            "Serve",
            "Nothing serves" if champion is None else f"Version {champion.version}",
            grades_said(off[:1], "", ""),
            "/dashboard/models" if champion is None else f"/dashboard/models/{champion.version}",
            "watch" if champion is None or off else "ok",
        ),
        Stage("decisions", "Log", f"{logged:,}", "decisions on record", "/dashboard/decisions"),
        Stage(
            "monitor",
            "Monitor",
            "No window yet" if diagnosis is None else diagnosis.text,
            f"by {settings.windows.by}" if last is None else f"{last.name}, {last.rows:,} decisions",
            "/dashboard/drift" if last is None else f"/dashboard/windows/{last.id}",
            "quiet" if diagnosis is None else diagnosis.tone,
        ),
        Stage(
            "decide",
            "Decide",
            "No window yet" if action is None else action.text,
            f"policy {settings.policy.name}",
            "/dashboard/cases",
            "quiet" if action is None else action.tone,
        ),
        Stage(
            "retrain",
            "Retrain",
            "Nothing to do" if working is None else words.STATES[working.state].text,
            "no open case" if working is None else f"case {working.id}",
            "/dashboard/cases" if working is None else f"/dashboard/cases/{working.id}",
            "quiet" if working is None else words.STATES[working.state].tone,
        ),
        Stage(
            "gate",
            "Gate",
            "No challenger yet" if verdict is None else verdict.text,
            "" if report is None else f"last asked by case {report.case}",
            "/dashboard/cases" if report is None else f"/dashboard/cases/{report.case}",
            "quiet" if verdict is None else verdict.tone,
        ),
    ]


def last_report(database: Database) -> LastReport | None:
    """What the gate said last, whoever asked."""
    query = (
        select(case_events.c.case_id, case_events.c.document, cases.c.state)
        .join(cases, cases.c.id == case_events.c.case_id)
        .where(case_events.c.state == CaseState.TRAINED.value)
        .order_by(case_events.c.id.desc())
        .limit(1)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        return None
    said = events.loads(row.document)
    return (
        LastReport(row.case_id, said.report.verdict, CaseState(row.state)) if isinstance(said, events.Judged) else None
    )


def _probation(database: Database, champion: Promotion | None) -> str | None:
    """What the last look at a champion on probation found."""
    if champion is None:
        return None
    look = watched(database, champion.seq)
    return None if look is None else look.sentence
