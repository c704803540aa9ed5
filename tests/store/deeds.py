"""A portfolio with rows of every kind that the chain covers, written as riskloop writes them."""

from datetime import UTC, datetime, timedelta
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np

from riskloop.cases import CaseState, Move
from riskloop.cases.events import Waits
from riskloop.cases.people import comment
from riskloop.core.types import Diagnosis, PromotionKind, Try
from riskloop.store import deliveries
from riskloop.store.appender import ChunkKey
from riskloop.store.archive import AUDIT, Archive
from riskloop.store.case_notes import say
from riskloop.store.cases import Cases, move_case, open_case
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.erasure import erase_customer
from riskloop.store.keys import Keys, Role
from riskloop.store.ledger import Ledger
from riskloop.store.outcomes import Outcome, Outcomes
from riskloop.store.probations import Watched, remember
from riskloop.store.retention import Retention
from riskloop.store.segments import Segments
from riskloop.store.shadow import ShadowRun, ShadowScores
from riskloop.store.tries import record_try
from riskloop.store.users import Users
from riskloop.store.windows import save, set_quarantine

from .rows import scored
from .test_cases_and_windows import WINDOW

MAY = datetime(2025, 5, 1, tzinfo=UTC)


def fill(database: Database) -> None:
    """Decisions 1 to 26 in six groups, 27 to 34 in segments, and some of everything else."""
    ledger, log = Ledger(database), DecisionLog(database)
    for name in ("a", "b"):
        ledger.register(created_at=MAY, learner="scorecard", artefact=name, sha256=name, origin="train", auc=0.7)
    ledger.append(1, expected_seq=0, kind=PromotionKind.FIRST, at=MAY, by="ann", reason="first")
    appender = log.appender()
    for start, rows in ((0, 1), (1, 1), (2, 8), (10, 1)):
        appender.append([scored(rows, start=start)])
    appender.append([scored(3, start=11), scored(2, start=14, version=2)])
    appender.append([scored(10, start=16)], ChunkKey("run", "f"))
    appender.close()
    shadow = ShadowScores(database)
    shadow.begin(2, 0, MAY)
    for first, last in ((1, 6), (7, 20)):  # the one who is erased next is the second run's
        probabilities = np.linspace(0.1, 0.9, last - first + 1)
        shadow.keep(ShadowRun(2, first, last, 1, 2, 1, 1.5, probabilities), MAY)
    erase_customer(database, Segments(database, "."), Archive(None), "c9", by="ann", reason="a request", at=MAY)
    with TemporaryDirectory() as folder:  # nobody reads the file here
        segments = Segments(database, folder)
        for rows in (1, 4, 3):
            written = segments.files.write(scored(rows, start=26 + rows), ("x", "y", "z"))
            assert segments.register(f"night{rows}", "f", [written], seq=1)
    for part in (range(1, 5), range(5, 6)):
        reported = [Outcome(number % 2 == 0, MAY + timedelta(days=40), number) for number in part]
        Outcomes(database).record(reported, MAY + timedelta(days=50), by="feed")
    ledger.append(2, expected_seq=1, kind=PromotionKind.GATE, at=MAY, by="ann", reason="better")
    Keys(database).create("scorer", [Role.SCORE], at=MAY, by="ann")
    Users(database).create("bea", [Role.VIEW], "a long enough password", at=MAY, by="ann")
    with database.write() as connection:
        save(connection, WINDOW, [])
        case = open_case(
            connection,
            Move(CaseState.CONFIRMED, "It differs."),
            at=MAY,
            diagnosis=Diagnosis.CONCEPT_DRIFT,
            window_id=1,
            champion=1,
        )
        deliveries.hold(connection, [1, 2], case.id)
        record_try(connection, Try(1, MAY, 0.05, "e"), challenger=2, by="ann", case_id=case.id)
    with database.write() as connection:
        move_case(connection, case, Move(CaseState.WAITING, "Too few.", event=Waits(10, 20)), at=MAY)
        remember(connection, Watched(2, "running", 0.0, 0, 0, MAY, "It is watched."))
    with database.write() as connection:
        deliveries.release(connection, [2])
        set_quarantine(connection, 1, False)
        remember(connection, Watched(2, "ended", 0.01, 5, 9, MAY, "It is as good."))
    for words in ("It is the branch.", "It was."):
        remark = partial(comment, text=words, by="ann", at=MAY)
        say(Cases(database), case.id, lambda case, _care, _since: remark(case))  # noqa: B023 - called at once
    assert list(Retention(database, Segments(database, "."), Archive(None), lambda _: (), "ann", MAY).take(AUDIT, 2))
