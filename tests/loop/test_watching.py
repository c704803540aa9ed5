"""When a case ends and when one about the same change is opened again."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from riskloop.core.types import Action, Diagnosis
from riskloop.loop import follow
from riskloop.loop.champion import Served
from riskloop.loop.follow import follow_up
from riskloop.loop.snapshot import Snapshot
from riskloop.store.cases import Case, CaseState, advance, open_case
from riskloop.store.home import Home
from riskloop.store.windows import Window, save

JULY = datetime(2025, 7, 1, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    home = Home.open(tmp_path)
    yield home
    home.close()


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
        profile=b"",
        report=None,
        quarantined=False,
        case_id=None,
    )


def champion(version: int) -> Served:
    return cast("Served", SimpleNamespace(version=version))


def followed(home: Home, *windows: Window) -> list[CaseState]:
    for one in windows:
        with home.database.write() as connection:
            follow_up(connection, home, one, JULY)
    return [case.state for case in home.cases.latest()]


def test_a_window_without_outcomes_says_nothing_about_concept_drift(home: Home) -> None:
    found = window(4, Diagnosis.CONCEPT_DRIFT, final=True)
    assert followed(home, found, window(6, Diagnosis.STABLE, final=False)) == [CaseState.WATCHING]
    assert followed(home, window(5, Diagnosis.STABLE, final=True)) == [CaseState.ENDED]


def test_an_earlier_window_says_nothing_about_a_later_one(home: Home) -> None:
    found = window(5, Diagnosis.COVARIATE_SHIFT, final=False)
    assert followed(home, found, window(4, Diagnosis.STABLE, final=True)) == [CaseState.WATCHING]
    assert followed(home, window(6, Diagnosis.STABLE, final=False)) == [CaseState.ENDED]


def refused(home: Home, diagnosis: Diagnosis, matured: int, champion: int = 1) -> Case:
    """A case of April whose challenger learned from so many outcomes and was not better than the champion."""
    april = window(4, diagnosis, final=True)
    with home.database.write() as connection:
        save(connection, april, [])
        case = open_case(
            connection, at=JULY, state=CaseState.CONFIRMED, diagnosis=diagnosis, window_id=4, sentence="The AUC fell."
        )
        document = {"matured": matured, "champion": champion}
        return advance(connection, case, CaseState.REFUSED, "Not better.", at=JULY, document=document)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set how many outcomes of the new world are known, and whether all of them show the champion to rank worse."""

    def set_(matured: int, *, worse: bool = True) -> None:
        monkeypatch.setattr(Snapshot, "matured", lambda self, home, start: matured)
        monkeypatch.setattr(follow, "_still_worse", lambda home, served, start, now: worse)

    return set_


def test_a_new_concept_is_learned_again_when_its_outcomes_have_doubled(home: Home, known: Callable[..., None]) -> None:
    refused(home, Diagnosis.CONCEPT_DRIFT, 500)
    assert followed(home, window(5, Diagnosis.CONCEPT_DRIFT, final=True)) == [CaseState.REFUSED]
    known(999)
    assert follow.renew(home, champion(1), JULY) is None
    known(1000, worse=False)
    assert follow.renew(home, champion(1), JULY) is None
    known(1000)
    newest = follow.renew(home, champion(1), JULY)
    assert newest is not None
    assert newest.state is CaseState.CONFIRMED
    assert newest.window_id == 4, "the new world began where it was first seen"
    assert "which was refused, learned from 500 of their outcomes, 1,000 are known now" in newest.sentence
    assert follow.renew(home, champion(1), JULY) is None, "one open case is enough"


def test_a_changed_mix_is_not(home: Home, known: Callable[..., None]) -> None:
    refused(home, Diagnosis.COVARIATE_SHIFT, 500)
    known(5000)
    assert followed(home, window(5, Diagnosis.COVARIATE_SHIFT, final=True)) == [CaseState.REFUSED]
    assert follow.renew(home, champion(1), JULY) is None


def test_what_another_champion_was_compared_with_is_not_learned_again(home: Home, known: Callable[..., None]) -> None:
    refused(home, Diagnosis.CONCEPT_DRIFT, 500, champion=2)
    known(5000)
    assert follow.renew(home, champion(1), JULY) is None


def test_a_refusal_binds_the_champion_that_was_compared(home: Home) -> None:
    """Another champion serves now, and it may be worse than the one that the refused challenger could not beat."""
    refused(home, Diagnosis.CONCEPT_DRIFT, 500, champion=2)
    followed(home, window(5, Diagnosis.CONCEPT_DRIFT, final=True))
    newest = home.cases.latest()[0]
    assert (newest.state, newest.window_id) == (CaseState.WATCHING, 5)
