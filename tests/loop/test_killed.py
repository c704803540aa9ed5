"""A worker that is killed at every step is replaced by one that ends in the same ledger."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from riskloop.cases import CaseState
from riskloop.core.types import PromotionKind
from riskloop.portfolio import Portfolio

NOW_AT = datetime(2025, 4, 30, tzinfo=UTC)
NOW = NOW_AT.isoformat()
SCRIPT = Path(__file__).with_name("killed.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def _story(portfolio: Portfolio) -> dict[str, Any]:
    """Everything that is on record, without what is measured by a clock."""
    home = portfolio.home
    return {
        "models": [(m.version, m.sha256, m.origin, m.case_id) for m in home.ledger.models()],
        "promotions": [(p.seq, p.version, p.previous, p.kind, p.at, p.by, p.reason) for p in home.ledger.promotions()],
        "cases": home.cases.latest(),
        "events": [(e.at, e.state, e.by, e.sentence) for c in home.cases.latest() for e in home.cases.steps(c.id)],
        "windows": home.windows.latest(),
        "findings": [home.windows.findings(w.id) for w in home.windows.latest()],
    }


def test_killed_at_every_step_the_loop_ends_in_the_same_ledger(drifted_folder: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    shutil.copytree(drifted_folder, whole)
    shutil.copytree(drifted_folder, broken)
    undisturbed = Portfolio.open(whole)
    undisturbed.cycle(now=NOW_AT)
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(broken), NOW], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    resumed = Portfolio.open(broken)
    try:
        # after each of 3 closed windows, each of 3 deliveries of outcomes and the first of 2 judged again, while the
        # model is written, while the gate's rows are written (the version is registered), before the promotion (the
        # verdict is stored), before the case's end (the promotion is made)
        # … and before each of three alerts, the counts by hour, and the record of the cycle's end
        assert json.loads(run.stdout) == {"deaths": 16, "never_written": []}
        assert _story(resumed) == _story(undisturbed)
        assert resumed.home.champion().kind is PromotionKind.GATE
        assert [case.state for case in resumed.home.cases.latest()] == [CaseState.PROMOTED]
        assert resumed.rebuild(2).identical is True
    finally:
        undisturbed.home.close()
        resumed.home.close()
