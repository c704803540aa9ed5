"""Every check of the monitor, found by looking through its modules."""

import ast
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import riskloop
from riskloop import monitor
from riskloop.core.findings import DeclaredCheck
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DriftSettings
from riskloop.core.types import Finding, Severity
from riskloop.decide import diagnosis
from riskloop.monitor.bounds import judged_in_part, not_judged
from riskloop.monitor.correlation import Correlation
from riskloop.monitor.drift import context_findings, evidently_findings, profile_findings
from riskloop.monitor.estimate import estimate_findings, expected_performance
from riskloop.monitor.frames import coded
from riskloop.monitor.impact import impact_findings
from riskloop.monitor.labels import (
    definition_finding,
    delivery_findings,
    window_findings,
)
from riskloop.monitor.overtime import over_time_findings
from riskloop.monitor.performance import performance_findings
from riskloop.monitor.profile import Reference
from riskloop.monitor.quality import quality_findings
from riskloop.monitor.reports import DAY, Reports
from riskloop.monitor.residual import Past, bases_of, residual_finding
from riskloop.monitor.segments import segments_of
from riskloop.monitor.selection import Comparison
from riskloop.simulation import SCENARIOS
from riskloop.simulation.embedded import FEATURES, TARGET, simulate

from .conftest import MAY, SCHEMA, Month, built, history, month

ROWS = 1_500
PERIOD = (datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC))


def declared() -> list[DeclaredCheck]:
    """All of them, also those in tables."""
    found: dict[int, DeclaredCheck] = {}
    for info in pkgutil.walk_packages(monitor.__path__, "riskloop.monitor."):
        for value in vars(importlib.import_module(info.name)).values():
            for check in _checks_in(value):
                found[id(check)] = check
    return list(found.values())


def _checks_in(value: Any) -> Iterator[DeclaredCheck]:
    if isinstance(value, DeclaredCheck):
        yield value
    elif isinstance(value, tuple | list | dict):
        for part in [*value, *(value.values() if isinstance(value, dict) else ())]:
            yield from _checks_in(part)


# --------------------------------------------------------------------------- windows in which something is found


def _whole() -> list[Month]:
    usual = month(ROWS, 3)
    column = usual.column
    recoded = (column("EDUCATION") + 1.0) % 4.0
    return [
        usual,
        month(ROWS, 4, SCENARIOS["recession"].world or pytest.fail("no world")),
        usual.changed(LIMIT_BAL=column("LIMIT_BAL") * 100.0, BILL_AMT1=-column("BILL_AMT1"), PAY_0=np.full(ROWS, 0.0)),
        usual.changed(PAY_AMT1=column("BILL_AMT2"), BILL_AMT2=column("PAY_AMT1")),
        usual.changed(BILL_AMT3=np.random.default_rng(0).permutation(column("BILL_AMT3")), EDUCATION=recoded),
        usual.changed(AGE=np.full(ROWS, np.nan), MARRIAGE=np.full(ROWS, 9.0)),
        *_partly_broken(usual),
        usual.take(np.arange(1)),
        usual.take(np.arange(0)),
    ]


def _partly_broken(usual: Month) -> list[Month]:
    rng, column = np.random.default_rng(0), usual.column
    half = np.flatnonzero(rng.random(ROWS) < 0.5)
    strangers = column("PAY_0")
    strangers[half] = strangers[rng.permutation(half)]
    series = ["PAY_0", *(f"PAY_{k}" for k in range(2, 7))]
    return [
        usual.changed(PAY_0=strangers),
        usual.changed(LIMIT_BAL=column("LIMIT_BAL") / np.where(rng.random(ROWS) < 0.1, 100.0, 1.0)),
        usual.changed(LIMIT_BAL=column("LIMIT_BAL") * 1.36),
        usual.changed(BILL_AMT1=column("BILL_AMT1") * 1.36),
        usual.changed(BILL_AMT1=column("BILL_AMT2")),
        usual.changed(BILL_AMT6=np.where(rng.random(ROWS) < 0.15, 0.0, column("BILL_AMT6"))),
        usual.changed(**dict(zip(series[:-1], map(column, series[1:]), strict=True))),
    ]


def _closing(window: Month) -> list[Finding]:
    reference, drift = built(), DriftSettings()
    profile = reference.profile(window.features, window.scores, window.times)
    found = quality_findings(reference, profile, min_rows=100, refusals={("AGE", "range"): 5}, period=PERIOD, late=3)
    found += quality_findings(reference, profile, min_rows=100, previous=[profile, profile])
    found += profile_findings(reference, profile, drift)
    found += evidently_findings(  # a page where no file can be: Evidently's part fails, the rest does not
        reference, history().features, history().scores, window.features, window.scores, drift,
        report_path=Path(__file__) / "page.html",
    )  # fmt: skip
    then, now = (np.nan_to_num(rows) for rows in (history().features, window.features))  # any numbers will do
    found += impact_findings(FEATURES, then, now, history().scores, window.scores, 0.3)
    found += estimate_findings(
        history().features, history().scores, history().outcomes, window.features, window.scores, harm_auc=0.02
    )
    return found


