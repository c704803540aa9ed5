"""The loop on outcome feeds as lenders have them: late, in files, for the approved only, of defaults only, broken."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from benchmarks.feeds import WEEK, Book, contract
from riskloop import views
from riskloop.cases import CaseState
from riskloop.core.errors import Conflict
from riskloop.core.types import Diagnosis, Finding, PromotionKind, Severity, to_micros
from riskloop.loop.champion import load
from riskloop.loop.labels import doubts, level_doubts
from riskloop.monitor.labels import DEFINITION
from riskloop.monitor.overtime import RANKING_OVER_TIME
from riskloop.monitor.steps import LevelStep
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import World, month_starts
from riskloop.simulation.feeds import FEEDS, FeedKind, SimulatedFeed
from riskloop.store import tables
from riskloop.store.outcomes import Outcome

from .conftest import recession

MANUAL = "[policy]\nname = 'manual'\n"


@pytest.fixture
def book(trained_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Book]:
    """A book that is never retrained, with the feed that the test is parametrised with."""
    yield from opened(trained_folder, tmp_path, FEEDS[request.param], MANUAL)


@pytest.fixture
def broken(trained_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Book]:
    """A book that is retrained as usual, with a feed that breaks on the first of April, and the feed's seed."""
    kind, seed = request.param
    yield from opened(trained_folder, tmp_path, FEEDS[kind], "", seed, since=datetime(2025, 4, 1, tzinfo=UTC))


def opened(
    trained: Path, place: Path, kind: FeedKind, extra: str, seed: int = 7, since: datetime | None = None
) -> Iterator[Book]:
    folder = place / "book"
    shutil.copytree(trained, folder)
    with (folder / "riskloop.toml").open("a", encoding="utf-8") as config:
        config.write(f"{contract(kind)}[drift]\nevidently_rows = 0\n{extra}")
    portfolio = Portfolio.open(folder)
    yield Book(portfolio, SimulatedFeed(kind, portfolio.home.settings.portfolio.outcome_window, seed, since))
    portfolio.home.close()


SOUND = ("on_time", "monthly", "watermark", "late", "corrected")
MONTHS = month_starts(date(2025, 1, 1), 3)
MONTHS_END = datetime(2025, 3, 5, tzinfo=UTC)


@pytest.mark.parametrize("book", SOUND, indirect=True)
def test_a_recession_is_found_however_the_outcomes_come(book: Book) -> None:
    """With each of these feeds January's outcomes are in by the middle of March, and the month is judged then."""
    for number, month in enumerate(MONTHS):
        book.live(month, 40 + number, recession(), rows=1_500)
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
    assert status["judged_next"] == []
    (shown,) = [entry for entry in book.portfolio.drift(3).windows if entry["name"] == "2025-02"]
    assert not shown["mature"]
    assert [f["severity"] for f in shown["findings"] if f["check"] == "outcomes"] == ["unknown"]
    book.turn(datetime(2025, 4, 7, tzinfo=UTC))
    assert book.windows[1].diagnosis is Diagnosis.STABLE
    assert not [f for f in book.portfolio.home.windows.findings(2) if f.check == "outcomes"]


@pytest.mark.parametrize("book", ["on_time"], indirect=True)
def test_what_waits_for_the_loop_is_not_asked_of_a_person(book: Book) -> None:
    """Outcomes have come, and no cycle looked at them since."""
    home = book.portfolio.home
    for number, month in enumerate(MONTHS):
        book.live(month, 40 + number, World(), rows=300)
    with home.database.write() as connection:
        connection.execute(update(tables.windows).values(matured_at=None))
    now = datetime(2025, 8, 1, tzinfo=UTC)
    status = views.status(home, now)
    assert status["outcomes"]["judged_next"] == status["outcomes"]["not_judged"] != []
    steps = [step["command"] for step in status["next"]]
    assert "riskloop watch --once" in steps
    assert not status["outcomes"]["late"] or steps.index("riskloop watch --once") < steps.index(
        "riskloop outcomes FILE"
    )


@pytest.mark.parametrize("book", ["on_time"], indirect=True)
def test_a_window_is_judged_again_when_outcomes_are_corrected(book: Book) -> None:
    for number, month in enumerate(MONTHS[:2]):
        book.live(month, 40 + number, World(), rows=500)
    march = datetime(2025, 3, 8, tzinfo=UTC)
    assert [w["name"] for w in book.turn(march)["matured"]] == ["2025-01"]
    assert book.turn(march + WEEK)["matured"] == [], "nothing new is known about January"
    home, january = book.portfolio.home, book.windows[0]
    frame = home.decisions.frame(january.span)
    before = rate(home.windows.findings(january.id))
    corrections = [Outcome(True, march, decision_id=int(number)) for number in frame.ids[::20]]
    home.outcomes.record(corrections, march + 2 * WEEK)
    assert [w["name"] for w in book.turn(march + 2 * WEEK)["matured"]] == ["2025-01"]
    after = rate(home.windows.findings(january.id))
    assert before < after < before + 0.05
    assert len([f for f in home.windows.findings(january.id) if f.check == "auc"]) == 1, "what was found is replaced"


