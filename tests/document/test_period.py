"""The monitoring report of a period holds what is on record about it, and nothing of other times."""

from datetime import UTC, date, datetime

import pytest
from tests.document.reading import grid_of, number

from riskloop.cases import CaseState, Move
from riskloop.core.errors import ConfigError
from riskloop.core.types import Diagnosis
from riskloop.document.parts import Bullets, Paper, Said
from riskloop.document.period import period_paper
from riskloop.portfolio import Portfolio
from riskloop.store.cases import open_case

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def paper_of(portfolio: Portfolio, first: date, last: date) -> Paper:
    return period_paper(portfolio.home, first, last, NOW)


def sentences(paper: Paper, chapter: str) -> str:
    found = next(one for one in paper.chapters if one.key == chapter).blocks
    texts = [b.text for b in found if isinstance(b, Said)] + [
        t for b in found if isinstance(b, Bullets) for t in b.items
    ]
    return " ".join(texts)


def test_windows_deliveries_and_promotions_are_the_stores(portfolio: Portfolio) -> None:
    home, paper = portfolio.home, paper_of(portfolio, date(2025, 1, 1), date(2025, 3, 31))
    windows = home.windows.latest(10)
    rows = grid_of(paper, "Windows").rows
    assert [(row[0], number(row[7])) for row in rows] == [(w.name, w.rows) for w in windows]
    assert dict(paper.card)["Decisions in them"] == str(sum(w.rows for w in windows))
    for window in windows:
        assert f"{window.name}: {window.sentence}" in sentences(paper, "windows")
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
    promotions = [p for p in home.ledger.promotions() if start <= p.at < end]
    shown = grid_of(paper, "Changes of the champion").rows
    assert [(row[0], row[5]) for row in shown] == [(str(p.seq), p.reason) for p in promotions]
    given = [d for d in home.deliveries.latest(100) if start <= d.at < end]
    if given:
        assert [number(row[4]) for row in grid_of(paper, "Deliveries of outcomes").rows] == [d.recorded for d in given]
    else:
        assert "No outcomes were handed in" in sentences(paper, "outcomes")


@pytest.mark.parametrize(
    ("first", "last", "names"),
    [
        (date(2025, 1, 1), date(2025, 1, 31), ["2025-01"]),
        (date(2025, 2, 1), date(2025, 2, 1), ["2025-02"]),
        (date(2025, 1, 2), date(2025, 1, 31), []),
        (date(2024, 1, 1), date(2024, 12, 31), []),
    ],
)
def test_a_window_belongs_to_the_period_in_which_it_starts(
    portfolio: Portfolio, first: date, last: date, names: list[str]
) -> None:
    paper = paper_of(portfolio, first, last)
    assert dict(paper.card)["Windows"] == str(len(names))
    if names:
        assert [row[0] for row in grid_of(paper, "Windows").rows] == names
    else:
        assert "not on record" in sentences(paper, "windows")


def test_an_open_case_is_an_open_point(portfolio: Portfolio) -> None:
    opened = datetime(2025, 2, 15, tzinfo=UTC)
    with portfolio.home.database.write() as connection:
        move = Move(CaseState.WATCHING, "Debts moved.")
        case = open_case(connection, move, at=opened, diagnosis=Diagnosis.COVARIATE_SHIFT, window_id=2, champion=2)
    paper = paper_of(portfolio, date(2025, 2, 1), date(2025, 2, 28))
    assert [row[0] for row in grid_of(paper, "Cases that were open").rows] == [str(case.id)]
    assert f"Case {case.id} (watching): Debts moved." in sentences(paper, "open")
    assert "No case was open" in sentences(paper_of(portfolio, date(2025, 1, 1), date(2025, 1, 31)), "cases")


def test_a_period_that_ends_before_it_starts(portfolio: Portfolio) -> None:
    with pytest.raises(ConfigError, match="ends on 2025-01-01, before it starts on 2025-02-01"):
        paper_of(portfolio, date(2025, 2, 1), date(2025, 1, 1))
