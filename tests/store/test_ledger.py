from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest

from riskloop.core.errors import NotFound, PromotionConflict
from riskloop.core.types import Promotion, PromotionKind
from riskloop.store import audit
from riskloop.store.database import Database
from riskloop.store.ledger import Ledger, served

MAY = datetime(2025, 5, 5, 14, 3, tzinfo=UTC)


def register(ledger: Ledger, name: str = "a", case_id: int | None = None) -> int:
    return ledger.register(
        created_at=MAY, learner="scorecard", artefact=name, sha256=name, origin="train", auc=0.7, case_id=case_id
    )


def promote(ledger: Ledger, version: int, expected_seq: int, at: datetime = MAY) -> Promotion:
    return ledger.append(version, expected_seq=expected_seq, kind=PromotionKind.FORCED, at=at, by="ann", reason="test")


def test_versions_count_up_and_the_same_artefact_keeps_its_number(database: Database) -> None:
    ledger = Ledger(database)
    assert [register(ledger, "a"), register(ledger, "b"), register(ledger, "a")] == [1, 2, 1]
    assert register(ledger, "a", case_id=7) == 3
    assert register(ledger, "a", case_id=7) == 3


def test_the_last_promotion_names_the_champion(database: Database) -> None:
    ledger = Ledger(database)
    first, second = register(ledger, "a"), register(ledger, "b")
    assert ledger.champion() is None
    promote(ledger, first, 0)
    promotion = promote(ledger, second, 1)
    assert ledger.champion() == promotion
    assert (promotion.seq, promotion.previous) == (2, first)
    assert [event.action for event in audit.latest(database)] == ["promote", "promote", "register", "register"]


def test_a_stale_promotion_is_refused_and_writes_nothing(database: Database) -> None:
    ledger = Ledger(database)
    first, second = register(ledger, "a"), register(ledger, "b")
    promote(ledger, first, 0)
    with pytest.raises(PromotionConflict, match="champion changed meanwhile"):
        promote(ledger, second, 0)
    assert len(ledger.promotions()) == 1
    assert sum(event.action == "promote" for event in audit.latest(database)) == 1


def test_of_many_promotions_at_once_one_wins(database: Database) -> None:
    ledger = Ledger(database)
    versions = [register(ledger, str(i)) for i in range(8)]
    barrier, won, lost = Barrier(8), [], []

    def run(version: int) -> None:
        barrier.wait()
        try:
            won.append(promote(ledger, version, 0).version)
        except PromotionConflict:
            lost.append(version)

    threads = [Thread(target=run, args=(version,)) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert [p.version for p in ledger.promotions()] == won


def test_an_unknown_version_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="no model version 9"):
        promote(Ledger(database), 9, 0)


def test_which_model_served_at_a_moment(database: Database) -> None:
    ledger = Ledger(database)
    first, second = register(ledger, "a"), register(ledger, "b")
    promote(ledger, first, 0, MAY)
    promote(ledger, second, 1, MAY + timedelta(hours=1))
    promote(ledger, first, 2, MAY + timedelta(hours=3))
    assert ledger.champion_at(MAY - timedelta(seconds=1)) is None
    serving = [ledger.champion_at(MAY + timedelta(hours=h)) for h in (0, 1, 2, 3)]
    assert [p.version for p in serving if p] == [first, second, second, first]
    spans = served(ledger.promotions(), first)
    assert spans == [(MAY, MAY + timedelta(hours=1)), (MAY + timedelta(hours=3), None)]
