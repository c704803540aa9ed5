"""When a case ends and when one about the same change is opened again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from riskloop.cases import Case, CaseState, Move
from riskloop.core.types import Action, Diagnosis
from riskloop.loop import renewal, snapshot
from riskloop.loop.cases import follow_window
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.observe import earlier_findings
from riskloop.store import audit
from riskloop.store.cases import move_case, open_case
from riskloop.store.home import Home
from riskloop.store.ledger import Ledger
from riskloop.store.windows import Window, save

JULY = datetime(2025, 7, 1, tzinfo=UTC)


def window(month: int, diagnosis: Diagnosis, *, final: bool) -> Window:
    return Window(
        id=month,
        name=f"2025-{month:02d}",
        first_time=datetime(2025, month, 1, tzinfo=UTC),
        end_time=datetime(2025, month + 1, 1, tzinfo=UTC),
        first_id=1,
        last_id=10,
        rows=10,
        model_version=1,
        closed_at=JULY,
        matured_at=JULY if final else None,
        diagnosis=diagnosis,
        confirmed=False,
        action=Action.NONE,
        sentence="The AUC fell.",
        rungs=(),
        report=None,
        quarantined=False,
        case_id=None,
    )


def champion(version: int) -> ReferenceModel:
    return cast("ReferenceModel", SimpleNamespace(version=version, model=SimpleNamespace(schema=None)))


def followed(home: Home, *windows: Window) -> list[CaseState]:
    for one in windows:
        with home.database.write() as connection:
            follow_window(connection, home.settings, home.cases, home.windows, one, JULY)
    return [case.state for case in home.cases.latest()]


def test_a_window_without_outcomes_says_nothing_about_concept_drift(home: Home) -> None:
    found = window(4, Diagnosis.CONCEPT_DRIFT, final=True)
    assert followed(home, found, window(6, Diagnosis.STABLE, final=False)) == [CaseState.WATCHING]
    assert followed(home, window(5, Diagnosis.STABLE, final=True)) == [CaseState.ENDED]


def test_an_earlier_window_says_nothing_about_a_later_one(home: Home) -> None:
    found = window(5, Diagnosis.COVARIATE_SHIFT, final=False)
    assert followed(home, found, window(4, Diagnosis.STABLE, final=True)) == [CaseState.WATCHING]
    assert followed(home, window(6, Diagnosis.STABLE, final=False)) == [CaseState.ENDED]


def rejected(home: Home, diagnosis: Diagnosis, matured: int, champion: int = 1) -> Case:
    """A case of April whose challenger learned from so many outcomes and was not better than the champion."""
    april = window(4, diagnosis, final=True)
    with home.database.write() as connection:
        save(connection, april, [])
        case = open_case(
            connection,
            Move(CaseState.CONFIRMED, "The AUC fell."),
            at=JULY,
            diagnosis=diagnosis,
            window_id=4,
            champion=1,
        )
        changes = {"learned": matured, "champion": champion, "challenger": 9}
        return move_case(connection, case, Move(CaseState.REJECTED, "Not better.", changes=changes), at=JULY)


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions 1 and 2 were trained, 3 is a recalibration of 1."""
    rows = {
        1: SimpleNamespace(version=1, origin="train", parent=None),
        2: SimpleNamespace(version=2, origin="retrain", parent=1),
        3: SimpleNamespace(version=3, origin="recalibrate", parent=1),
    }
    monkeypatch.setattr(Ledger, "model", lambda self, version: rows[version])


