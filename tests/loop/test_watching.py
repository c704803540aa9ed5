"""A first finding is watched until a window that can tell says that it went away."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from riskloop.core.types import Action, Diagnosis
from riskloop.loop.follow import follow_up
from riskloop.store.cases import CaseState
from riskloop.store.home import Home
from riskloop.store.windows import Window

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
