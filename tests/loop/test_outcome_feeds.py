"""The loop on outcome feeds as lenders have them: late, in files, for the approved only, of defaults only."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from riskloop import views
from riskloop.core.types import Decisions, Diagnosis, Json, to_micros
from riskloop.data.read import rows_from
from riskloop.portfolio import Portfolio
from riskloop.scoring.model import load_model
from riskloop.simulation.embedded import World, month_starts, simulate
from riskloop.simulation.feeds import FEEDS, FeedKind, OutcomeFeed
from riskloop.store.outcomes import Outcome
from riskloop.store.windows import Window

from .conftest import recession

WEEK = timedelta(days=7)


@dataclass
class Book:
    """A portfolio in production, whose outcomes come by one kind of feed."""

    portfolio: Portfolio
    feed: OutcomeFeed
    judged: dict[str, datetime] = field(default_factory=dict)  # windows, and when they were first

    def live(self, month: date, seed: int, world: World, rows: int) -> None:
        """A month of decisions and of weekly cycles."""
        home = self.portfolio.home
        frame = simulate([month], rows, seed, world)
        frame = frame[frame["EDUCATION"] != 0]
        customers = rows_from(frame, home.schema, target="required", where="the simulation")
        assert customers.target is not None
        start = datetime(month.year, month.month, 1, tzinfo=UTC)
        end = (start + timedelta(days=32)).replace(day=1)
        ends = [start + WEEK * k for k in (1, 2, 3)] + [end]
        for first, last in zip([start, *ends], ends, strict=False):
            at = np.flatnonzero((customers.times >= to_micros(first)) & (customers.times < to_micros(last)))
            part = customers.take(at)
            version = home.champion().version
            model = load_model(home.artefact(version), version)
            p = model.probabilities(part.features)
            declined = p >= model.threshold
            decided = Decisions(part.ids, part.times.tolist(), to_micros(last), version, p, declined, part.features)
            logged = home.decisions.append(decided)
            self.feed.decided(logged.first_id, part.times, customers.target[at], declined)
            self.turn(last)

    def turn(self, now: datetime) -> Json:
        """What was handed in until now, and a cycle."""
        for file in self.feed.due(now):
            self.portfolio.home.outcomes.record(file.outcomes, file.at, complete_until=file.complete_until)
        done = self.portfolio.cycle(now=now + timedelta(hours=1))
        for window in done.matured:
            self.judged.setdefault(window["name"], now)
        return done.to_dict()

    @property
    def windows(self) -> list[Window]:
        return self.portfolio.home.windows.latest()


@pytest.fixture
def book(trained_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Book]:
    """A book with the feed that the test is parametrised with."""
    kind: FeedKind = FEEDS[request.param]
    folder = tmp_path / "book"
    shutil.copytree(trained_folder, folder)
    contract = "".join(f'{name} = "{value}"\n' for name, value in kind.settings.items())
    with (folder / "riskloop.toml").open("a", encoding="utf-8") as config:
        config.write(f"[outcomes]\n{contract}[drift]\nevidently_rows = 0\n[policy]\nname = 'manual'\n")
    portfolio = Portfolio.open(folder)
    yield Book(portfolio, OutcomeFeed(kind, portfolio.home.settings.portfolio.outcome_window, seed=7))
    portfolio.home.close()


SOUND = ("on_time", "monthly", "watermark", "late", "corrected")
MONTHS = month_starts(date(2025, 1, 1), 3)


@pytest.mark.parametrize("book", SOUND, indirect=True)
def test_a_recession_is_found_however_the_outcomes_come(book: Book) -> None:
    """With each of these feeds January's outcomes are in by the middle of March, and the month is judged then."""
    for number, month in enumerate(MONTHS):
        book.live(month, 40 + number, recession(), rows=700)
    for week in range(1, 3):
        book.turn(datetime(2025, 4, 1, tzinfo=UTC) + WEEK * week)
    january, february, _march = book.windows
    for window in (january, february):
        assert window.matured_at is not None
        assert window.diagnosis is Diagnosis.CONCEPT_DRIFT
    assert book.judged["2025-01"] <= datetime(2025, 3, 16, tzinfo=UTC)
    frame = book.portfolio.home.decisions.extent(january.span)
    assert frame is not None
    (found,) = [f for f in book.portfolio.home.windows.findings(january.id) if f.check == "auc"]
    assert found.n == frame.rows, "everybody's outcome is counted"


@pytest.mark.parametrize("book", ["approved", "defaults"], indirect=True)
def test_an_unchanged_world_of_approved_customers_is_judged_and_not_retrained_on(book: Book) -> None:
    for number, month in enumerate(MONTHS):
        book.live(month, 40 + number, World(), rows=700)
    book.turn(datetime(2025, 4, 7, tzinfo=UTC))
    january, february, march = book.windows
    assert january.matured_at is not None
    assert february.matured_at is not None
    assert march.matured_at is None
    frame = book.portfolio.home.decisions.frame(january.span)
    assert frame.declined is not None
    (found,) = [f for f in book.portfolio.home.windows.findings(january.id) if f.check == "calibration"]
    assert found.n == np.count_nonzero(~frame.declined)
    assert 0.05 < found.details["observed"] < 0.2, "those who are not reported are good customers"


@pytest.mark.parametrize("book", ["monthly"], indirect=True)
def test_a_window_whose_outcomes_are_due_and_not_there_is_not_judged_and_says_so(book: Book) -> None:
    for number, month in enumerate(MONTHS):
        book.live(month, 40 + number, World(), rows=300)
    january, february, _march = book.windows
    assert january.diagnosis is Diagnosis.STABLE  # judged when the file of 5 March came
    assert february.matured_at is None
    assert february.diagnosis is Diagnosis.NOT_ENOUGH_DATA, "its outcomes are final since 31 March"
    assert "cannot be judged" in february.sentence
    status = views.status(book.portfolio.home, datetime(2025, 4, 2, tzinfo=UTC))["outcomes"]
    assert status["not_judged"] == ["2025-02"]
    (shown,) = [entry for entry in book.portfolio.drift(3).windows if entry["name"] == "2025-02"]
    assert not shown["mature"]
    assert [f["severity"] for f in shown["findings"] if f["check"] == "outcomes"] == ["unknown"]
    book.turn(datetime(2025, 4, 7, tzinfo=UTC))
    assert book.windows[1].diagnosis is Diagnosis.STABLE
    assert not [f for f in book.portfolio.home.windows.findings(2) if f.check == "outcomes"]


@pytest.mark.parametrize("book", ["on_time"], indirect=True)
def test_a_window_is_judged_again_when_outcomes_are_corrected(book: Book) -> None:
    for number, month in enumerate(MONTHS[:2]):
        book.live(month, 40 + number, World(), rows=500)
    march = datetime(2025, 3, 8, tzinfo=UTC)
    assert [w["name"] for w in book.turn(march)["matured"]] == ["2025-01"]
    assert book.turn(march + WEEK)["matured"] == [], "nothing new is known about January"
    home, january = book.portfolio.home, book.windows[0]
    frame = home.decisions.frame(january.span)
    corrections = [(int(number), k % 2 == 0) for k, number in enumerate(frame.ids.tolist())]

    home.outcomes.record([Outcome(bad, march, decision_id=n) for n, bad in corrections], march + 2 * WEEK)
    (again,) = book.turn(march + 2 * WEEK)["matured"]
    assert (again["name"], again["diagnosis"]) == ("2025-01", "concept_drift")
    findings = home.windows.findings(january.id)
    assert len([f for f in findings if f.check == "auc"]) == 1, "what was found before is replaced"
