"""Why does production differ from history? A ladder, cheapest explanation first (after arXiv 2604.11561).

Data fault → too few rows → sampling noise → covariate shift → prior shift → concept drift. A rung holds or not by the
findings alone; the diagnosis is the first fault, else what the outcomes say beyond the population, else the population.
A window in which nothing moved, but what decides could not be computed, is not stable: it was not judged.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

from riskloop.core.settings import DriftSettings
from riskloop.core.types import Diagnosed, Diagnosis, Finding, Rung, Severity

MOVED: Final = (Severity.DRIFTED, Severity.SEVERE)
MOST: Final = 4  # sentences of evidence on a rung

# Of several signs of one fault, the one that names it best comes first.
SPECIFIC: Final = (
    "scale", "sign", "swapped", "recoded", "stuck", "stale", "factor", "part_scale", "granularity", "mixed",
    "implausible", "missing_rate", "duplicates", "repeated", "dates",
)  # fmt: skip

# The findings that may move each rung; everything else is shown and decides nothing.
POPULATION: Final = ("drift",)
# A step of the level that may be another definition of default counts, too: nobody but a person can tell, and the case
# of a prior shift is what asks one.
LEVEL: Final = ("calibration", "level_over_time", "labels_definition")
RANKING: Final = ("auc", "ranking_over_time", "features_over_time")
SPREAD: Final = ("calibration_slope",)  # below 1 the scores tell customers apart less than they claim, else more
DECISIVE: Final = (*POPULATION, *RANKING, *LEVEL, *SPREAD)
# Evidence of many windows, which a window with too few rows of its own adds to as well as any.
OVER_WINDOWS: Final = ("level_over_time", "labels_definition", "ranking_over_time", "features_over_time")


def diagnose(findings: Sequence[Finding], history: Sequence[Sequence[Finding]], drift: DriftSettings) -> Diagnosed:
    """The ladder's answer for one window.

    ``findings`` are the window's own, with those on its matured outcomes where there are any; ``history`` holds the
    findings of the windows before it, oldest first. Windows with a fault confirm nothing, and of those too small only
    what many windows say together counts.
    """
    findings, history = _counting(findings), [_counting(window) for window in history]
    rungs = _ladder(findings)
    held = [rung for rung in rungs if rung.holds]
    rung = _answer(held)
    confirmed = _confirmed(rung.explanation, findings, history, drift)
    if rung.explanation is Diagnosis.DATA_FAULT:
        sentence = _fault_sentence(findings, history)
    elif rung.explanation is Diagnosis.STABLE:
        sentence = _stable_sentence(findings)
    else:
        since = _since(_deciding(rung.explanation, findings), history)
        sentence = _sentence(rung, confirmed, since, ranked=bool(_ok(findings, RANKING)))
    return Diagnosed(rung.explanation, confirmed, sentence, rungs)


def _counting(findings: Sequence[Finding]) -> Sequence[Finding]:
    """All findings; of a window with too few rows, what decides only as far as many windows say it together."""
    if not _small(findings) or not _moved(findings, OVER_WINDOWS):
        return findings
    return [f for f in findings if f.check != "rows" and (f.check not in DECISIVE or f.check in OVER_WINDOWS)]


def _small(findings: Iterable[Finding]) -> bool:
    return any(f.check == "rows" and f.severity is Severity.UNKNOWN for f in findings)


def _answer(held: Sequence[Rung]) -> Rung:
    """A fault explains everything; otherwise the outcomes outrank the features that they depend on."""
    by_name = {rung.explanation: rung for rung in held}
    order = (
        Diagnosis.DATA_FAULT,
        Diagnosis.NOT_ENOUGH_DATA,
        Diagnosis.CONCEPT_DRIFT,
        Diagnosis.PRIOR_SHIFT,
        Diagnosis.COVARIATE_SHIFT,
        Diagnosis.STABLE,
    )
    return next(by_name[name] for name in order if name in by_name)


def _ladder(findings: Sequence[Finding]) -> tuple[Rung, ...]:
    faults = sorted((f for f in findings if f.severity is Severity.FAULT), key=_specificity)
    few = [f for f in findings if f.check == "rows" and f.severity is Severity.UNKNOWN]
    population = _moved(findings, POPULATION)
    ranking, level = _by_outcomes(findings)
    something = bool(population or ranking or level)
    if not something:
        few += [f for f in findings if f.check in (*DECISIVE, "outcomes") and f.severity is Severity.UNKNOWN]
    noise = [f for f in findings if f.severity is Severity.NOISE]
    calm = [f for f in findings if f.check in DECISIVE and f.severity is Severity.OK]
    ranked = [f for f in findings if f.check in RANKING and f.severity is not Severity.UNKNOWN]
    matured = ranked or [f for f in findings if f.check in RANKING]
    faulty = "Rows with a data fault are not judged by their outcomes."
    unseen = (faulty if faults else "No outcomes have matured yet.",)
    return (
        _rung(Diagnosis.DATA_FAULT, faults, () if faults else ("No column changed mechanically.",)),
        _rung(Diagnosis.NOT_ENOUGH_DATA, few, ()),
        Rung(
            Diagnosis.STABLE,
            not (faults or few or something),
            _sentences([*noise, *calm]),
            _sentences([*population, *ranking, *level, *_beside(findings)]),
        ),
        _rung(Diagnosis.COVARIATE_SHIFT, population, _sentences(_ok(findings, POPULATION))),
        Rung(
            Diagnosis.PRIOR_SHIFT,
            bool(level) and not ranking,
            _sentences([*level, *_ok(ranked, RANKING)]) if level else (),
            _sentences(ranking or _ok(findings, LEVEL)) if matured else unseen,
        ),
        _rung(
            Diagnosis.CONCEPT_DRIFT,
            ranking,
            _sentences([f for f in matured if f not in ranking]) if matured else unseen,
        ),
    )


def _by_outcomes(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What speaks for another ranking, and what for another level alone."""
    spread = _beyond_population(findings, SPREAD, "slope_explained")
    flat = [f for f in spread if f.statistic is not None and f.statistic < 1.0]
    ranking = [*_beyond_population(findings, RANKING, "auc_explained"), *flat]
    level = _beyond_population(findings, LEVEL, "calibration_explained")
    return ranking, [*level, *(f for f in spread if f not in flat)]