@pytest.fixture
def known(ledger: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set how many outcomes of the new world are known, and whether all of them show the champion to rank worse."""

    def set_(matured: int, *, worse: bool = True) -> None:
        monkeypatch.setattr(snapshot, "count_matured", lambda home, known, start: matured)
        monkeypatch.setattr(renewal, "_still_worse", lambda *_: worse)

    return set_


def test_a_new_concept_is_learned_again_when_its_outcomes_have_doubled(home: Home, known: Callable[..., None]) -> None:
    rejected(home, Diagnosis.CONCEPT_DRIFT, 500)
    assert followed(home, window(5, Diagnosis.CONCEPT_DRIFT, final=True)) == [CaseState.REJECTED]
    known(999)
    assert renewal.renew(home, champion(1), JULY) is None
    known(1000, worse=False)
    assert renewal.renew(home, champion(1), JULY) is None
    known(1000)
    assert renewal.renew(home, champion(1), JULY) is None, "the same outcomes are not looked at again"
    known(2000)
    newest = renewal.renew(home, champion(1), JULY)
    assert newest is not None
    assert newest.state is CaseState.CONFIRMED
    assert newest.window_id == 4, "the new world began where it was first seen"
    assert "Version 9 learned from 500 of their outcomes and was rejected. 2,000 are known now" in newest.sentence
    assert renewal.renew(home, champion(1), JULY) is None, "one open case is enough"


def test_a_recalibrated_champion_still_waits_for_a_better_one(home: Home, known: Callable[..., None]) -> None:
    rejected(home, Diagnosis.CONCEPT_DRIFT, 500)
    known(1000)
    assert renewal.renew(home, champion(2), JULY) is None
    assert renewal.renew(home, champion(3), JULY) is not None


def test_the_word_of_a_person_is_the_last(home: Home, known: Callable[..., None]) -> None:
    rejected(home, Diagnosis.CONCEPT_DRIFT, 500)
    with home.database.write() as connection:
        case = open_case(
            connection,
            Move(CaseState.NEEDS_APPROVAL, "The AUC fell."),
            at=JULY,
            diagnosis=Diagnosis.CONCEPT_DRIFT,
            window_id=4,
            champion=1,
        )
        move_case(connection, case, Move(CaseState.REJECTED, "Rejected: not now"), at=JULY, by="Ms Validator")
    known(5000)
    assert renewal.renew(home, champion(1), JULY) is None


def test_a_look_at_a_rejected_concept_is_repeated_with_more_outcomes_only(
    home: Home, ledger: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log shows no harm, so nothing is opened; every look is on record."""
    rejected(home, Diagnosis.CONCEPT_DRIFT, 500)
    frame = SimpleNamespace(features=np.zeros((4, 1)), outcomes=np.array([0.0, 1.0, 0.0, 1.0]))
    monkeypatch.setattr(snapshot, "read", lambda log, known, schema, start: frame)
    model = SimpleNamespace(schema=None, probabilities=lambda features: np.full(len(features), 0.5))
    asked: list[int] = []

    def worse(*_: object, **__: object) -> bool:
        asked.append(1)
        return False

    monkeypatch.setattr(renewal, "ranks_worse", worse)
    champion = cast(
        "ReferenceModel",
        SimpleNamespace(version=1, model=model, probabilities=np.zeros(0), outcomes=np.zeros(0), trained=None),
    )
    for matured, looks in ((1000, 1), (1100, 1), (1200, 2)):
        monkeypatch.setattr(snapshot, "count_matured", lambda home, known, start, matured=matured: matured)
        assert renewal.renew(home, champion, JULY) is None
        assert len(asked) == looks
    assert [e.document["known"] for e in audit.latest(home.database)[::-1]] == [1000, 1200]


def test_a_changed_mix_is_not(home: Home, known: Callable[..., None]) -> None:
    rejected(home, Diagnosis.COVARIATE_SHIFT, 500)
    known(5000)
    assert followed(home, window(5, Diagnosis.COVARIATE_SHIFT, final=True)) == [CaseState.REJECTED]
    assert renewal.renew(home, champion(1), JULY) is None


def test_what_another_champion_was_compared_with_is_not_learned_again(home: Home, known: Callable[..., None]) -> None:
    rejected(home, Diagnosis.CONCEPT_DRIFT, 500, champion=2)
    known(5000)
    assert renewal.renew(home, champion(1), JULY) is None


def test_a_rejection_binds_the_champion_that_was_compared(home: Home) -> None:
    """Another champion serves now, and it may be worse than the one that the rejected challenger could not beat."""
    rejected(home, Diagnosis.CONCEPT_DRIFT, 500, champion=2)
    followed(home, window(5, Diagnosis.CONCEPT_DRIFT, final=True))
    newest = home.cases.latest()[0]
    assert (newest.state, newest.window_id) == (CaseState.WATCHING, 5)


def test_a_window_is_confirmed_by_those_before_it_however_many_came_after(home: Home) -> None:
    """Outcomes of a daily window are final a month later, when thirty more windows are closed."""
    with home.database.write() as connection:
        for number in range(1, 41):
            save(connection, replace(window(1, Diagnosis.STABLE, final=False), id=number), [])
    assert len(earlier_findings(home.windows, home.settings, 1, before=5)) == home.settings.drift.among
