"""Two versions compared by a person: what is shown costs nothing, what is tested is paid for, and both are said."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from riskloop.core.errors import DataError
from riskloop.loop.challenger_file import judgement_of
from riskloop.loop.evidence import kept
from riskloop.portfolio import Portfolio
from riskloop.store.tries import tries_against

from .conftest import TRAINED, live, recession

LATER = datetime(2025, 7, 5, tzinfo=UTC)


@pytest.fixture
def judged(promoted_folder: Path, copied: Callable[[Path], Portfolio]) -> Portfolio:
    """A portfolio whose second version was judged in the default evaluation: out of fold, then fitted on all rows."""
    portfolio = copied(promoted_folder)
    assert portfolio.home.settings.gate.evaluation == "out_of_fold"
    return portfolio


def test_a_comparison_shows_the_gates_own_report_for_nothing_where_no_decision_is_new(judged: Portfolio) -> None:
    before = tries_against(judged.home.database, 1)
    found = judged.compare(1, 2, now=TRAINED)
    assert "the gate's report of 2025-04-30 for case 1" in found.spent
    assert found.sentences[-1] == found.spent
    assert tries_against(judged.home.database, 1) == before
    with pytest.raises(DataError, match="new to both"):
        judged.compare(2, 1, now=TRAINED)


def test_a_comparison_on_new_decisions_is_a_test_and_is_paid_for_once(judged: Portfolio) -> None:
    live(judged, date(2025, 5, 1), 400, recession(), n=2000)
    before = tries_against(judged.home.database, 1)
    first = judged.compare(1, 2, by="A. Analyst", now=LATER)
    assert "This test spends" in first.spent
    spent = tries_against(judged.home.database, 1)
    assert len(spent) == len(before) + 1
    assert spent[-1].alpha > 0.0
    assert "costs nothing more" in judged.compare(1, 2, now=LATER).spent


def test_the_challenger_file_is_bound_to_the_report(judged: Portfolio) -> None:
    read = judged.challenger_file(1)
    found = judgement_of(judged.home.cases, judged.home.ledger, judged.home.artefacts, 1, 2)
    assert found is not None
    report = found.judged.report
    assert read.evaluation is not None
    assert report.evaluation is not None
    assert report.evaluation.startswith(read.evaluation)  # an artefact is named after its hash
    assert read.file is not None
    scores = kept(judged.home.artefacts, read.evaluation)
    assert read.file["rows"] == scores.labels.size == report.checks[0].sizes["rows"]
    auc = read.file["measures"]["auc"]
    assert (auc["champion"], auc["challenger"]) == pytest.approx((report.champion_auc, report.challenger_auc))
    assert {group["feature"] for group in read.file["segments"] if group["protected"]} == {"SEX", "MARRIAGE", "AGE"}
    assert read.file["moved"]
    assert judged.challenger_file_of(1, 2) == read
    assert judged.challenger_file_of(2, 1) is None