def rate(found: list[Finding]) -> float:
    (level,) = [finding for finding in found if finding.check == "calibration"]
    return float(level.details["observed"])


# --------------------------------------------------------------------------- labels that break

FAULTS = [(kind, seed) for kind in ("definition", "inverted", "goods_late") for seed in (1, 2)]
FIVE = month_starts(date(2025, 1, 1), 5)


@pytest.mark.parametrize("broken", FAULTS, indirect=True, ids=[f"{kind}-{seed}" for kind, seed in FAULTS])
def test_no_fault_of_the_labels_is_learned_from_and_each_is_said(broken: Book, request: pytest.FixtureRequest) -> None:
    kind, seed = request.node.callspec.params["broken"]
    # So small a history allows for much common movement: another definition shows in more rows, and not in one month.
    months, rows = (FIVE, 2000) if kind == "definition" else (FIVE[:4], 600)
    for number, month in enumerate(months):
        broken.live(month, 200 * seed + number, World(), rows)
    broken.wait(6, datetime(2025, len(months) + 1, 1, tzinfo=UTC))
    home = broken.portfolio.home
    assert [promotion.kind for promotion in home.ledger.promotions()] == [PromotionKind.FIRST]
    march = broken.windows[2]
    found = {f.check: f for f in home.windows.findings(broken.windows[len(months) - 2].id)}
    cases = {case.diagnosis: case for case in home.cases.latest()}
    if kind == "definition":
        assert found["labels_definition"].severity is Severity.DRIFTED
        judged = home.cases.judged(cases[Diagnosis.PRIOR_SHIFT].id)
        assert judged is not None
        (labels,) = [check for check in judged.report.checks if check.name == "labels"]
        assert labels.passed is False
        assert "another definition of default" in labels.sentence
    elif kind == "inverted":
        assert cases[Diagnosis.LABEL_FAULT].state is CaseState.QUARANTINED
        assert march.matured_at is None
        assert "cannot be judged" in march.sentence
    else:
        assert found["labels_late"].severity is Severity.DRIFTED
        assert march.diagnosis is Diagnosis.STABLE


@pytest.fixture
def silent(trained_folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Book]:
    """A book of which only defaults are reported, with labels that break on the first of April."""
    kind = replace(FEEDS["defaults"], labels=request.param)
    yield from opened(trained_folder, tmp_path, kind, MANUAL, since=datetime(2025, 4, 1, tzinfo=UTC))


@pytest.mark.parametrize("silent", ["sound", "definition"], indirect=True)
def test_another_definition_is_asked_about_where_only_defaults_are_reported(
    silent: Book, request: pytest.FixtureRequest
) -> None:
    for number, month in enumerate(FIVE):
        silent.live(month, 200 + number, World(), rows=1_500)
    silent.wait(2, datetime(2025, 6, 1, tzinfo=UTC))
    april = {f.check: f for f in silent.portfolio.home.windows.findings(silent.windows[3].id)}
    sound = request.node.callspec.params["silent"] == "sound"
    definition = april["labels_definition"]
    assert definition.severity is (Severity.OK if sound else Severity.DRIFTED)
    assert april["labels_one_class"].severity is Severity.OK
    assert "labels_late" not in april, "who is silent has no date"
    assert ("may be another definition" in definition.sentence) is not sound


@pytest.mark.parametrize("broken", [("inverted", 1)], indirect=True)
def test_quarantined_outcomes_count_when_a_person_releases_them_and_are_not_held_again(broken: Book) -> None:
    for number, month in enumerate(FIVE[:3]):
        broken.live(month, 200 + number, World(), rows=600)
    broken.wait(5, datetime(2025, 4, 1, tzinfo=UTC))
    home, portfolio = broken.portfolio.home, broken.portfolio
    (case,) = [case for case in home.cases.latest() if case.diagnosis is Diagnosis.LABEL_FAULT]
    held = home.deliveries.held()
    assert held
    assert {delivery.case_id for delivery in held} == {case.id}
    settled = home.feed.maturity(datetime(2025, 5, 6, tzinfo=UTC))
    assert home.outcomes.matured(to_micros(datetime(2025, 3, 15, tzinfo=UTC)), settled) == 0
    released = portfolio.release(case.id, by="anna", note="The file is right.")
    assert released.state == "ended"
    assert home.deliveries.held() == []
    broken.turn(datetime(2025, 5, 13, tzinfo=UTC))
    assert home.deliveries.held() == [], "a person's word is the last"
    assert broken.windows[2].matured_at is not None
    assert broken.windows[2].diagnosis is Diagnosis.CONCEPT_DRIFT
    with pytest.raises(Conflict, match="no quarantined outcomes"):
        portfolio.release(case.id, by="anna", note="again")


