"""What the windows tell: figures over time, stability, concentration, migration, as blocks of a document."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.core import stats
from riskloop.core.numbers import NOTHING, between, between_shares, chance, number, percent
from riskloop.core.types import Finding, Ints, Severity
from riskloop.document.parts import Block, Chart, Grid, Said, Series, missing
from riskloop.document.sample import herfindahl, shares
from riskloop.document.write import day, words
from riskloop.scoring.model import LEVELS, Model
from riskloop.store.decisions import DecisionLog
from riskloop.store.windows import Window, Windows

LATEST: Final = 12  # windows over time
WIDE: Final = 6  # windows side by side
SUBJECTS: Final = 15  # features with a PSI
MOST_DECISIONS: Final = 300_000  # read for one document
OFF: Final = (Severity.DRIFTED, Severity.SEVERE, Severity.FAULT)


@dataclass(frozen=True)
class WindowRecord:
    """Some windows, oldest first, with their findings."""

    windows: Sequence[Window]
    findings: Mapping[int, Sequence[Finding]]  # by window
    called: Callable[[str], str]  # how people call a feature

    @classmethod
    def read(cls, windows: Windows, chosen: Sequence[Window], called: Callable[[str], str]) -> "WindowRecord":
        """The findings of the chosen windows."""
        return cls(chosen, {window.id: windows.findings(window.id) for window in chosen}, called)

    def one(self, window: Window, check: str, subject: str = "window") -> Finding | None:
        """The finding of a check, if it gave a number."""
        found = (f for f in self.findings[window.id] if f.check == check and f.subject == subject)
        return next((f for f in found if f.statistic is not None), None)

    def all(self, window: Window, check: str) -> list[Finding]:
        """All findings of a check that gave a number."""
        return [f for f in self.findings[window.id] if f.check == check and f.statistic is not None]


def realised(record: WindowRecord, trained: float | None) -> list[Block]:
    """AUC, Gini, KS, Brier score and the level of default of every window whose outcomes are known."""
    judged = [(w, found) for w in record.windows if (found := record.one(w, "auc")) is not None]
    if not judged:
        return [missing("Realised performance (no window has been judged with its outcomes)")]
    rows = []
    for window, area in judged:
        level = record.one(window, "calibration")
        details = {} if level is None else level.details
        others = [record.one(window, check) for check in ("gini", "ks", "brier")]
        rows.append(
            (
                window.name,
                number(area.n),
                number(area.statistic, 3),
                between(area.details.get("lower"), area.details.get("upper")),
                *(NOTHING if found is None else number(found.statistic, 3) for found in others),
                percent(details.get("expected")),
                percent(details.get("observed")),
            )
        )
    head = ("Window", "Decisions with outcome", "AUC", "95%", "Gini", "KS", "Brier", "Mean PD", "Defaulted")
    series = Series(
        "AUC, 95%",
        tuple(found.statistic for _, found in judged),
        tuple(found.details.get("lower") for _, found in judged),
        tuple(found.details.get("upper") for _, found in judged),
    )
    at_training = () if trained is None else (Series("at training", tuple(trained for _ in judged)),)
    chart = Chart("AUC by window", tuple(window.name for window, _ in judged), (series, *at_training))
    return [chart, Grid("Realised performance", head, tuple(rows))]


def graded(record: WindowRecord) -> list[Block]:
    """Calibration by grade of every judged window, with Jeffreys bands."""
    judged = [window for window in record.windows if record.all(window, "jeffreys")]
    if not judged:
        return [missing("Calibration by grade in production (no window has been judged with its outcomes)")]
    rows: list[tuple[str, ...]] = []
    marked: set[int] = set()
    points: dict[str, list[tuple[float, float, float] | None]] = {}
    for window in judged:
        by_grade = {found.subject: found for found in record.all(window, "jeffreys")}
        for grade in LEVELS:
            found = by_grade.get(grade)
            points.setdefault(grade, []).append(None)
            if found is None:
                continue
            band = stats.jeffreys_interval(found.details["defaults"], found.n)
            points[grade][-1] = (band.estimate, band.lower, band.upper)
            if found.severity in OFF:
                marked.add(len(rows))
            rows.append(
                (
                    window.name,
                    words(grade),
                    number(found.n),
                    number(found.details["defaults"]),
                    percent(found.details["pd"]),
                    percent(band.estimate),
                    between_shares(band.lower, band.upper),
                    chance(found.details["p_value"]),
                )
            )
    head = ("Window", "Grade", "Decisions", "Defaults", "Mean PD", "Defaulted", "Jeffreys 95%", "p")
    series = tuple(
        Series(words(grade), *(tuple(None if p is None else p[i] for p in found) for i in range(3)))
        for grade, found in points.items()
    )
    return [
        Chart("Default rate by grade, Jeffreys 95%", tuple(w.name for w in judged), series, percent=True),
        Grid("Calibration by grade and window", head, tuple(rows), words=2, marked=frozenset(marked)),
        Said("p: two-sided Jeffreys test that the grade's default rate is its mean PD. Marked rows are off, by the "
             "correction of Benjamini and Hochberg over the grades.", "note"),
    ]  # fmt: skip


def stability(record: WindowRecord) -> list[Block]:
    """PSI of the score and of the features that moved most, by window."""
    shown = [window for window in record.windows if record.all(window, "psi")][-WIDE:]
    if not shown:
        return [missing("Population stability (no window with enough decisions was closed)")]
    found = {(window.id, f.subject): f for window in shown for f in record.all(window, "psi")}
    subjects = dict.fromkeys(subject for _, subject in found)
    most = {s: max(found[w.id, s].statistic or 0.0 for w in shown if (w.id, s) in found) for s in subjects}
    ordered = sorted(subjects, key=lambda s: (s != "score", -most[s]))
    rows = tuple(
        (record.called(subject), *(_stable(found.get((window.id, subject))) for window in shown))
        for subject in ordered[: SUBJECTS + 1]
    )
    marked = frozenset(
        place
        for place, subject in enumerate(ordered[: len(rows)])
        if any((f := found.get((w.id, subject))) is not None and f.severity in OFF for w in shown)
    )
    blocks: list[Block] = [Grid("PSI against the training sample", ("", *(w.name for w in shown)), rows, marked=marked)]
    if len(ordered) > len(rows):
        blocks.append(Said(f"{len(ordered) - len(rows):,} more features moved less.", "note"))
    said = "In brackets: what chance alone may reach at this size. Marked rows drifted in a window."
    return [*blocks, Said(said, "note")]


def _stable(found: Finding | None) -> str:
    if found is None:
        return NOTHING
    limit = found.details.get("chance", found.critical)
    return f"{number(found.statistic, 3)} ({number(limit, 3)})"


# --------------------------------------------------------------------------- concentration, migration


@dataclass(frozen=True, slots=True)
class GradedWindow:
    """The customers of a window with their grades."""

    name: str
    customers: Sequence[str]
    codes: Ints


def graded_windows(log: DecisionLog, model: Model, windows: Sequence[Window]) -> tuple[list[GradedWindow], bool]:
    """The newest windows' decisions by this version, oldest first, and whether some were too many to be read."""
    found: list[GradedWindow] = []
    left = MOST_DECISIONS
    for window in reversed(windows):
        left -= window.rows
        if left < 0:
            return found[::-1], True
        frame = log.frame(window.span)
        own = np.flatnonzero(frame.model_versions == model.version)
        if own.size:
            customers = [frame.customer_ids[i] for i in own.tolist()]
            found.append(GradedWindow(window.name, customers, model.level_codes(frame.probabilities[own])))
    return found[::-1], False


