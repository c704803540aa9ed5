"""The monitor in worlds that a lender recognises: selected, correlated, partly broken, few, and not in one pool.

One champion of the embedded portfolio a seed judges windows of 2,000; the books of other lenders are judged by their
columns, whose score says nothing.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from benchmarks._judgement import Rows, share
from benchmarks.streams import Course, World, labels, worlds
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DriftSettings
from riskloop.core.stats.correlated import given_factor
from riskloop.core.types import DAY, EPOCH, Finding, Floats, Severity
from riskloop.decide.diagnosis import diagnose
from riskloop.loop.examine import Arrived, at_closing, when_matured
from riskloop.monitor.correlation import Correlation
from riskloop.monitor.drift import profile_findings
from riskloop.monitor.faults import mechanical_findings
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.profile import Reference
from riskloop.monitor.quality import quality_findings
from riskloop.monitor.selection import Comparison
from riskloop.simulation.books import BOOKS, ID, TARGET, TIME, Book

SIZE: Final = 2_000
DECLINED: Final = (0.0, 0.05, 0.1, 0.2, 0.33)
CORRELATIONS: Final = (0.0, 0.01, 0.03, 0.05, 0.1)
PARTIAL: Final = ("wrong_customers", "filled_zeros", "part_in_hundredths", "stale_history", "other_currency")
UNITS: Final = ("LIMIT_BAL", "BILL_AMT1", "BILL_AMT4", "PAY_AMT1", "PAY_AMT4", "PAY_AMT6")
TENTH: Final = 0.1
FLOOR: Final = DriftSettings().asset_correlation_floor
MOVED: Final = (Severity.DRIFTED, Severity.SEVERE)
WINDOWS: Final = 12


def lenders(seeds: Sequence[int], quick: bool) -> dict[str, Rows]:
    """Tables of all parts."""
    selected: Rows = []
    together: Rows = []
    partly: Rows = []
    units: Rows = []
    for world in worlds("embedded", list(seeds)):
        months = list(world.windows("stable", SIZE, Course(0, 3 if quick else WINDOWS)))
        selected += _selected(world, months)
        together += _together(world, months)
        partly += _partly(world, quick)
        units += _units(world, months[:1] if quick else months[:4])
    return {
        "outcomes of the approved only, nothing changed": _shares(selected, "declined"),
        "defaults move together, nothing changed": _shares(together, "asset correlation"),
        "faults in part of the rows": _shares(partly, "fault"),
        "another unit in a tenth of the rows": _named(units),
        "sound books": [_book(book, 5 if quick else 24) for book in BOOKS.values()],
        "evidence over time, a history without common movement": _moving(3 if quick else 20),
        "ten decisions a month": _over_time(10 if quick else 150, 4 if quick else 40),
    }


def _shares(records: Rows, by: str) -> Rows:
    return [
        {by: value, "windows": len(part), "called": share(r["called"] for r in part)}
        for value in dict.fromkeys(r[by] for r in records)
        for part in [[r for r in records if r[by] == value]]
    ]


def _judged(world: World, window: Any, outcomes: Floats) -> str:
    settings = world.settings
    found = when_matured(world.champion, settings, window.rows.features, window.scores, outcomes)
    return str(diagnose(found, [], settings.drift).diagnosis)


def _selected(world: World, months: Sequence[Any]) -> Rows:
    found = []
    for declined in DECLINED:
        limit = np.quantile(world.champion.reference_scores, 1.0 - declined) if declined else np.inf
        for window in months:
            outcomes = np.where(window.scores < limit, labels(window.truth), np.nan)
            called = _judged(world, window, outcomes) in ("concept_drift", "prior_shift")
            found.append({"declined": f"{declined:.0%}", "called": called})
    return found


def _together(world: World, months: Sequence[Any]) -> Rows:
    """Each window has a factor of its own; the history had none, so that only the floor allows for it, or is told."""
    rng, found = np.random.default_rng(world.seed), []
    for rho in CORRELATIONS:
        drift = world.settings.drift.model_copy(update={"asset_correlation": rho})
        for told in (False, True):
            settings = world.settings.model_copy(update={"drift": drift}) if told else world.settings
            for window in months:
                given = given_factor(window.truth.true_pd, rho, rng.standard_normal(1))[0]
                outcomes = (rng.random(given.size) < given).astype(np.float64)
                findings = when_matured(world.champion, settings, window.rows.features, window.scores, outcomes)
                level = next(f for f in findings if f.check == "calibration")
                name = f"{rho:g}, {'told' if told else 'history without any'}"
                found.append({"asset correlation": name, "called": level.severity in MOVED})
    return found


def _partly(world: World, quick: bool) -> Rows:
    found = []
    for fault in PARTIAL:
        for window in list(world.windows(fault, SIZE, Course(0, 1 if quick else 6)))[:3]:
            found.append({"fault": fault, "called": _closing(world, window) == "data_fault"})
    for name in ("stable", "new_channel_sudden", "ageing", "policy_change"):
        for window in world.windows(name, SIZE, Course(0, 2 if quick else 12)):
            found.append({"fault": f"none ({name})", "called": _closing(world, window) == "data_fault"})
    return found


def _units(world: World, months: Sequence[Any]) -> Rows:
    """A tenth of the rows, at random or those of one level, of one amount in another unit."""
    found = []
    names = list(world.champion.reference.schema.names)
    for name in UNITS:
        j = names.index(name)
        for number, window in enumerate(months):
            features = window.rows.features
            some = np.random.default_rng((world.seed, number)).random(len(features)) < TENTH
            level = features[:, names.index("EDUCATION")] == world.champion.reference.schema.features[
                names.index("EDUCATION")
            ].codes.get("3")
            for fault, rows, factor, rounded in (
                ("/ 100", some, 0.01, False),
                ("/ 100, rounded", some, 0.01, True),
                ("/ 10", some, 0.1, False),
                ("/ 10, rounded", some, 0.1, True),
                ("x 100", some, 100.0, False),
                ("x 10 where EDUCATION = 3", level, 10.0, False),
            ):
                broken = features.copy()
                broken[rows, j] *= factor
                if rounded:
                    broken[:, j] = np.round(broken[:, j])
                profile = world.champion.reference.profile(broken, window.scores, window.rows.times)
                faults = mechanical_findings(world.champion.reference, profile)
                told = [f for f in faults if f.severity is Severity.FAULT]
                where = {f.details.get("where") for f in told}
                found.append(
                    {"fault": fault, "called": bool(told), "named": {f.subject for f in told} == {name}, "where": where}
                )
    return found


def _named(records: Rows) -> Rows:
    return [
        {
            "fault": fault,
            "windows": len(part),
            "called": share(r["called"] for r in part),
            "its column named": share(r["named"] for r in part),
            "its level named": share("EDUCATION = 3" in r["where"] for r in part),
        }
        for fault in dict.fromkeys(r["fault"] for r in records)
        for part in [[r for r in records if r["fault"] == fault]]
    ]


def _closing(world: World, window: Any) -> str:
    rows = window.rows
    profile = world.champion.reference.profile(rows.features, window.scores, rows.times)
    arrived = Arrived(profile, rows.features, window.scores, rows.times)
    findings = at_closing(world.champion, world.settings, arrived, period=window.period, estimated=False)
    return str(diagnose(findings, [], world.settings.drift).diagnosis)


# --------------------------------------------------------------------------- books of other lenders


def _book(book: Book, windows: int) -> dict[str, Any]:
    days, per_day = (1, 300) if book.name == "weekdays" else (28, 71)
    history = book.days(date(2020, 1, 1), 3 * 365, 14, 1)
    schema = _schema(history)
    reference = Reference.build(
        schema, _coded(history, schema), np.random.default_rng(0).random(len(history)), _days(history)
    )
    faults, drifted = [], []
    for number in range(windows):
        frame = book.days(date(2023, 1, 1) + timedelta(days=days * number), days, per_day, 77)
        scores = np.random.default_rng(number + 1).random(len(frame))
        profile = reference.profile(_coded(frame, schema), scores, _days(frame) * DAY)
        found = quality_findings(reference, profile, min_rows=100)
        faults.append(any(f.severity is Severity.FAULT for f in found))
        verdict = profile_findings(reference, profile, DriftSettings())[-1]
        drifted.append(verdict.severity in MOVED)
    return {"book": book.name, "windows": windows, "called faults": share(faults), "called drifted": share(drifted)}


def _schema(frame: Any) -> Schema:
    names = [name for name in frame.columns if name not in (ID, TIME, TARGET)]
    features = [
        Feature(name, "category", categories=tuple(sorted(frame[name].unique())))
        if frame[name].dtype == object
        else Feature(name)
        for name in names
    ]
    return Schema(tuple(features), target=TARGET)


def _coded(frame: Any, schema: Schema) -> Floats:
    columns = [
        frame[f.name].map(f.codes).fillna(len(f.categories)) if f.kind == "category" else frame[f.name]
        for f in schema.features
    ]
    coded: Floats = np.column_stack(columns).astype(np.float64)
    return coded


def _days(frame: Any) -> Any:
    first = EPOCH.date().toordinal()
    return np.array([date.fromisoformat(text).toordinal() - first for text in frame[TIME]], dtype=np.int64)


# --------------------------------------------------------------------------- evidence over time


def _over_time(short: int, long: int) -> Rows:
    """Doubled defaults within six months, and false alarms in ten years, at ten decisions a month."""
    rng = np.random.default_rng(101)
    scores = rng.beta(1.1, 3.9, 20_000)
    outcomes = (rng.random(scores.size) < scores).astype(np.float64)
    found = {times: [_first(rng, scores, outcomes, times, 6) for _ in range(short)] for times in (1.5, 2.0, 3.0)}
    calm = [_first(rng, scores, outcomes, 1.0, 120) for _ in range(long)]
    rows: Rows = [
        {
            "world": f"{times:g} times the defaults",
            "runs": short,
            "months": 6,
            "found": share(x is not None for x in runs),
        }
        for times, runs in found.items()
    ]
    return [
        *rows,
        {"world": "nothing changed", "runs": long, "months": 120, "found": share(x is not None for x in calm)},
    ]


def _first(rng: np.random.Generator, scores: Floats, outcomes: Floats, times: float, months: int) -> int | None:
    before: list[Finding] = []
    for month in range(1, months + 1):
        p = rng.choice(scores, 10)
        y = (rng.random(10) < np.minimum(times * p, 0.97)).astype(np.float64)
        compared = Comparison.of(p, y, scores, outcomes)
        before = over_time_findings(compared, Correlation(0.002, 12), before, alarm=DriftSettings().run_length)
        if any(f.severity in MOVED and f.check == "level_over_time" for f in before):
            return month
    return None


def _moving(runs: int) -> Rows:
    """200 decisions a month: false alarms in five years, and half as many defaults more found in six months.

    Months move together as the history's did not; the detector allows for the floor, or for what its windows show, too.
    """
    rows: Rows = []
    for world, rho, times, months in (
        *(("nothing changed", rho, 1.0, 60) for rho in (0.0, 0.03, 0.05)),
        *(("1.5 times the defaults after a year", rho, 1.5, 18) for rho in (0.0, 0.03)),
    ):
        for learns in (False, True):
            first = [_alarmed(np.random.default_rng(seed), rho, times, months, learns) for seed in range(runs)]
            called = share(month is not None and (times == 1.0 or month > 12) for month in first)
            allows = "the floor, and what its windows show" if learns else "the floor"
            told = {"world": world, "asset correlation": rho, "allows for": allows}
            rows.append({**told, "runs": runs, "months": months, "called": called})
    return rows


def _alarmed(rng: np.random.Generator, rho: float, times: float, months: int, learns: bool) -> int | None:
    """The first month of an alarm on the level, ``times`` the defaults from the thirteenth on."""
    scores = rng.beta(1.1, 3.9, 8_000)
    outcomes = (rng.random(scores.size) < scores).astype(np.float64)
    before: list[Finding] = []
    for month in range(1, months + 1):
        p = rng.choice(scores, 200)
        given = given_factor(np.minimum(p * (times if month > 12 else 1.0), 0.97), rho, rng.standard_normal(1))[0]
        compared = Comparison.of(p, (rng.random(200) < given).astype(np.float64), scores, outcomes)
        floor, alarm = DriftSettings().asset_correlation_floor, DriftSettings().run_length
        before = over_time_findings(compared, Correlation(floor, 12), before, alarm=alarm, learns=learns)
        if before[0].severity in MOVED:
            return month
    return None
