from collections.abc import Iterator
from datetime import timedelta
from threading import Thread

import numpy as np
import pytest

from riskloop.core.errors import Conflict, DataError, NotFound, StorageError
from riskloop.core.maturity import Maturity
from riskloop.core.span import Span
from riskloop.core.types import Decisions, PromotionKind, from_micros
from riskloop.store.appender import Appender, ChunkKey, Logged
from riskloop.store.decisions import DecisionLog
from riskloop.store.ledger import Ledger
from riskloop.store.outcomes import Outcome, Outcomes

from .rows import DAY, MAY, scored


@pytest.fixture
def appender(log: DecisionLog) -> Iterator[Appender]:
    appender = log.appender(waits=False, checkpoints=False)
    yield appender
    appender.close()


def test_what_is_read_is_what_was_logged(log: DecisionLog) -> None:
    rows = scored(3)
    flagged = Decisions(
        **{name: getattr(rows, name) for name in rows.__slots__} | {"flags": [None, '{"missing":["x"]}', None]}
    )
    assert log.append(flagged) == Logged(1, 3)
    decision = log.get(2)
    assert (decision.customer_id, decision.time, decision.model_version) == ("c1", from_micros(MAY + DAY), 1)
    assert decision.probability == rows.probabilities[1]
    assert decision.default == bool(rows.defaults[1])
    np.testing.assert_array_equal(decision.features, rows.features[1])
    assert decision.flags == {"missing": ["x"]}
    again = log.chunk(1, 3)
    np.testing.assert_array_equal(again.features, rows.features)
    np.testing.assert_array_equal(again.defaults, rows.defaults)
    assert list(again.customer_ids) == list(rows.customer_ids)


def test_ids_are_consecutive_over_groups_connections_and_failures(log: DecisionLog, appender: Appender) -> None:
    assert appender.append([scored(2), scored(3, version=2)]) == [Logged(1, 2), Logged(3, 3)]
    broken = scored(1)
    with pytest.raises(StorageError, match="Nothing was logged"):
        appender.append(
            [scored(4), Decisions(**{n: getattr(broken, n) for n in broken.__slots__} | {"scored_at": None})]
        )
    assert log.append(scored(1)) == Logged(6, 1)
    assert log.count() == log.last_id() == 6


def test_many_writers_leave_no_gap(log: DecisionLog) -> None:
    def write(start: int) -> None:
        own = log.appender()
        for k in range(10):
            own.append([scored(7, start=start + k)])
        own.close()

    threads = [Thread(target=write, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frame = log.frame()
    assert frame.ids.tolist() == list(range(1, 281))


def test_decisions_of_a_champion_that_is_none_any_more_are_not_logged(log: DecisionLog, appender: Appender) -> None:
    ledger = Ledger(log.database)
    now = from_micros(MAY)
    assert appender.append([scored(1)], seq=0) == [Logged(1, 1)]
    ledger.register(created_at=now, learner="x", artefact="a", sha256="a", origin="train", auc=0.7)
    ledger.append(1, expected_seq=0, kind=PromotionKind.FIRST, at=now, by="ann", reason="")
    assert appender.append([scored(1)], seq=0) == []
    assert appender.append([scored(1)], ChunkKey("run", "f"), seq=0) == []
    assert appender.append([scored(2)], seq=1) == [Logged(2, 2)]
    assert appender.append([scored(1)]) == [Logged(4, 1)]
    assert log.count() == log.last_id() == 4


def test_a_chunk_is_logged_once_and_its_key_is_its_own(log: DecisionLog) -> None:
    chunk = ChunkKey("run-0", "aa")
    assert log.find_chunk(chunk) is None
    assert log.append(scored(5), chunk) == Logged(1, 5)
    assert log.append(scored(5), chunk) == Logged(1, 5, repeated=True)
    assert log.find_chunk(chunk) == Logged(1, 5, repeated=True)
    with pytest.raises(Conflict, match="other rows"):
        log.append(scored(5), ChunkKey("run-0", "bb"))
    assert log.count() == 5


def test_frames_are_cut_by_id_and_time(log: DecisionLog) -> None:
    log.append(scored(10))
    assert log.frame(Span(3, 5)).ids.tolist() == [3, 4, 5]
    frame = log.frame(Span(start=MAY + DAY, end=MAY + 3 * DAY))
    assert frame.ids.tolist() == [2, 3]
    np.testing.assert_array_equal(frame.features, scored(10).features[1:3])
    assert np.isnan(frame.outcomes).all()
    assert len(log.frame(Span(first_id=99))) == 0
    assert log.extent() == (10, 1, 10, MAY, MAY + 9 * DAY)
    assert log.extent(Span(first_id=11)) is None


def test_outcomes_are_filled_in_where_known_and_mature(log: DecisionLog) -> None:
    log.append(scored(4))
    known = from_micros(MAY) + timedelta(days=90)
    reported = [
        Outcome(True, known, decision_id=1),
        Outcome(False, known, decision_id=2),
        Outcome(True, known, decision_id=4),
    ]
    Outcomes(log.database).record(reported, known)
    Outcomes(log.database).record([Outcome(False, known, decision_id=1)], known)  # a correction
    outcomes = log.frame(known=Maturity(MAY + 2 * DAY)).outcomes
    np.testing.assert_array_equal(outcomes, [0.0, 0.0, np.nan, np.nan])


def test_rows_of_different_schemas_are_no_frame(log: DecisionLog) -> None:
    log.append(scored(1, width=3))
    log.append(scored(1, width=4))
    with pytest.raises(DataError, match="different numbers of features"):
        log.frame()


def test_a_decision_that_is_not_there(log: DecisionLog) -> None:
    with pytest.raises(NotFound, match="no decision 7"):
        log.get(7)


def test_the_decisions_of_a_customer_newest_first(log: DecisionLog) -> None:
    log.append(scored(3))
    log.append(scored(2))
    assert [d.decision_id for d in log.of_customer("c1")] == [5, 2]
    assert [d.decision_id for d in log.latest(2)] == [5, 4]
