import csv
import io
import re
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from riskloop.core.types import Decisions, to_micros
from riskloop.store import audit, listing
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome
from riskloop.web import search

from .conftest import MAY, client_of, decide, save, window


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
    monkeypatch.setattr(search, "SIZE", 4)
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


# --------------------------------------------------------------------------- filters, outcomes, files


def mixed(home: Home) -> None:
    """Ten decisions, by turns approved at a PD of 0.25 and declined at 0.75; of some the outcome is known."""
    decide(home, 10)
    known = MAY + timedelta(days=60)
    home.outcomes.record([Outcome(i % 3 == 0, known, decision_id=i) for i in (1, 2, 3, 6)], known)
    home.outcomes.record([Outcome(True, known, decision_id=2)], known)  # a correction


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("outcome=defaulted", [6, 3, 2]),
        ("outcome=paid", [1]),
        ("outcome=unknown&decision=decline", [10, 8, 4]),
        ("decision=approve&order=oldest", [1, 3, 5, 7, 9]),
        ("grade=high", [9, 7, 5, 3, 1]),
        ("grade=very_high&outcome=defaulted", [6, 2]),
        ("grade=low", []),
        ("version=1&flag=yes", []),
        ("version=1&flag=no&high=30", [9, 7, 5, 3, 1]),
        ("version=2", []),
        ("segment=sex%3D2&decision=decline", [10, 8, 6, 4, 2]),
        ("segment=sex%3D1", []),
        ("window=1", [8, 7, 6, 5, 4, 3, 2, 1]),
        ("window=1&outcome=defaulted&order=oldest", [2, 3, 6]),
    ],
)
def test_every_filter_and_its_order(home: Home, query: str, numbers: list[int]) -> None:
    mixed(home)
    end = MAY + timedelta(minutes=8)
    save(home, window(1, first_time=MAY, end_time=end, first_id=1, last_id=8, rows=8))
    assert found(home, query) == numbers


@pytest.mark.parametrize(
    "query", ["outcome=x", "grade=x", "segment=debt%3D1", "segment=sex", "version=x", "window=99", "order=pd", "flag=2"]
)
def test_what_cannot_be_asked_for_is_said(home: Home, query: str) -> None:
    mixed(home)
    assert client_of(home).get(f"/dashboard/decisions?{query}").status_code in (404, 422)
    assert client_of(home).get(f"/dashboard/decisions/export?{query}").status_code in (404, 422)


def test_a_file_holds_all_that_was_found_and_who_took_it_is_on_record(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PART", 3)
    mixed(home)
    client = client_of(home)
    answer = client.get("/dashboard/decisions/export?decision=decline&order=oldest&format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["decision_id"]) for row in rows] == [2, 4, 6, 8, 10]
    assert {row["decision"] for row in rows} == {"decline"}
    assert [row["outcome"] for row in rows] == ["defaulted", "", "defaulted", "", ""]
    whole = client.get("/dashboard/decisions/export?format=parquet").content
    table = pq.read_table(io.BytesIO(whole))
    assert table["decision_id"].to_pylist() == list(range(10, 0, -1))
    nothing = pq.read_table(io.BytesIO(client.get("/dashboard/decisions/export?version=7&format=parquet").content))
    assert nothing.num_rows == 0
    assert client.get("/dashboard/decisions/export?format=xlsx").status_code == 422
    taken = [event.document for event in audit.latest(home.database) if event.action == "export"]
    assert (taken[-1]["format"], taken[-1]["asked"]) == ("csv", {"decision": "decline", "order": "oldest"})
    assert len(taken) == 3


def test_a_persons_history_is_a_search_with_outcomes(home: Home) -> None:
    mixed(home)
    page = client_of(home).get("/dashboard/decisions?customer=c1").text
    assert "<h1>Decisions on c1</h1>" in page
    assert "defaulted" in page.partition("<tbody>")[2]
