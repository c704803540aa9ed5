import ast
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import riskloop
from riskloop.core.errors import GateRefused, NotFound, PromotionConflict
from riskloop.core.types import Promotion, PromotionKind
from riskloop.promote import promote, rollback
from riskloop.store import audit
from riskloop.store.ledger import Ledger
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite

NOW = datetime(2025, 5, 5, 14, 4, tzinfo=UTC)


def _gate(ledger: Ledger, version: int, expected_seq: int, fingerprint: str = "report") -> Promotion:
    return promote(
        ledger,
        version,
        expected_seq=expected_seq,
        kind=PromotionKind.GATE,
        at=NOW,
        by="riskloop",
        reason="It is better.",
        evidence={"auc": 0.78},
        fingerprint=fingerprint,
    )


def test_a_promotion_names_the_champion_and_its_evidence(ledger: Ledger) -> None:
    made = _gate(ledger, 2, expected_seq=1)
    assert (made.seq, made.version, made.previous) == (2, 2, 1)
    assert ledger.champion() == made
    assert made.evidence == {"auc": 0.78, "fingerprint": "report"}
    assert audit.latest(ledger.database, 1)[0].subject == "model 2"


def test_which_model_served_then(ledger: Ledger) -> None:
    _gate(ledger, 2, expected_seq=1)
    served = [ledger.champion_at(NOW + timedelta(seconds=s)) for s in (-61, -1, 0)]
    assert [p and p.version for p in served] == [None, 1, 2]


def test_the_same_evidence_twice_is_one_promotion(ledger: Ledger) -> None:
    first = _gate(ledger, 2, expected_seq=1)
    assert _gate(ledger, 2, expected_seq=1) == first
    assert len(ledger.promotions()) == 2


def test_the_second_of_two_is_told(ledger: Ledger) -> None:
    _gate(ledger, 2, expected_seq=1)
    with pytest.raises(PromotionConflict, match="Version 3"):
        _gate(ledger, 3, expected_seq=1, fingerprint="other")


def test_two_at_once_one_wins(ledger: Ledger) -> None:
    def attempt(version: int) -> bool:
        try:
            _gate(ledger, version, expected_seq=1, fingerprint=f"report {version}")
        except PromotionConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, [2, 3] * 4))
    promoted = ledger.promotions()[1:]
    assert len(promoted) == 1
    # The winner's own repetitions are answered with its promotion, the other's are refused.
    assert won == [version == promoted[0].version for version in [2, 3] * 4]


def test_an_unknown_version(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="no model version 9"):
        _gate(ledger, 9, expected_seq=1)


def _back(ledger: Ledger, expected_seq: int) -> Promotion:
    return rollback(ledger, expected_seq=expected_seq, at=NOW, by="a.risk.officer", reason="Complaints.")


def test_rollback_brings_the_previous_champion_back_once(ledger: Ledger) -> None:
    _gate(ledger, 2, expected_seq=1)
    back = _back(ledger, 2)
    assert (back.seq, back.version, back.previous, back.kind) == (3, 1, 2, PromotionKind.ROLLBACK)
    assert _back(ledger, 2) == back
    assert len(ledger.promotions()) == 3


def test_a_rollback_of_a_champion_that_changed_meanwhile_is_refused(ledger: Ledger) -> None:
    _gate(ledger, 2, expected_seq=1)
    _gate(ledger, 3, expected_seq=2, fingerprint="other")
    with pytest.raises(PromotionConflict):
        _back(ledger, 2)


def test_the_first_champion_cannot_be_rolled_back(ledger: Ledger) -> None:
    with pytest.raises(GateRefused, match="first champion"):
        _back(ledger, 1)


def test_nothing_to_roll_back(ledger: Ledger, tmp_path: Path) -> None:
    empty = Sqlite(tmp_path / "empty.db")
    upgrade(empty)
    with pytest.raises(NotFound, match="no champion"):
        _back(Ledger(empty), 0)
    empty.close()


def test_the_ledger_is_written_here_and_nowhere_else() -> None:
    """Everything that changes the champion goes through `promote` or `rollback`."""
    source = Path(riskloop.__file__).parent
    writers = [
        path.relative_to(source).as_posix()
        for path in sorted(source.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and "expected_seq" in {keyword.arg for keyword in node.keywords}
    ]
    assert set(writers) == {"promote/switch.py"}
    inserts = [p.name for p in sorted(source.rglob("*.py")) if "insert(promotions)" in p.read_text(encoding="utf-8")]
    assert inserts == ["ledger.py"]


def test_every_kind_brings_a_challenger_takes_one_back_or_is_the_first() -> None:
    for kind in PromotionKind:
        assert kind.brings_challenger + kind.takes_back + (kind is PromotionKind.FIRST) == 1
