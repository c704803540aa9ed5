"""Whoever trained a version, asked the gate about it or moved its case does not decide about it alone."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from riskloop.cases import CaseState, Move
from riskloop.cases.case import LOOP
from riskloop.core.errors import GateRefused
from riskloop.core.types import Diagnosis, Try
from riskloop.loop.four_eyes import require_another
from riskloop.store.cases import Cases, move_case, open_case
from riskloop.store.ledger import Ledger
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite
from riskloop.store.tries import record_try

NOW = datetime(2025, 5, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Version 1: trained by ann, asked about by bob, its case moved by cy; and the loop did its part."""
    database = Sqlite(tmp_path / "riskloop.db")
    upgrade(database)
    ledger = Ledger(database)
    ledger.register(created_at=NOW, learner="x", artefact="a", sha256="a", origin="retrain", auc=0.7, by="ann")
    with database.write() as connection:
        move = Move(CaseState.CONFIRMED, "It differs.", changes={"challenger": 1})
        case = open_case(connection, move, at=NOW, diagnosis=Diagnosis.CONCEPT_DRIFT, window_id=1, champion=1)
        move_case(connection, case, Move(CaseState.QUARANTINED, "Held."), at=NOW, by="cy")
        record_try(connection, Try(1, NOW, 0.05, "e"), challenger=1, by="bob")
        record_try(connection, Try(1, NOW, 0.05, "f"), challenger=1, by=LOOP)
    return ledger


@pytest.mark.parametrize(
    ("who", "deed"),
    [
        ("sso:riskloop", "asked the gate"),
        ("proxy:Riskloop", "asked the gate"),
        ("ann", "trained it"),
        ("Ann", "trained it"),
        ("proxy:bob", "asked the gate"),
        ("cy ", "moved case 1"),
    ],
)
def test_who_had_a_hand_in_it_is_refused(ledger: Ledger, who: str, deed: str) -> None:
    with pytest.raises(GateRefused, match=rf"four eyes .* {deed}"):
        require_another(ledger, Cases(ledger.database), 1, by=who)


@pytest.mark.parametrize("who", ["dora", LOOP])
def test_somebody_else_may_decide(ledger: Ledger, who: str) -> None:
    require_another(ledger, Cases(ledger.database), 1, by=who)
