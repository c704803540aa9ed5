"""The time line: everything lies at its own time, whatever the windows are."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from riskloop.cases import Case, CaseState
from riskloop.core.types import Diagnosis, Promotion, PromotionKind
from riskloop.store.documents import plain
from riskloop.store.home import Home
from riskloop.web.performance import cohorts_of
from riskloop.web.queries import DecisionSummary
from riskloop.web.timeline import LETTER, timeline

from .conftest import psi, save, window


def day(month: int, number: int = 5) -> datetime:
    return datetime(2025, month, number, tzinfo=UTC)


def case(number: int, opened: int, closed: int | None) -> Case:
    state = CaseState.WATCHING if closed is None else CaseState.ENDED
    end = None if closed is None else day(closed)
    return Case(number, day(opened), end, state, Diagnosis.CONCEPT_DRIFT, 1, None, 0, "It moved.")


def promotion(seq: int, at: datetime) -> Promotion:
    return Promotion(seq, seq, None if seq == 1 else seq - 1, PromotionKind.GATE, at, "riskloop", "Better.")


def drawn(home: Home, months: int, *, faulty: int = 0, **happened: Any) -> Any:
    for number in range(1, months + 1):
        save(home, window(number, Diagnosis.DATA_FAULT if number == faulty else Diagnosis.STABLE), psi("debt", 0.01))
    cohorts = cohorts_of(home.database, home.settings, home.windows.latest(12))
    served = [DecisionSummary(10, 10, 0.2, 0.7)] * len(cohorts)
    known = {"cases": [], "models": home.ledger.models(), "promotions": [], **happened}
    figure = timeline(cohorts, served, known["cases"], known["models"], known["promotions"])
    assert json.loads(json.dumps(plain(figure), allow_nan=False))
    return figure


def bars(figure: Any, text: str) -> list[tuple[datetime, datetime]]:
    """From when to when the bars go whose hover text begins so."""
    return [
        (datetime.fromisoformat(one["x"][0]), datetime.fromisoformat(one["x"][1]))
        for one in figure["data"]
        if isinstance(one.get("hovertext"), str) and one["hovertext"].startswith(text)
    ]


def test_a_case_reaches_from_its_first_finding_to_its_end(home: Home) -> None:
    figure = drawn(home, 6, cases=[case(1, 2, 4), case(2, 3, None)])
    assert bars(figure, "case 1") == [(day(2), day(4))]
    ((opened, end),) = bars(figure, "case 2")
    assert opened == day(3)
    assert end.isoformat() == figure["layout"]["xaxis"]["range"][1], "it is open: until the right edge"


def test_a_case_that_ended_when_it_was_opened_is_seen(home: Home) -> None:
    figure = drawn(home, 4, cases=[case(1, 2, 2), case(2, 3, 4)])
    marks = [one for one in figure["data"] if str(one.get("hovertext")).startswith("case")]
    assert [one["text"][0] for one in marks] == ["1", "2"]
    assert all(one["marker"]["opacity"] and one["marker"]["size"] > one["line"]["width"] for one in marks)


@pytest.mark.parametrize("faulty", [1, 3, 5])
def test_a_fault_lies_over_its_own_month(home: Home, faulty: int) -> None:
    figure = drawn(home, 5, faulty=faulty)
    (band,) = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "rect"]
    assert (band["x0"], band["x1"]) == (day(faulty, 1).isoformat(), day(faulty + 1, 1).isoformat())


def test_a_promotion_is_a_line_where_it_was_and_one_after_the_windows_is_in_the_margin(home: Home) -> None:
    late = datetime(2030, 1, 1, tzinfo=UTC)
    figure = drawn(
        home, 4, promotions=[promotion(1, day(1) - timedelta(days=90)), promotion(2, day(3)), promotion(3, late)]
    )
    lines = [datetime.fromisoformat(shape["x0"]) for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    last = datetime.fromisoformat(figure["layout"]["xaxis"]["range"][1])
    assert lines[0] == day(3)
    assert day(5, 1) < lines[1] < last
    assert len(lines) == 2, "what was before the first window is not drawn"
    assert [version for version, _ in bars(figure, "version 1")] == [day(1, 1)], "who served then is"


@pytest.mark.parametrize("months", [1, 2, 11])
def test_any_number_of_windows_can_be_drawn(home: Home, months: int) -> None:
    figure = drawn(home, months, cases=[case(1, 1, None)], promotions=[promotion(1, day(1))])
    marks = next(
        one for one in figure["data"] if isinstance(one.get("hovertext"), list) and "2025-01" in one["hovertext"][0]
    )
    for at, number in zip(marks["x"], range(1, months + 1), strict=True):
        assert day(number, 1) < datetime.fromisoformat(at) < day(number + 1, 1)


def test_no_label_lies_over_another_of_its_lane(home: Home) -> None:
    crowd = [case(number, 2 + number, 3 + number) for number in range(1, 9)]
    figure = drawn(home, 6, cases=crowd)
    first, last = map(datetime.fromisoformat, figure["layout"]["xaxis"]["range"])
    shown = [
        (datetime.fromisoformat(one["x"][0]), one["text"][0])
        for one in figure["data"]
        if isinstance(one.get("hovertext"), str) and one["hovertext"].startswith("case") and one["text"][0]
    ]
    assert 1 <= len(shown) < len(crowd)
    for (at, text), (following, _) in itertools.pairwise(shown):
        assert at + (last - first) * LETTER * len(text) <= following
    assert len(bars(figure, "case")) == len(crowd), "every bar is there, with its words on hover"
