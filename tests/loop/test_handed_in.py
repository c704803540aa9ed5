"""Outcomes at the door: how complete they can be, and what follows where a watermark is taken back."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.cases import CaseState
from riskloop.core.errors import DataError
from riskloop.core.types import Decisions, Diagnosis, to_micros
from riskloop.loop.cycle import cycle
from riskloop.loop.handed_in import learned_from_open
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import month_starts

from .conftest import live, recession

DAY = timedelta(days=1)
MAY = datetime(2025, 5, 1, tzinfo=UTC)
PER_DAY = 10


@pytest.fixture(params=["all", "defaults"])
def portfolio(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Portfolio]:
    """Three hundred days with ten decisions each, of which every fifth is declined."""
    (tmp_path / "riskloop.toml").write_text(
        '[portfolio]\ntarget = "bad"\nid = "id"\noutcome_window = "30d"\n[features.debt]\n'
        f'[outcomes]\nreported = "{request.param}"\n'
    )
    found = Portfolio.open(tmp_path)
    count = 300 * PER_DAY
    times = [to_micros(MAY + DAY * (i // PER_DAY)) for i in range(count)]
    declined = np.arange(count) % 5 == 0
    ids = [str(i) for i in range(count)]
    found.home.decisions.append(
        Decisions(ids, times, times[-1], 1, np.where(declined, 0.8, 0.1), declined, np.zeros((count, 1)))
    )
    yield found
    found.home.close()


def report(portfolio: Portfolio, days: range, newest: int, until: date | None, *, known: bool = True) -> None:
    """The outcomes of the decisions of ``days``, reported up to the day ``newest``."""
    numbers = [1 + day * PER_DAY + k for day in days for k in range(1, 5)]
    rows = pd.DataFrame({"decision_id": numbers, "default": [int(n % 10 == 2) for n in numbers]})
    if portfolio.home.settings.outcomes.reported == "defaults":
        rows = rows[rows["default"] == 1]
    if known:
        rows["known_at"] = f"{MAY + newest * DAY:%Y-%m-%d}"
    portfolio.record_outcomes(rows, complete_until=until, now=MAY + 400 * DAY)


@pytest.mark.parametrize("beyond", [60, 150, 299])
def test_a_file_cannot_be_complete_up_to_long_after_its_latest_report(portfolio: Portfolio, beyond: int) -> None:
    wrong = (MAY + (60 + beyond) * DAY).date()
    with pytest.raises(DataError, match="the latest report of this file is of 2025-06-30"):
        report(portfolio, range(30), 60, wrong)
    assert portfolio.home.deliveries.latest() == [], "nothing was recorded"
    report(portfolio, range(30), 60, (MAY + 62 * DAY).date())
    assert portfolio.home.deliveries.watermark() == MAY + 63 * DAY
    portfolio.record_outcomes(complete_until=wrong, now=MAY + 400 * DAY)
    assert portfolio.home.deliveries.watermark() == MAY + (61 + beyond) * DAY, "alone it is believed"


def test_files_that_can_be_as_complete_as_they_say_are_taken(portfolio: Portfolio) -> None:
    report(portfolio, range(200), 230, (MAY + 229 * DAY).date())
    # A few corrections of old outcomes: the others came with another file.
    report(portfolio, range(3), 40, (MAY + 231 * DAY).date())
    # Nobody says when they became known: when they are handed in.
    report(portfolio, range(200, 300), 0, (MAY + 350 * DAY).date(), known=False)
    assert portfolio.home.deliveries.watermark() == MAY + 351 * DAY


def test_reports_by_another_spelling_of_the_way_in_are_asked_the_same(portfolio: Portfolio) -> None:
    text = "decision_id,default,known_at\n2,1,2025-06-30\n3,1,2025-06-29\n"
    with pytest.raises(DataError, match="cannot be complete until 2025-12-28"):
        portfolio.record_outcomes(
            pd.read_csv(io.StringIO(text)), complete_until="2025-12-27", now=MAY + 400 * DAY, strict=True
        )


MONTHS = month_starts(date(2025, 1, 1), 3)


@pytest.mark.parametrize("policy", ["manual", "on_drift"])
def test_what_was_judged_up_to_a_watermark_that_goes_back_is_judged_again(
    trained_folder: Path, copied: Callable[[Path], Portfolio], policy: str
) -> None:
    """What was found goes with the outcomes that showed it, and comes back with them; once, not in every cycle."""
    portfolio = copied(trained_folder)
    home = portfolio.home
    config = home.folder / "riskloop.toml"
    with config.open("a", encoding="utf-8") as file:
        file.write(f"[policy]\nname = '{policy}'\n[drift]\nevidently_rows = 0\n")
    home.close()
    portfolio = Portfolio.open(config.parent)
    home = portfolio.home
    for number, month in enumerate(MONTHS):
        live(portfolio, month, 100 + number, recession())
    may = datetime(2025, 5, 20, tzinfo=UTC)
    home.outcomes.record([], may, complete_until=may - DAY)
    cycle(home, may)
    judged = home.windows.latest()[:3]
    assert all(window.matured_at is not None for window in judged)
    opened = [case for case in home.cases.latest() if case.diagnosis is Diagnosis.CONCEPT_DRIFT]
    assert opened
    promoted = home.champion().version > 1
    portfolio.record_outcomes(complete_until="2025-02-20", reason="the month was mistyped", now=may)
    told = learned_from_open(home.feed, home.ledger, home.artefacts, may)
    assert (told is not None) is promoted
    cycle(home, may + DAY)
    after = home.windows.latest()[:3]
    assert [window.matured_at for window in after] == [None] * 3, "the outcomes of January are final on 2 March"
    assert all("cannot be judged" in window.sentence for window in after)
    left = [case for case in home.cases.latest() if case.id in {one.id for one in opened}]
    expected = CaseState.PROMOTED if promoted else CaseState.ENDED
    assert {case.state for case in left} == {expected}, "nobody is asked"
    portfolio.record_outcomes(complete_until="2025-05-19", now=may + 2 * DAY)
    cycle(home, may + 3 * DAY)
    assert [window.diagnosis for window in home.windows.latest()[:3]] == [window.diagnosis for window in judged]
    cycle(home, may + 4 * DAY)
    again = home.windows.latest()[:3]
    assert [window.matured_at for window in again] == [may + 3 * DAY] * 3, "once"
    home.close()
