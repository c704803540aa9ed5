from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from riskloop.core.span import EVERYTHING
from riskloop.core.types import Action, Diagnosis
from riskloop.loop.cases import follow_window
from riskloop.portfolio import Portfolio
from riskloop.store.home import Home
from riskloop.store.windows import Window, save, set_quarantine
from riskloop.views import quarantine

from .conftest import TRAINED

NOW = datetime(2025, 3, 5, tzinfo=UTC)


def faulty() -> Window:
    return Window(
        id=1,
        name="2025-02",
        first_time=datetime(2025, 2, 1, tzinfo=UTC),
        end_time=datetime(2025, 3, 1, tzinfo=UTC),
        first_id=1,
        last_id=10,
        rows=10,
        model_version=1,
        closed_at=NOW,
        matured_at=None,
        diagnosis=Diagnosis.DATA_FAULT,
        confirmed=True,
        action=Action.QUARANTINE,
        sentence="Units changed.",
        rungs=(),
        report=None,
        quarantined=True,
        case_id=None,
    )


@pytest.mark.filterwarnings("error")
def test_a_quarantine_whose_decisions_are_gone_has_no_pd(tmp_path: Path) -> None:
    (tmp_path / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    home = Home.open(tmp_path)
    with home.database.write() as connection:
        save(connection, faulty(), [])
    found = quarantine(home.feed, home.windows, NOW)
    assert found is not None
    assert (found["decisions"], found["mean_pd"], found["default_rate"]) == (10, None, None)
    assert found["sentence"] == "In quarantine: 1 window with 10 decisions since 2025-02-01."
    home.close()


def test_a_fault_is_one_case_also_when_its_outcomes_are_final(tmp_path: Path) -> None:
    (tmp_path / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    home = Home.open(tmp_path)
    with home.database.write() as connection:
        window = follow_window(connection, home.settings, home.cases, home.windows, faulty(), NOW)
    later = datetime(2025, 4, 5, tzinfo=UTC)
    with home.database.write() as connection:
        again = follow_window(
            connection, home.settings, home.cases, home.windows, replace(window, matured_at=later), later
        )
    assert again.case_id == window.case_id
    assert [case.id for case in home.cases.latest()] == [window.case_id]
    home.close()


def test_status_says_how_much_is_in_quarantine_and_asks_where_it_lasts(
    promoted_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    home, now = copied(promoted_folder).home, TRAINED
    assert quarantine(home.feed, home.windows, now) is None
    numbers = [window.id for window in home.windows.latest(3)]
    for held, number in enumerate(numbers, start=1):
        with home.database.write() as connection:
            set_quarantine(connection, number, True)
        found = quarantine(home.feed, home.windows, now)
        assert found is not None
        assert found["windows"] == held
        assert found["decisions"] == sum(window.rows for window in home.windows.quarantined())
        assert f"defaulted at a PD of {found['mean_pd']:.1%}" in found["sentence"]
        assert ("Find out whether the feed is broken" in found["sentence"]) is (held >= home.settings.drift.among)
    assert found is not None
    whole = home.decisions.frame(EVERYTHING, home.feed.maturity(now))
    known = ~np.isnan(whole.outcomes)
    assert found["default_rate"] == pytest.approx(whole.outcomes[known].mean())
    assert found["mean_pd"] == pytest.approx(whole.probabilities[known].mean())