@pytest.mark.parametrize("book", ["definition"], indirect=True)
def test_a_new_definition_of_default_in_the_config_is_in_manifest_and_report(book: Book) -> None:
    home = book.portfolio.home
    champion = load(home, 1)
    assert champion.manifest.training.definition == "1"
    known = home.feed.maturity(MONTHS_END)
    assert doubts(home.feed, home.windows, champion, known) == ()
    other = home.settings.model_copy(
        update={"outcomes": home.settings.outcomes.model_copy(update={"definition": "90 days past due"})}
    )
    (doubt,) = doubts(replace(home.feed, settings=other), home.windows, champion, known)
    assert "learned definition '1' of default, and outcomes follow definition '90 days past due'" in doubt


@pytest.mark.parametrize("book", ["on_time"], indirect=True)
def test_outcomes_that_leave_another_level_open_need_a_person_before_a_window_is_judged(book: Book) -> None:
    """Sixty customers a month exclude no step: what is learned from is what counts."""
    home = book.portfolio.home
    champion = load(home, 1)
    book.live(MONTHS[0], 40, World(), rows=60)
    book.turn(MONTHS_END)
    (few,) = doubts(home.feed, home.windows, champion, home.feed.maturity(MONTHS_END))
    assert "does not exclude a step of the level by 40%" in few
    assert "where the champion expected" in few


class _Judged:
    """Windows of a champion of which the latest judged one says `found`."""

    def __init__(self, moved: list[Finding], found: list[Finding]) -> None:
        self._moved, self._found = moved, found

    def moved(self, version: int, check: str) -> list[Finding]:
        return self._moved

    def of_model(self, version: int, limit: int) -> list[SimpleNamespace]:
        return [SimpleNamespace(id=1, matured_at=MONTHS[0]), SimpleNamespace(id=2, matured_at=None)]

    def findings(self, number: int) -> list[Finding]:
        assert number == 1, "the one that is judged"
        return self._found


@pytest.mark.parametrize(("p_value", "observed", "asked"), [(0.004, 60, 1), (0.2, 60, 0), (0.004, 96, 0)])
def test_a_level_that_nothing_calls_is_asked_about_before_a_promotion(
    p_value: float, observed: int, asked: int
) -> None:
    details = {"p_value": p_value, "observed": observed, "expected": 100.0, "months": 3}
    odd = DEFINITION.finding("window", Severity.OK, (900, 0), "nothing is called", details=details)
    windows: Any = _Judged([], [odd])
    found = level_doubts(windows, 1, [], 0.4)
    assert len(found) == asked
    assert all("60 defaults, where the champion expected 100" in doubt for doubt in found)
    called = replace(odd, severity=Severity.DRIFTED, sentence="it is called")
    said: Any = _Judged([called], [odd])
    assert level_doubts(said, 1, [], 0.4) == ["it is called"]


def test_a_step_that_is_left_open_is_asked_about_unless_the_world_explains_it() -> None:
    """A difference is named before what cannot be excluded; where the ranking moved, only fewer defaults are."""
    left = LevelStep(to_micros(datetime(2025, 3, 5, tzinfo=UTC)), 6, 9.8, 0.3, 1.3)
    fewer = left._replace(most=0.9)
    quiet: Any = _Judged([], [])
    (asked,) = level_doubts(quiet, 1, [left], 0.4)
    assert asked.startswith("The outcomes reported since 5 March 2025 hold 6 defaults, where the champion expected 9.8")
    assert level_doubts(quiet, 1, [left._replace(fewest=0.7)], 0.4) == []
    assert level_doubts(quiet, 1, [left], 0.8) == []
    ranked = RANKING_OVER_TIME.finding("window", Severity.DRIFTED, (900, 0), "it ranks otherwise")
    moved: Any = _Judged([], [ranked])
    assert level_doubts(moved, 1, [left], 0.4) == []
    assert "The ranking has changed, too" in level_doubts(moved, 1, [fewer], 0.4)[0]
