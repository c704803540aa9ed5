"""Evidently's numbers and ours, its lazy import and its silence."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from riskloop.core.settings import DriftSettings
from riskloop.core.stats import psi
from riskloop.core.types import Finding, Severity
from riskloop.monitor import drift as drift_module
from riskloop.monitor.drift import evidently_findings, has_evidently, profile_findings
from riskloop.simulation.embedded import World

from .conftest import Month, built, history, month

DRIFT = DriftSettings()
CHANNEL = World(age=-4.0, limits=-0.5, distress=0.9)


def by_profile(window: Month, importance: dict[str, float] | None = None) -> list[Finding]:
    profile = built().profile(window.features, window.scores, window.times)
    return profile_findings(built(), profile, DRIFT, importance)


needs_evidently = pytest.mark.skipif(not has_evidently(), reason="Evidently is not installed (riskloop[evidently])")


def by_evidently(window: Month, path: Path | None = None) -> list[Finding]:
    return evidently_findings(
        built(), history().features, history().scores, window.features, window.scores, DRIFT, report_path=path
    )


def broken(rows: int) -> Month:
    """Everything that Evidently has trouble with in one window."""
    window = month(rows, 9, CHANNEL)
    amount = window.column("BILL_AMT1")
    amount[::3] = np.nan
    bill = window.column("BILL_AMT2")
    bill[0] = 1e12
    level = window.column("EDUCATION")
    level[:5] = 7.0  # never seen
    level[5:9] = np.nan
    return window.changed(
        BILL_AMT1=amount, BILL_AMT2=bill, EDUCATION=level, PAY_AMT1=np.full(rows, np.nan), PAY_AMT2=np.zeros(rows)
    )


@needs_evidently
@pytest.mark.parametrize("rows", [1, 40, 1_500])
def test_evidently_gives_the_profiles_numbers(rows: int, tmp_path: Path) -> None:
    window = broken(rows)
    ours, theirs = by_profile(window), by_evidently(window, tmp_path / "page.html")
    assert [f.check for f in ours] == [f.check for f in theirs]
    assert [(f.subject, f.severity) for f in ours] == [(f.subject, f.severity) for f in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.statistic == pytest.approx(other.statistic, abs=1e-12)
    by = {f.subject: f.details.get("computed_by") for f in theirs}
    assert by.pop("window") is None
    assert by.pop("PAY_AMT1") == "counts"  # Evidently refuses a column without values
    left_out = {name for name, how in by.items() if how == "counts"}
    assert rows == 1 or not left_out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "LIMIT_BAL" in page
    assert "PSI over the history" in page


def test_the_statistic_is_the_one_of_core_stats() -> None:
    window = month(2_000, 10, CHANNEL)
    for finding in by_profile(window)[:-1]:
        assert finding.statistic == pytest.approx(
            psi(finding.details["expected"], finding.details["actual"]), abs=1e-15
        )
        assert finding.details["p_value"] <= 1.0


@needs_evidently
def test_a_report_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(drift_module, "_report", fail)
    window = month(300, 11)
    *found, failure = by_evidently(window)
    assert [f.statistic for f in found] == [f.statistic for f in by_profile(window)]
    assert (failure.check, failure.severity) == ("evidently", Severity.UNKNOWN)
    assert "boom" in failure.sentence


@needs_evidently
def test_an_empty_window_is_unknown() -> None:
    (finding,) = by_profile(month(10, 1).take(np.empty(0, dtype=np.int64)))
    assert finding.severity is Severity.UNKNOWN
    (finding,) = by_evidently(month(10, 1).take(np.empty(0, dtype=np.int64)))
    assert finding.severity is Severity.UNKNOWN


def test_chance_is_noise_in_small_windows_and_drift_is_drift() -> None:
    small = by_profile(month(60, 12))
    noisy = [f for f in small if f.severity is Severity.NOISE]
    assert noisy
    assert all(f.statistic is not None and f.statistic > DRIFT.psi for f in noisy)
    assert small[-1].severity in (Severity.OK, Severity.NOISE)
    assert by_profile(month(2_000, 13, CHANNEL))[-1].severity is Severity.SEVERE
    assert by_profile(month(2_000, 14))[-1].severity is Severity.OK


def test_the_verdict_goes_by_the_score_and_by_importance() -> None:
    window = month(2_000, 15)
    # One column moves, and the score does not: only its importance makes it matter.
    moved = window.changed(PAY_AMT6=window.column("PAY_AMT6") + 30_000.0)
    assert by_profile(moved, {"PAY_AMT6": 0.05, "PAY_0": 0.95})[-1].severity is Severity.NOISE
    assert by_profile(moved, {"PAY_AMT6": 0.30, "PAY_0": 0.70})[-1].severity is Severity.SEVERE
    scored = Month(window.features, window.scores**0.5, window.outcomes, window.times)
    verdict = by_profile(scored, {"PAY_0": 1.0})[-1]
    assert verdict.severity is Severity.SEVERE
    assert "the score moved" in verdict.sentence


# --------------------------------------------------------------------------- a process of its own


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)


def test_neither_the_api_nor_the_monitor_imports_evidently() -> None:
    code = (
        "import sys, riskloop.app, riskloop.loop.cycle, riskloop.serve.service, riskloop.portfolio;"
        "print([m for m in sys.modules if m.split('.')[0] == 'evidently'])"
    )
    assert run(code).stdout.strip() == "[]"


@needs_evidently
def test_evidently_is_silent() -> None:
    """No connection is tried while it is imported and while a report runs, though there is time for a thread to."""
    code = """
import socket, sys, time
tried = []
def refuse(self, address, *rest):
    tried.append(address)
    raise OSError("no network here")
socket.socket.connect = refuse
socket.getaddrinfo = lambda *a, **k: refuse(None, a)
import numpy as np
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import DriftSettings
from riskloop.monitor.drift import evidently_findings
from riskloop.monitor.profile import Reference
X, p = np.random.default_rng(0).normal(size=(50, 2)), np.linspace(0.1, 0.9, 50)
reference = Reference.build(Schema((Feature("a"), Feature("b")), "t"), X, p)
found = evidently_findings(reference, X, p, X, p, DriftSettings())
assert found[0].details["computed_by"] == "Evidently", found
time.sleep(1.0)
print(tried)
"""
    done = run(code)
    assert done.stdout.strip() == "[]", done.stderr