def _beyond_population(findings: Sequence[Finding], checks: Sequence[str], explained: str) -> list[Finding]:
    """What moved on the outcomes, unless the changed population explains it.

    It explains the window's own test, the first of ``checks``. Evidence over many windows is not undone by one.
    """
    moved = _moved(findings, checks)
    residual = next((f for f in findings if f.check == explained), None)
    if residual is None or not moved:
        return moved
    left = [f for f in moved if f.check != checks[0] or not _explains(residual, f)]
    return [*left, *_moved([residual], (explained,))] if left else []


def _explains(residual: Finding, moved: Finding) -> bool:
    """Whether what is left beside the population does not matter, or is chance and less than half of the change.

    The test of what is left has errors of its own: that it does not reject explains nothing by itself.
    """
    if residual.severity is not Severity.NOISE:
        return residual.severity is Severity.OK
    before = moved.details.get("expected", moved.details.get("reference"))
    now, explained = residual.statistic, residual.details.get("estimate")
    if not (isinstance(before, float) and isinstance(explained, float)) or now is None:
        return True
    return abs(now - explained) <= abs(now - before) / 2.0


def _confirmed(
    diagnosis: Diagnosis, findings: Sequence[Finding], history: Sequence[Sequence[Finding]], drift: DriftSettings
) -> bool:
    if diagnosis is Diagnosis.DATA_FAULT:
        return True  # a quarantine can be lifted; what was learned cannot be unlearned
    if diagnosis in (Diagnosis.STABLE, Diagnosis.NOT_ENOUGH_DATA):
        return False
    if any(f.severity is Severity.SEVERE for f in _witnesses(diagnosis, findings)):
        return True
    sound = [window for window in history if not _unsound(window)]
    latest = [*sound[len(sound) - min(len(sound), drift.among - 1) :], findings]
    witnesses = [_witnesses(diagnosis, window) for window in latest]
    # Evidence that windows before have, and that this one adds to, speaks of two though one alone was called.
    many = max((int(f.details.get("witnesses", 1)) for f in witnesses[-1]), default=0)
    return max(many, sum(map(bool, witnesses))) >= drift.confirm


def _witnesses(diagnosis: Diagnosis, findings: Sequence[Finding]) -> list[Finding]:
    """What a window's own rows say: evidence over many windows is called as long as it stands, and counts once.

    A month that was bad by chance is in what the next windows carry on, and would confirm itself.
    """
    return [f for f in _deciding(diagnosis, findings) if f.details.get("adds", True)]