def concentration(training: Ints, windows: Sequence[GradedWindow], cut: bool) -> list[Block]:
    """Shares of the grades and their Herfindahl index, at training and by window."""
    parts = [("training sample", training), *((window.name, window.codes) for window in windows)]
    rows = tuple(
        (name, number(len(codes)), *(percent(share) for share in shares(codes)), number(herfindahl(shares(codes)), 3))
        for name, codes in parts
    )
    head = ("", "Customers", *(words(grade).capitalize() for grade in LEVELS), "HHI")
    even = 1.0 / len(LEVELS)
    note = (
        f"HHI: sum of the squared shares; {even:g} when the {len(LEVELS)} grades are equally large, 1 when one has "
        "all. Of a window in which several versions decided, only the customers of this one are counted."
    )
    blocks: list[Block] = [Grid("Share of the customers by grade", head, rows), Said(note, "note")]
    if not windows:
        blocks.append(missing("Concentration in production (no window holds decisions of this version)"))
    if cut:
        blocks.append(
            Said(f"Older windows are left out: a document reads {MOST_DECISIONS:,} decisions at most.", "note")
        )
    return blocks


def migration(windows: Sequence[GradedWindow]) -> list[Block]:
    """Where the customers of one window stand in the next one."""
    if len(windows) < 2:
        return [missing("Migration between grades (two windows with decisions of this version are needed)")]
    before, after = windows[-2:]
    first = {name: code for name, code in zip(before.customers, before.codes.tolist(), strict=True) if name}
    second = {name: code for name, code in zip(after.customers, after.codes.tolist(), strict=True) if name}
    both = first.keys() & second.keys()
    if not both:
        return [
            missing(f"Migration between grades (no customer was decided on both in {before.name} and in {after.name})")
        ]
    counts = np.zeros((len(LEVELS), len(LEVELS)), dtype=np.int64)
    for name in both:
        counts[first[name], second[name]] += 1
    rows = tuple(
        (words(grade), number(int(counts[i].sum())), *(number(int(count)) for count in counts[i]))
        for i, grade in enumerate(LEVELS)
    )
    stayed = int(np.trace(counts)) / len(both)
    head = (f"{before.name}: grade", "Customers", *(f"then {words(grade)}" for grade in LEVELS))
    return [
        Said(f"{len(both):,} customers were decided on in {before.name} and in {after.name}; {percent(stayed)} kept "
             "their grade."),
        Grid(f"Grades in {before.name} and in {after.name}", head, rows),
    ]  # fmt: skip


def window_table(windows: Sequence[Window]) -> Grid:
    """The windows with their diagnoses."""
    rows = tuple(
        (
            window.name,
            f"{day(window.first_time)} to {day(window.end_time)}",
            f"version {window.model_version}",
            words(window.diagnosis.value),
            "yes" if window.confirmed else "no",
            words(window.action.value),
            "in quarantine" if window.quarantined else "final" if window.matured_at is not None else "outcomes due",
            number(window.rows),
        )
        for window in windows
    )
    head = ("Window", "From, to before", "Held against", "Diagnosis", "Confirmed", "Action", "State", "Decisions")
    return Grid("Windows", head, rows, words=7)
