import re
from datetime import timedelta

import pytest

from riskloop.core.types import Decisions, to_micros
from riskloop.store import listing
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome
from riskloop.web import decisions

from .conftest import MAY, client_of, decide


def found(home: Home, query: str) -> list[int]:
    page = client_of(home).get(f"/dashboard/decisions?{query}")
    assert page.status_code == 200, page.text
    return [int(number) for number in re.findall(r'<th scope="row"><a href="/dashboard/decisions/(\d+)"', page.text)]


def test_without_decisions_it_says_what_to_do(home: Home) -> None:
    page = client_of(home).get("/dashboard/decisions").text
    assert "No decision yet." in page
    assert "<code>POST /predict</code>" in page


def test_the_newest_come_first_and_the_others_behind_a_link(home: Home) -> None:
    decide(home, 120)
    seen, address = [], "/dashboard/decisions"
    for _ in range(3):
        page = client_of(home).get(address).text
        seen += [int(n) for n in re.findall(r'<th scope="row"><a href="/dashboard/decisions/(\d+)"', page)]
        address = following(page)
    assert seen == list(range(120, 0, -1))
    assert not address


def test_a_number_leads_to_its_decision(home: Home) -> None:
    decide(home, 3)
    answer = client_of(home).get("/dashboard/decisions?id=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/decisions/2")
    assert client_of(home).get("/dashboard/decisions?id=x").status_code == 422


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("customer=c7", [8]),
        ("low=50", [10, 8, 6, 4, 2]),
        ("high=50", [9, 7, 5, 3, 1]),
        ("low=25&high=25", [9, 7, 5, 3, 1]),
        ("customer=c7&high=50", []),
        ("since=2025-05-02", []),
        ("until=2025-05-01&low=50", [10, 8, 6, 4, 2]),
        ("since=2025-05-01&until=2025-05-01&customer=c0", [1]),
    ],
)
def test_search_by_customer_time_and_score(home: Home, query: str, numbers: list[int]) -> None:
    decide(home, 10)
    assert found(home, query) == numbers


def test_times_that_are_equal_are_paged_without_a_gap(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "SIZE", 4)
    decide(home, 10)
    same = home.decisions.chunk(1, 10)
    times = [to_micros(MAY + timedelta(days=1))] * 10
    home.decisions.append(
        Decisions(same.customer_ids, times, same.scored_at, 1, same.probabilities, same.defaults, same.features)
    )
    seen, address = [], "/dashboard/decisions?since=2025-05-01"
    while address:
        page = client_of(home).get(address).text
        seen += [int(n) for n in re.findall(r'<th scope="row"><a href="/dashboard/decisions/(\d+)"', page)]
        address = following(page)
    assert seen == list(range(20, 0, -1))


def test_a_search_looks_through_a_bounded_number_and_goes_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 20)
    decide(home, 50)
    home.decisions.append(home.decisions.chunk(1, 1))
    page = client_of(home).get("/dashboard/decisions?low=99").text
    assert "Nothing among the 20 newest" in page
    address = following(page)
    assert "after=32." in address
    last = client_of(home).get(following(client_of(home).get(address).text)).text
    assert "No decision is like that." in last


def following(page: str) -> str:
    """The address of the next page, empty on the last one."""
    found: list[str] = re.findall(r'href="([^"]+)" rel="next"', page)
    return found[0].replace("&amp;", "&") if found else ""


@pytest.mark.parametrize("query", ["low=x", "high=101", "since=yesterday", "after=nonsense"])
def test_what_cannot_be_read_is_refused_with_a_sentence(home: Home, query: str) -> None:
    page = client_of(home).get(f"/dashboard/decisions?{query}")
    assert page.status_code == 422
    assert page.headers["content-type"].startswith("text/html")


def test_one_decision_shows_inputs_reasons_and_what_became_of_it(home: Home) -> None:
    decide(home, 4)
    home.outcomes.record([Outcome(True, MAY + timedelta(days=20), decision_id=2)], MAY + timedelta(days=21))
    page = client_of(home).get("/dashboard/decisions/2").text
    for shown in ("75.00%", "debt = 9 raises the risk", "protected, not read", "Defaulted", "Replay"):
        assert shown in page
    assert "final from 31 May 2025 on" in client_of(home).get("/dashboard/decisions/1").text
    assert client_of(home).get("/dashboard/decisions/99").status_code == 404


def test_a_replay_is_compared_to_the_last_bit(home: Home) -> None:
    decide(home, 2)
    page = client_of(home).get("/dashboard/decisions/2?replay=1").text
    assert "The replay gives another probability." in page  # the log was written by hand, with 0.75
    home.decisions.append(_as_scored(home))
    assert "to the last bit" in client_of(home).get("/dashboard/decisions/3?replay=1").text


def _as_scored(home: Home) -> Decisions:
    from riskloop.scoring.model import load_model

    logged = home.decisions.chunk(2, 1)
    probabilities = load_model(home.artefact(1), 1).probabilities(logged.features)
    return Decisions(
        logged.customer_ids, logged.times, logged.scored_at, 1, probabilities, logged.defaults, logged.features
    )
