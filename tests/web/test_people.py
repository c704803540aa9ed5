"""What people do about cases: the same over page, API and command, each once on the audit trail, under four eyes."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest
from tests.test_cli import run

from riskloop.cases import Case, CaseState, Move
from riskloop.core.errors import Conflict, GateRefused
from riskloop.core.types import Diagnosis, Json, PromotionKind
from riskloop.portfolio import Portfolio
from riskloop.store import audit
from riskloop.store.cases import move_case, open_case
from riskloop.store.deliveries import hold
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role
from riskloop.store.tables import models

from .conftest import MAY, Browser, add_model, client_of, promote
from .test_cases import judged, order, quarantine, waiting_case

NOW = datetime(2025, 6, 1, tzinfo=UTC)
DEEDS = ("approve", "reject", "release", "close", "comment", "assign", "acknowledge")


def fingerprint(home: Home, case: Case) -> str:
    said = home.cases.judged(case.id)
    assert said is not None
    return said.fingerprint


def body_of(home: Home, case: Case, deed: str) -> Json:
    """What a ticket tool sends."""
    if deed == "approve":
        return {"note": "Seen.", "evidence": fingerprint(home, case)}
    return {"note": "Seen.", **({"to": "bea"} if deed == "assign" else {})}


def trail(home: Home) -> list[tuple[str, str, str]]:
    """Deeds on the audit trail, oldest first, without what the fixtures left there."""
    mine = ("promote", "reject", "release", "close", "comment", "assign", "acknowledge")
    return [(e.by, e.action, e.subject) for e in reversed(audit.latest(home.database)) if e.action in mine][1:]


def post(client: Browser, case: Case, deed: str, sent: Json, **options: Any) -> httpx.Response:
    return client.post(f"/cases/{case.id}/{deed}", json=sent, **options)


# --------------------------------------------------------------------------- the ways


def by_page(home: Home, case: Case, deed: str, by: str) -> int:
    fields = {"note": "Seen.", "by": by, **({"to": "bea"} if deed == "assign" else {})}
    status, _ = order(client_of(home), f"/dashboard/cases/{case.id}/{deed}", **fields)
    return status


def by_api(home: Home, case: Case, deed: str, by: str) -> int:
    key = Keys(home.database).create(by, [Role.OPERATE], at=NOW, by="test")
    return post(client_of(home), case, deed, body_of(home, case, deed), headers={"x-api-key": key}).status_code


def by_command(home: Home, case: Case, deed: str, by: str) -> int:
    words = ["cases", deed, str(case.id), *(["bea"] if deed == "assign" else []), "--note", "Seen.", "--by", by]
    words += ["--evidence", fingerprint(home, case)[:12]] if deed == "approve" else []
    return run(*words, folder=home.folder).code


def by_python(home: Home, case: Case, deed: str, by: str) -> int:
    portfolio = Portfolio(home)
    if deed == "approve":
        portfolio.approve(case.id, by=by, note="Seen.", evidence=fingerprint(home, case))
    elif deed == "assign":
        portfolio.assign(case.id, "bea", by=by, note="Seen.")
    else:
        getattr(portfolio, deed)(case.id, note="Seen.", by=by)
    return 0


Way = Callable[[Home, Case, str, str], int]
WAYS: dict[str, Way] = {"page": by_page, "api": by_api, "command": by_command, "python": by_python}
WELL = {"page": 303, "api": 200, "command": 0, "python": 0}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("deed", DEEDS)
def test_every_deed_by_every_way_is_done_and_on_the_trail_once(home: Home, way: str, deed: str) -> None:
    case = quarantine(home) if deed in ("release", "close") else waiting_case(home)
    assert WAYS[way](home, case, deed, "ann") == WELL[way]
    about = ("promote", "model 2") if deed == "approve" else (deed, f"case {case.id}")
    assert trail(home) == [("ann", *about)]
    told = client_of(home).get(f"/dashboard/cases/{case.id}") if way != "api" else None
    assert told is None or "Seen." in told.text


# --------------------------------------------------------------------------- four eyes


@pytest.fixture
def careful(empty: Home) -> Iterator[Home]:
    """A portfolio with a champion, where four eyes are needed."""
    config = empty.folder / "riskloop.toml"
    config.write_text(config.read_text() + "[gate]\nfour_eyes = true\n")
    home = Home.open(empty.folder)
    promote(home, add_model(home))
    yield home
    home.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hand", ["trained", "moved"])
def test_four_eyes_hold_over_every_way(careful: Home, way: str, hand: str) -> None:
    home, case = careful, waiting_case(careful)
    if hand == "trained":
        with home.database.engine.begin() as connection:
            connection.execute(models.update().where(models.c.version == 2).values(registered_by="Ann"))
    else:
        with home.database.write() as connection:
            case = move_case(connection, case, Move(CaseState.NEEDS_APPROVAL, "Again."), at=MAY, by="Ann")
    if way == "python":
        with pytest.raises(GateRefused, match="four eyes"):
            by_python(home, case, "approve", "ann")
    else:
        assert (
            WAYS[way](home, case, "approve", "ann") == {"page": 422, "api": 422, "command": GateRefused.exit_code}[way]
        )
    assert home.champion().version == 1
    assert trail(home) == []
    assert WAYS[way](home, case, "approve", "dora") == WELL[way]
    assert home.champion().kind is PromotionKind.APPROVED


def test_a_comment_is_no_hand_in_the_version(careful: Home) -> None:
    home, case = careful, waiting_case(careful)
    for deed in ("comment", "acknowledge"):
        by_python(home, case, deed, "ann")
    by_python(home, case, "approve", "ann")
    assert home.champion().version == 2


# --------------------------------------------------------------------------- the API


def test_the_api_answers_with_the_case_and_what_was_said(home: Home) -> None:
    case, client = waiting_case(home), client_of(home)
    answer = post(client, case, "comment", {"note": "It is the branch."}).json()
    assert answer["notes"] == [{**answer["notes"][0], "kind": "comment", "by": "local", "text": "It is the branch."}]
    assert post(client, case, "assign", {"to": "bea"}).json()["assigned_to"] == "bea"
    seen = post(client, case, "acknowledge", {}).json()
    assert (seen["acknowledged_by"], seen["state"]) == ("local", "needs_approval")
    assert client.get(f"/cases/{case.id}").json() == seen
    assert client.get("/cases").json()[0]["assigned_to"] == "bea"
    assert post(client, case, "assign", {"to": None}).json()["assigned_to"] is None


def held(home: Home) -> Case:
    """A case that holds a delivery of outcomes."""
    home.outcomes.record([], MAY, complete_until=MAY)
    (delivery,) = home.deliveries.latest()
    with home.database.write() as connection:
        step = Move(CaseState.QUARANTINED, "Good and bad are exchanged.")
        case = open_case(connection, step, at=MAY, diagnosis=Diagnosis.LABEL_FAULT, window_id=0, champion=1)
        hold(connection, [delivery.id], case.id)
    return case


def test_a_quarantined_delivery_is_released_over_the_api(home: Home) -> None:
    case = held(home)
    assert post(client_of(home), case, "release", {"note": "They are right."}).json()["state"] == "ended"
    assert not any(delivery.held for delivery in home.deliveries.latest())


@pytest.mark.parametrize(
    ("deed", "sent", "status", "words"),
    [
        ("approve", {"note": "Yes.", "evidence": "0" * 64}, 422, "given for other evidence"),
        ("approve", {"note": "Yes."}, 422, "evidence"),
        ("approve", {"note": "Yes.", "evidence": "short"}, 422, "evidence"),
        ("reject", {"note": "  "}, 422, "note"),
        ("reject", {"note": "No.", "why": "x"}, 422, "why"),
        ("reject", {}, 422, "note"),
        ("release", {"note": "Yes."}, 409, "holds no quarantined window"),
        ("close", {"note": "Yes."}, 409, "can be closed"),
        ("assign", {}, 422, "to"),
        ("assign", {"to": " "}, 422, "to"),
        ("assign", {"to": None}, 409, "assigned to nobody already"),
        ("comment", {"note": ""}, 422, "note"),
        ("comment", {"note": "x" * 2001}, 422, "note"),
    ],
)
def test_what_cannot_be_done_says_why_and_does_nothing(
    home: Home, deed: str, sent: Json, status: int, words: str
) -> None:
    case = waiting_case(home)
    key = Keys(home.database).create("ann", [Role.OPERATE], at=NOW, by="test")
    answer = post(client_of(home), case, deed, sent, headers={"x-api-key": key})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]
    assert home.cases.get(case.id).state is CaseState.NEEDS_APPROVAL
    assert trail(home) == []


@pytest.mark.parametrize("deed", ["approve", "reject", "acknowledge", "assign"])
def test_a_closed_case_takes_no_further_order(home: Home, deed: str) -> None:
    case = waiting_case(home)
    Portfolio(home).reject(case.id, by="ann", note="No.")
    answer = post(client_of(home), case, deed, body_of(home, case, deed))
    assert answer.status_code == 409, answer.text
    assert post(client_of(home), case, "comment", {"note": "Later, we saw why."}).status_code == 200
    assert client_of(home).get(f"/dashboard/cases/{case.id}/{deed}").status_code == 409


def test_an_approval_over_the_api_is_about_the_report_that_was_read(home: Home) -> None:
    case = waiting_case(home)
    headers = {"x-api-key": Keys(home.database).create("ann", [Role.OPERATE], at=NOW, by="test")}
    client = client_of(home)
    read = {"note": "Yes.", "evidence": fingerprint(home, case)}
    judged(home, case, points=4.0)  # meanwhile
    assert post(client, case, "approve", read, headers=headers).status_code == 422
    assert home.champion().version == 1
    again = {"note": "Yes.", "evidence": fingerprint(home, case)[:12]}
    done = post(client, case, "approve", again, headers=headers)
    assert done.status_code == 200, done.text
    assert home.champion().version == 3


def test_nobody_approves_where_nobody_has_a_name(home: Home) -> None:
    case = waiting_case(home)
    answer = post(client_of(home), case, "approve", body_of(home, case, "approve"))
    assert (answer.status_code, home.champion().version) == (422, 1)
    assert "names no person ('local')" in answer.text


@pytest.mark.parametrize("deed", DEEDS)
def test_each_deed_is_documented_needs_the_role_and_knows_its_cases(home: Home, deed: str) -> None:
    case = waiting_case(home)
    keys = Keys(home.database)
    key = {role: keys.create(role.value, [role], at=NOW, by="test") for role in Role}
    client = client_of(home)
    for role in (Role.SCORE, Role.VIEW, Role.OUTCOMES):
        refused = post(client, case, deed, body_of(home, case, deed), headers={"x-api-key": key[role]})
        assert refused.status_code == 403
    assert post(client, case, deed, body_of(home, case, deed)).status_code == 401
    boss = {"x-api-key": key[Role.OPERATE]}
    unknown = client.post(f"/cases/77/{deed}", json=body_of(home, case, deed), headers=boss)
    assert unknown.status_code == 404
    documented = client.get("/openapi.json", headers=boss).json()
    how = documented["paths"][f"/cases/{{number}}/{deed}"]["post"]
    assert {"200", "401", "403", "404", "409", "422"} <= set(how["responses"])
    schema = how["requestBody"]["content"]["application/json"]["schema"]
    assert set(body_of(home, case, deed)) <= set(schema["properties"])
    assert how["description"]
    assert how["security"]


# --------------------------------------------------------------------------- the pages


def test_a_case_shows_who_cares_and_what_was_said_escaped(home: Home) -> None:
    case, client = waiting_case(home), client_of(home)
    page = f"/dashboard/cases/{case.id}"
    assert "Assigned to nobody." in client.get(page).text
    assert by_page(home, case, "comment", "Ann <i>") == 303
    assert order(client, f"{page}/comment", note="A <b>note</b>.\nTwo lines.")[0] == 303
    assert order(client, f"{page}/assign", to="Bea")[0] == 303
    assert order(client, f"{page}/acknowledge")[0] == 303
    shown = client.get(page).text
    assert "A &lt;b&gt;note&lt;/b&gt;." in shown
    assert "Ann &lt;i&gt;" in shown
    assert "Assigned to <strong>Bea</strong>" in shown
    assert "Acknowledged by <strong>Ann</strong>" in shown
    assert f'href="{page}/acknowledge"' not in shown, "it was seen"
    assert re.search("with Bea</small><small[^>]*>seen by Ann", client.get("/dashboard/cases").text)
    assert 'name="to" maxlength="100" value="Bea">' in client.get(f"{page}/assign").text
    assert order(client, f"{page}/assign", to="")[0] == 303
    assert "Assigned to nobody." in client.get(page).text


def test_a_report_that_asks_anew_can_be_acknowledged_anew(home: Home) -> None:
    case = waiting_case(home)
    by_python(home, case, "acknowledge", "ann")
    assert Portfolio(home).case(case.id).acknowledged_by == "ann"
    with home.database.write() as connection:
        move_case(connection, case, Move(CaseState.NEEDS_APPROVAL, "Another one."), at=datetime.now(UTC))
    assert Portfolio(home).case(case.id).acknowledged_by is None
    by_python(home, case, "acknowledge", "bea")
    assert Portfolio(home).case(case.id).acknowledged_by == "bea"


def test_who_may_only_look_sees_what_was_said_and_no_button(home: Home) -> None:
    case = waiting_case(home)
    by_python(home, case, "comment", "ann")
    viewer = Keys(home.database).create("eve", [Role.VIEW], at=NOW, by="t")
    page = client_of(home).get(f"/dashboard/cases/{case.id}", auth=("x", viewer)).text
    assert "Seen." in page
    assert "<form" not in page
    assert page.count("You may look but not act.") == 1


def test_commands_tell_of_people(home: Home) -> None:
    case = waiting_case(home)
    said = partial(run, folder=home.folder)
    assert said("cases", "assign", str(case.id), "bea", "--by", "ann").out == f"Case {case.id} is assigned to bea.\n"
    assert "acknowledged by bea" in said("cases", "acknowledge", str(case.id), "--by", "bea").out
    told = said("cases", "show", str(case.id)).out
    assert "ann assigned it to bea." in told
    assert "bea acknowledged it." in told
    assert "bea" in said("cases", "list").out
    again = said("cases", "acknowledge", str(case.id), "--by", "ann")
    assert again.code == Conflict.exit_code
    assert "acknowledged by bea already" in again.err
    assert said("cases", "assign", str(case.id), "--by", "ann").out == f"Case {case.id} is assigned to nobody.\n"