def _deciding(diagnosis: Diagnosis, findings: Sequence[Finding]) -> list[Finding]:
    ranking, level = _by_outcomes(findings)
    if diagnosis is Diagnosis.CONCEPT_DRIFT:
        return ranking
    if diagnosis is Diagnosis.PRIOR_SHIFT:
        return [*level, *ranking]
    return _moved(findings, POPULATION)


def _unsound(findings: Sequence[Finding]) -> bool:
    return _small(findings) or any(f.severity is Severity.FAULT for f in findings)


# --------------------------------------------------------------------------- words


def _fault_sentence(findings: Sequence[Finding], history: Sequence[Sequence[Finding]]) -> str:
    faults = sorted((f for f in findings if f.severity is Severity.FAULT), key=_specificity)
    broken = {f.subject for f in faults}
    others = [f.subject for f in _moved(findings, ("psi",)) if f.subject not in {*broken, "score"}]
    rest = f"beside it {', '.join(others)} moved" if others else "nothing else moved"
    since = _since(faults[:1], history)
    return f"{faults[0].sentence.rstrip('.')}{f' since {since}' if since else ''}; {rest}: a data fault."


def _stable_sentence(findings: Sequence[Finding]) -> str:
    """Nothing decisive moved; what else did is named, because "stable" beside a column that moved is not true."""
    beside = _sentences(_beside(findings))
    if beside:
        return f"No check that decides the diagnosis moved beyond chance. Other findings: {' '.join(beside)}"
    if any(f.check in RANKING for f in findings):
        return "Stable: nothing moved beyond chance."
    return "Stable so far: nothing moved beyond chance. Its outcomes are not judged yet."


def _beside(findings: Iterable[Finding]) -> list[Finding]:
    """What moved and decides nothing: a column that carries little, a segment, an estimate, a risk level."""
    return [f for f in findings if f.severity in MOVED and f.check not in DECISIVE]


def _since(deciding: Sequence[Finding], history: Sequence[Sequence[Finding]]) -> str:
    """The first day of a change, "3 May 2025": in the earliest of the windows in a row that show it; else empty."""
    days = [str(f.details["since"]) for f in deciding if "since" in f.details]
    if not days:
        return ""
    earliest = min(days)
    wanted = {(f.check, f.subject) for f in deciding}
    for window in reversed(history):
        same = [f for f in window if (f.check, f.subject) in wanted and f.severity in (*MOVED, Severity.FAULT)]
        if not same:
            break
        earliest = min([earliest, *(str(f.details["since"]) for f in same if "since" in f.details)])
    day = date.fromisoformat(earliest)
    return f"{day.day} {day:%B %Y}"


def _specificity(finding: Finding) -> int:
    return SPECIFIC.index(finding.check) if finding.check in SPECIFIC else len(SPECIFIC)


def _sentence(rung: Rung, confirmed: bool, since: str, *, ranked: bool) -> str:
    first = rung.evidence_for[0] if rung.evidence_for else ""
    says = {
        Diagnosis.NOT_ENOUGH_DATA: "There is not enough data to judge.",
        Diagnosis.COVARIATE_SHIFT: "The customers differ from those of the history (covariate shift).",
        Diagnosis.PRIOR_SHIFT: "The ranking holds but the level of default does not (prior shift)."
        if ranked
        else "The level of default does not hold, and the ranking cannot be judged (prior shift).",
        Diagnosis.CONCEPT_DRIFT: "Customers with the same data default more or less often than before (concept drift).",
    }[rung.explanation]
    waiting = rung.explanation is not Diagnosis.NOT_ENOUGH_DATA and not confirmed
    if since:
        says = f"{says.rstrip('.')}, since {since}."
    parts = (first, says, "Not confirmed yet: wait for the next window." if waiting else "")
    return " ".join(part for part in parts if part)


def _rung(explanation: Diagnosis, evidence: Sequence[Finding], against: Sequence[str]) -> Rung:
    return Rung(explanation, bool(evidence), _sentences(evidence), tuple(against))


def _sentences(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f.sentence for f in findings))[:MOST]


def _moved(findings: Iterable[Finding], checks: Sequence[str]) -> list[Finding]:
    return [f for f in findings if f.check in checks and f.severity in MOVED]


def _ok(findings: Iterable[Finding], checks: Sequence[str]) -> list[Finding]:
    return [f for f in findings if f.check in checks and f.severity in (Severity.OK, Severity.NOISE)]
