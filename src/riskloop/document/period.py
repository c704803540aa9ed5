"""The monitoring report of a period: what was watched, what was found, what was done, what is open."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from riskloop import views
from riskloop.cases import Case
from riskloop.core.english import counted, named
from riskloop.core.errors import ConfigError
from riskloop.core.numbers import between, number
from riskloop.core.types import Diagnosis, Json
from riskloop.document import texts, verdicts
from riskloop.document import windows as over_time
from riskloop.document.parts import Block, Bullets, Grid, Paper, PaperSection, Said, missing
from riskloop.document.windows import OFF, WindowRecord
from riskloop.document.write import day, moment, words
from riskloop.store.cases import Cases
from riskloop.store.deliveries import Deliveries, Delivery
from riskloop.store.home import Home
from riskloop.store.ledger import Ledger
from riskloop.store.windows import Window

MOST: Final = 10_000  # windows, cases and deliveries that are looked through
SHOWN: Final = 60  # lines of a list
NAMED: Final = 6  # windows in a sentence
QUIET: Final = (Diagnosis.STABLE, Diagnosis.NOT_ENOUGH_DATA)


def period_paper(home: Home, first: date, last: date, now: datetime) -> Paper:
    """The report of the days from ``first`` to ``last``, both inside. ConfigError where the last comes first."""
    if last < first:
        raise ConfigError(f"The period ends on {last}, before it starts on {first}.")
    start, end = datetime.combine(first, time(), UTC), datetime.combine(last, time(), UTC) + timedelta(days=1)
    name = f"period-{first}-{last}"
    windows = [w for w in home.windows.latest(MOST) if start <= w.first_time < end]
    record = WindowRecord.read(home.windows, windows, home.settings.called)
    quoted = texts.of_document(home.documents, name)
    sections = (
        PaperSection("summary", "Summary", _summary(record)),
        PaperSection("windows", "Windows and diagnoses", _windows(record)),
        PaperSection(
            "performance",
            "Performance",
            (verdicts.discrimination(None, record), *over_time.realised(record, None), *_estimated(record)),
        ),
        PaperSection(
            "grades", "Calibration by grade", (verdicts.lead(verdicts.graded(record)), *over_time.graded(record))
        ),
        PaperSection("stability", "Stability", (verdicts.stability(record), *over_time.stability(record))),
        PaperSection("faults", "Faults and quarantine", _faults(record)),
        PaperSection("outcomes", "Outcomes", _outcomes(home.deliveries, start, end)),
        PaperSection("cases", "Cases", _cases(home.cases, start, end)),
        PaperSection("promotions", "Promotions", _promotions(home.ledger, start, end)),
        PaperSection("open", "Open points", _open(views.status(home, now), now)),
        PaperSection("notes", "Notes", (missing("Notes by people"),) if quoted is None else (quoted,)),
    )
    return Paper(
        name,
        f"Monitoring report, {first} to {last}",
        home.settings.portfolio.name,
        now,
        _card(home.ledger, home.settings.policy.name, windows, start, end),
        sections,
    )


def _card(
    ledger: Ledger, policy: str, windows: Sequence[Window], start: datetime, end: datetime
) -> tuple[tuple[str, str], ...]:
    at_start, at_end = ledger.champion_at(start), ledger.champion_at(end)
    return (
        ("Period", f"{start:%Y-%m-%d} to {end - timedelta(days=1):%Y-%m-%d}, by the time of the decisions"),
        ("Windows", number(len(windows))),
        ("Decisions in them", number(sum(window.rows for window in windows))),
        ("Champion at its start", "none" if at_start is None else f"version {at_start.version}"),
        ("Champion at its end", "none" if at_end is None else f"version {at_end.version}"),
        ("Policy", policy),
    )


def _summary(record: WindowRecord) -> tuple[Block, ...]:
    if not record.windows:
        return (missing("Windows that start in this period"),)
    counts = Counter(words(window.diagnosis.value) for window in record.windows)
    final = sum(window.matured_at is not None and not window.quarantined for window in record.windows)
    held = sum(window.quarantined for window in record.windows)
    said = (
        f"{len(record.windows):,} windows: {', '.join(f'{count:,} {name}' for name, count in counts.most_common())}.",
        f"{final:,} of them are judged with their outcomes.",
        f"{held:,} are in quarantine.",
    )
    return (Bullets(said),)


def _windows(record: WindowRecord) -> tuple[Block, ...]:
    if not record.windows:
        return (missing("Windows"),)
    said = tuple(f"{window.name}: {window.sentence}" for window in record.windows[-SHOWN:])
    off = [window.name for window in record.windows if window.diagnosis not in QUIET]
    differ = "differs" if len(off) == 1 else "differ"
    lead = f"{len(off):,} of {counted(len(record.windows), 'window')} {differ} from the history"
    shown = f": {verdicts.named(off)}." if 0 < len(off) <= NAMED else "."
    return (verdicts.lead(lead + shown), over_time.window_table(record.windows), Bullets(said))


def _estimated(record: WindowRecord) -> tuple[Block, ...]:
    found = [
        (window, f)
        for window in record.windows
        for f in record.all(window, "estimated_auc")
        if window.matured_at is None
    ]
    if not found:
        return ()
    rows = tuple(
        (w.name, f.subject.upper(), number(f.statistic, 3), between(f.details.get("lower"), f.details.get("upper")))
        for w, f in found
    )
    note = "Estimates before outcomes. They assume that no concept drift happened."
    return (Grid("AUC estimated", ("Window", "By", "AUC", "95%"), rows, words=2), Said(note, "note"))


def _faults(record: WindowRecord) -> tuple[Block, ...]:
    rows: list[tuple[str, ...]] = []
    more = 0
    for window in record.windows:
        off = [f for f in record.findings[window.id] if f.severity in OFF]
        for found in off:
            if len(rows) < SHOWN:
                rows.append(
                    (
                        window.name,
                        words(found.subject) if found.check == "jeffreys" else record.called(found.subject),
                        words(found.check),
                        found.severity.value,
                        found.sentence,
                    )
                )
            else:
                more += 1
    if not rows:
        return (Said("No finding was a fault or a drift."),)
    head = ("Window", "Subject", "Check", "Severity", "What it means")
    blocks: list[Block] = [Grid("Findings that were off", head, tuple(rows), words=5)]
    if more:
        blocks.append(Said(f"{more:,} more are on the windows' pages.", "note"))
    held = [window for window in record.windows if window.quarantined]
    held_said = tuple(f"{w.name}: {number(w.rows)} decisions are kept out of learning." for w in held)
    return (*blocks, *((Bullets(held_said),) if held else (Said("No window is in quarantine."),)))


def _outcomes(deliveries: Deliveries, start: datetime, end: datetime) -> tuple[Block, ...]:
    found = [one for one in deliveries.latest(MOST) if start <= one.at < end]
    if not found:
        return (Said("No outcomes were handed in during this period."),)
    rows = tuple(_delivery(one) for one in found[-SHOWN:])
    marked = frozenset(n for n, one in enumerate(found[-SHOWN:]) if one.held)
    held = sum(one.held for one in found)
    of_them = f"{held:,} of these deliveries {'is' if held == 1 else 'are'} in quarantine"
    lead = f"Outcomes were handed in {counted(len(found), 'time')}; {of_them}."
    head = ("Handed in", "By", "State", "Complete until", "Recorded", "Corrected", "Repeated", "Unmatched")
    return (
        verdicts.lead(lead),
        Grid("Deliveries of outcomes", head, rows, words=4, marked=marked),
    )


def _delivery(one: Delivery) -> tuple[str, ...]:
    state = "in quarantine" if one.held else "released by a person" if one.released else "counts"
    counts = (one.recorded, one.corrected, one.repeated, one.unmatched)
    until = "not said" if one.complete_until is None else day(one.complete_until)
    until += "" if one.reason is None else f", taken back: {one.reason}"
    return (moment(one.at), one.by, state, until, *(number(count) for count in counts))


def _cases(store: Cases, start: datetime, end: datetime) -> tuple[Block, ...]:
    found = [c for c in store.latest(MOST) if c.opened_at < end and (c.closed_at is None or c.closed_at >= start)]
    if not found:
        return (Said("No case was open during this period."),)
    rows = tuple(_case(case) for case in reversed(found[:SHOWN]))
    head = ("Case", "Opened", "Closed", "Diagnosis", "State", "What it says")
    return (Grid("Cases that were open", head, rows, words=6),)


def _case(case: Case) -> tuple[str, ...]:
    closed = "open" if case.closed_at is None else day(case.closed_at)
    state = words(case.state.value) + (", unresolved" if case.unresolved else "")
    return (str(case.id), day(case.opened_at), closed, words(case.diagnosis.value), state, case.sentence)


def _promotions(ledger: Ledger, start: datetime, end: datetime) -> tuple[Block, ...]:
    found = [p for p in ledger.promotions() if start <= p.at < end]
    if not found:
        return (Said("The champion did not change in this period."),)
    rows = tuple((str(p.seq), moment(p.at), f"version {p.version}", words(p.kind.value), p.by, p.reason) for p in found)
    return (Grid("Changes of the champion", ("No.", "When", "Champion", "How", "By", "Reason"), rows, words=6),)


def _open(status: Json, now: datetime) -> tuple[Block, ...]:
    """What `riskloop status` knows, at the time of writing."""
    items = [f"Case {case['id']} ({words(case['state'])}): {case['sentence']}" for case in status["open_cases"]]
    items += [f"Unresolved: case {case['id']}. {case['sentence']}" for case in status["unresolved"]]
    there = status["outcomes"]["judged_next"]
    waiting = [name for name in status["outcomes"]["not_judged"] if name not in there]
    if waiting:
        items.append(f"Not judged by their outcomes yet, which are due: {named(waiting)}.")
    if status["outcomes"]["late"]:
        items.append(status["outcomes"]["late"])
    if status["quarantine"]:
        items.append(status["quarantine"]["sentence"])
    items += [problem for part in ("loop", "trust") if (problem := status[part]["problem"])]
    for alert in status["unsent_alerts"]:
        items.append(f"The alert “{alert['title']}” did not reach {alert['channel']}.")
    said = f"As of {moment(now)}:"
    return (Said(said), Bullets(tuple(items))) if items else (Said(f"As of {moment(now)} nothing is open."),)
