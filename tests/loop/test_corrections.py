"""What a file of corrections does to the defaults that were known: of a rare book they are few among all outcomes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from riskloop.core.types import Decisions, Diagnosis, to_micros
from riskloop.loop.labels import examine
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome

DAY = timedelta(days=1)
MAY = datetime(2025, 5, 1, tzinfo=UTC)
JULY = MAY + 65 * DAY
ROWS, PD = 3_000, 0.005


@pytest.fixture(params=["all", "defaults"])
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A month of customers of whom one in two hundred is to default."""
    (tmp_path / "riskloop.toml").write_text(
        f'[portfolio]\ntarget = "bad"\n[features.debt]\n[outcomes]\nreported = "{request.param}"\n'
    )
    found = Home.open(tmp_path)
    times = [to_micros(MAY + DAY * (i % 30)) for i in range(ROWS)]
    p, nobody = np.full(ROWS, PD), np.zeros(ROWS, dtype=np.bool_)
    found.decisions.append(
        Decisions([str(i) for i in range(ROWS)], times, times[-1], 1, p, nobody, np.zeros((ROWS, 1)))
    )
    yield found
    found.close()


def hand_in(home: Home, bad: set[int], about: range | set[int], at: datetime) -> list[str]:
    """What is said of a file; where only defaults are reported it holds no others, but for withdrawn ones."""
    silent = home.settings.outcomes.reported == "defaults"
    chosen = about if isinstance(about, set) or not silent else bad
    home.outcomes.record([Outcome(number in bad, at, decision_id=number) for number in sorted(chosen)], at)
    return examine(home.feed, home.cases, 1, at)


EVERY = range(1, ROWS + 1)
TRUE = {7 + 199 * k for k in range(15)}


@pytest.mark.parametrize("withdrawn", [11, 15])
@pytest.mark.parametrize("files", [1, 3])
def test_withdrawn_defaults_are_quarantined_however_few_they_are(home: Home, withdrawn: int, files: int) -> None:
    assert hand_in(home, TRUE, EVERY, JULY) == []
    gone = sorted(TRUE)[:withdrawn]
    said = []
    for number in range(files):
        # Few at a time are looked at together with what else came, or when they were waited for long enough.
        said += hand_in(home, set(), set(gone[number::files]), JULY + (1 + 5 * number) * DAY)
    said += examine(home.feed, home.cases, 1, JULY + 50 * DAY)
    assert home.feed.deliveries.held() != []
    assert "known defaults are withdrawn at once" in " ".join(said)
    assert [case.diagnosis for case in home.cases.latest()] == [Diagnosis.LABEL_FAULT]


def test_wrong_reports_that_are_corrected_are_sound(home: Home) -> None:
    wrong = {1 + 101 * k for k in range(29)} - TRUE
    assert hand_in(home, TRUE | wrong, EVERY, JULY) == []
    if home.settings.outcomes.reported == "defaults":
        wrong = set(sorted(wrong)[:3])  # of a file of defaults alone the corrected ones are counted of the defaults
    assert hand_in(home, set(), wrong, JULY + DAY) == [], "most of the known defaults, and none of the true ones"
    assert hand_in(home, set(), set(sorted(TRUE)[:4]), JULY + 60 * DAY) == [], "a few cures"
    assert home.feed.deliveries.held() == []