def _matured(window: Month, outcomes: np.ndarray) -> list[Finding]:
    past = history()
    compared = Comparison.of(window.scores, outcomes, past.scores, past.outcomes)
    bases = bases_of(past.features, np.ones(past.features.shape[1]))
    reference = Past(bases, past.scores, past.outcomes, past.scores)
    beside = residual_finding(reference, window.features, window.scores, outcomes, [], alarm=50.0)
    over_time = over_time_findings(compared, Correlation(0.01, 12), [], alarm=50.0)
    realised = performance_findings(
        window.scores,
        outcomes,
        past.scores,
        past.outcomes,
        alpha=0.01,
        expected=lambda: expected_performance(
            past.features, past.scores, past.outcomes, window.features, window.scores
        ),
        segments=segments_of(SCHEMA, past.features, window.features),
        stands_for=np.linspace(1.0, 2.0, len(outcomes)),
    )
    return [beside, *over_time, *realised]


def _context() -> list[Finding]:
    """A column that is the same for everybody of a period."""
    reference = Reference.build(
        Schema((Feature("rate", context=True),), target="bad"), np.linspace(1.0, 2.0, 50)[:, None], np.full(50, 0.5)
    )
    return context_findings(reference, reference.profile(np.full((9, 1), 1.5), np.full(9, 0.5)))


def _frames() -> list[Finding]:
    frame = simulate([MAY], 200, 1)[[*FEATURES, TARGET]].assign(AGE="old", colour="red")
    return coded(frame.drop(columns="SEX"), SCHEMA)[2]


def _labels(window: Month) -> list[Finding]:
    numbers = np.arange(len(window.outcomes))
    times = np.asarray(window.times, dtype=np.int64)
    reports = Reports(numbers, numbers, window.outcomes, window.scores, times, times + 31 * DAY)
    found = delivery_findings(reports, 3, 100) + window_findings(reports, 30 * DAY, (1, 2), (3, 4))
    return found if reports.fewest < 10 else [*found, definition_finding(reports)[0]]


@lru_cache(maxsize=1)
def findings() -> list[Finding]:
    """Of sound, changed, broken and hardly filled windows, with and without outcomes."""
    waits = not_judged(3, 100, "the outcome of only 3 of 40 approved customers has arrived")
    found = [*_frames(), *_context(), waits, judged_in_part(30, 40, 100)]
    for number, window in enumerate(_whole()):
        found += _closing(window)
        found += _labels(window)
        odd = (1.0 - window.outcomes, np.zeros(len(window.outcomes)))
        for outcomes in (window.outcomes, *(odd if number == 0 or len(window.outcomes) < ROWS else ())):
            found += _matured(window, outcomes)
    return found


# --------------------------------------------------------------------------- what holds for all


def test_every_name_is_declared_once() -> None:
    names = [check.name for check in declared()]
    assert len(names) == len(set(names)) > 30


@pytest.mark.parametrize("check", declared(), ids=lambda check: check.name)
def test_every_check_says_what_it_tests_and_where_it_is_from(check: DeclaredCheck) -> None:
    assert check.null
    assert check.source
    assert not check.null.endswith(".")
    unknown = check.unknown("window", (5, 7), "There are no rows. Wait.")
    assert unknown.severity is Severity.UNKNOWN
    assert unknown.sentence.endswith(" cannot be judged, because there are no rows. Wait.")
    assert (unknown.statistic, unknown.critical, unknown.n, unknown.m) == (None, None, 5, 7)


@pytest.mark.parametrize("check", declared(), ids=lambda check: check.name)
def test_every_check_is_made_and_its_findings_are_whole(check: DeclaredCheck) -> None:
    made = [f for f in findings() if f.check == check.name]
    assert made
    for finding in made:
        assert (finding.null, finding.source) == (check.null, check.source)
        assert finding.sentence.endswith(".")
        assert finding.n >= 0
        assert finding.m >= 0
        judged = finding.severity is not Severity.UNKNOWN
        assert judged or "cannot be judged, because" in finding.sentence or finding.check in {"rows", "evidently"}
        json.dumps(asdict(finding), allow_nan=False)


def test_no_finding_is_made_by_hand() -> None:
    """Only `core/findings.py` makes findings, and the store reads them back."""
    allowed = {"core/findings.py", "store/documents.py"}
    package = Path(riskloop.__file__).parent
    by_hand = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding"
    }
    assert by_hand == allowed


def test_the_ladder_knows_only_declared_checks() -> None:
    names = {check.name for check in declared()}
    tables: Callable[[str], Any] = vars(diagnosis).__getitem__
    for table in ("SPECIFIC", "POPULATION", "LEVEL", "RANKING", "SPREAD"):
        assert set(tables(table)) <= names, table
