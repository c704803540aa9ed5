import re
from datetime import UTC, datetime

import pytest

from riskloop.cases import Case, CaseState, Move
from riskloop.cases.events import Judged, Making
from riskloop.core.types import Diagnosis, GateReport, PromotionKind, Verdict
from riskloop.gate.approval import evidence_fingerprint
from riskloop.store.cases import move_case, open_case
from riskloop.store.deliveries import hold
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role
from riskloop.store.outcomes import Outcome

from .conftest import MAY, Browser, add_model, client_of, decide, promote, save, window


def waiting_case(home: Home) -> Case:
    """A case whose challenger, version 2, waits for a person."""
    with home.database.write() as connection:
        case = open_case(
            connection,
            Move(CaseState.CONFIRMED, "It fell."),
            at=MAY,
            diagnosis=Diagnosis.CONCEPT_DRIFT,
            window_id=1,
            champion=1,
        )
    return judged(home, case)


def judged(home: Home, case: Case, points: float = 3.0) -> Case:
    """The case with one more challenger and the gate's report on it."""
    version = add_model(home, points)
    report = GateReport(Verdict.NEEDS_APPROVAL, "A person must <approve>.", (), 0.7, 0.75)
    record = Making("Refit.", "", "", "uniform", "scorecard", {}, 10.0, "rows")
    said = Judged(report, [report.sentence], evidence_fingerprint(report, version), None, record, 10, None, 1, 1)
    with home.database.write() as connection:
        case = move_case(
            connection,
            case,
            Move(CaseState.TRAINED, "Judged.", event=said, changes={"challenger": version, "tries": 1}),
            at=MAY,
        )
        return move_case(connection, case, Move(CaseState.NEEDS_APPROVAL, report.sentence), at=MAY)


def quarantine(home: Home) -> Case:
    with home.database.write() as connection:
        case = open_case(
            connection,
            Move(CaseState.QUARANTINED, "Units changed."),
            at=MAY,
            diagnosis=Diagnosis.DATA_FAULT,
            window_id=1,
            champion=1,
        )
    save(home, window(1, Diagnosis.DATA_FAULT, case_id=case.id))
    return case


def order(client: Browser, path: str, **fields: str) -> tuple[int, str]:
    """Open the form and send it as a browser does."""
    page = client.get(path)
    assert page.status_code == 200
    token = re.findall(r'name="token" value="([^"]+)"', page.text)[0]
    hidden = dict(re.findall(r'type="hidden" name="(seq|evidence)" value="([^"]+)"', page.text))
    sent = client.post(path, data={"token": token, "by": "Ann", **hidden, **fields})
    return sent.status_code, sent.text


def test_without_cases_it_says_when_one_opens(home: Home) -> None:
    assert "No case yet." in client_of(home).get("/dashboard/cases").text
    assert "No case is open." in client_of(home).get("/dashboard/cases?show=open").text


def test_cases_are_paged_by_their_numbers(home: Home) -> None:
    with home.database.write() as connection:
        for number in range(30):
            open_case(
                connection,
                Move(CaseState.WATCHING, f"Case number {number}."),
                at=MAY,
                diagnosis=Diagnosis.COVARIATE_SHIFT,
                window_id=1,
                champion=1,
            )
    first = client_of(home).get("/dashboard/cases").text
    assert "Case number 29." in first
    assert "Case number 4." not in first
    older = re.findall(r'href="([^"]+before[^"]+)"', first)[0].replace("&amp;", "&")
    assert "Case number 4." in client_of(home).get(older).text


def test_a_case_is_told_from_its_finding_to_its_verdict(home: Home) -> None:
    case = waiting_case(home)
    save(home, window(1, Diagnosis.CONCEPT_DRIFT, case_id=case.id))
    page = client_of(home).get(f"/dashboard/cases/{case.id}").text
    told = ("What was found in 1.", "It fell.", "Refit.", "Verdict of the gate", "A person must &lt;approve&gt;.")
    assert [page.index(part) for part in told[:3]] == sorted(page.index(part) for part in told[:3])
    assert all(part in page for part in told)
    assert "for it" in page


def test_an_approval_promotes_and_is_on_record_with_name_and_note(home: Home) -> None:
    case = waiting_case(home)
    status, _ = order(client_of(home), f"/dashboard/cases/{case.id}/approve", note="The shift was expected.")
    assert status == 303
    assert home.champion().version == 2
    last = home.cases.steps(case.id)[-1]
    assert (last.by, last.state) == ("Ann", CaseState.PROMOTED)
    assert "The shift was expected." in last.sentence


def test_an_approval_is_about_the_report_that_was_seen(home: Home) -> None:
    case = waiting_case(home)
    client = client_of(home)
    seen = re.findall(r'name="evidence" value="([^"]+)"', client.get(f"/dashboard/cases/{case.id}").text)[0]
    judged(home, case, points=4.0)  # while the person reads
    status, text = order(client, f"/dashboard/cases/{case.id}/approve", note="Yes.", evidence=seen)
    assert (status, home.champion().version) == (422, 1)
    assert "was given for other evidence; read the report again" in text
    assert order(client, f"/dashboard/cases/{case.id}/approve", note="Yes.")[0] == 303
    assert home.champion().version == 3


def test_a_rejection_closes_the_case(home: Home) -> None:
    case = waiting_case(home)
    assert order(client_of(home), f"/dashboard/cases/{case.id}/reject", note="Not now.")[0] == 303
    assert home.cases.get(case.id).state is CaseState.REJECTED
    assert home.champion().version == 1
    again = client_of(home).get(f"/dashboard/cases/{case.id}/approve")
    assert again.status_code == 409
    assert "there is nothing to approve" in again.text


def test_a_release_lets_the_rows_be_learned_from(home: Home) -> None:
    case = quarantine(home)
    assert order(client_of(home), f"/dashboard/cases/{case.id}/release", note="The unit is right.")[0] == 303
    assert home.windows.quarantined() == []


def test_a_rollback_is_about_the_champion_that_was_seen(home: Home) -> None:
    client = client_of(home)
    assert client.get("/dashboard/models/rollback").status_code == 404
    case = waiting_case(home)
    order(client, f"/dashboard/cases/{case.id}/approve", note="Yes.")
    status, text = order(client, "/dashboard/models/rollback", note="Worse.", seq="1")
    assert (status, home.champion().version) == (409, 2), text
    assert order(client, "/dashboard/models/rollback", note="Worse.")[0] == 303
    assert home.champion().version == 1


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"note": "Yes."}, {}, 403),  # no token
        ({"note": "Yes.", "token": "wrong"}, {}, 403),
        ({"note": "Yes.", "token": "right"}, {"origin": "http://elsewhere.example"}, 403),
        ({"note": "Yes.", "token": "right"}, {"sec-fetch-site": "cross-site"}, 403),
        ({"note": "   ", "token": "right"}, {}, 422),
    ],
)
def test_an_order_needs_our_own_form_and_a_note(
    home: Home, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    case = waiting_case(home)
    client = client_of(home)
    page = client.get(f"/dashboard/cases/{case.id}/approve").text
    token = re.findall(r'name="token" value="([^"]+)"', page)[0]
    data = {**fields, **({"token": token} if fields.get("token") == "right" else {})}
    answer = client.post(f"/dashboard/cases/{case.id}/approve", data=data, headers=headers)
    assert answer.status_code == status
    assert home.champion().version == 1


def test_a_key_that_may_look_sees_no_form_and_cannot_order(home: Home) -> None:
    case = waiting_case(home)
    keys = Keys(home.database)
    now = datetime(2025, 6, 1, tzinfo=UTC)
    viewer, boss = (keys.create(n, [r], at=now, by="t") for n, r in (("eve", Role.VIEW), ("bo", Role.OPERATE)))
    client = client_of(home)
    page = client.get(f"/dashboard/cases/{case.id}", auth=("x", viewer)).text
    assert "You may look but not act." in page
    assert "<form" not in page
    assert client.post(f"/dashboard/cases/{case.id}/approve", auth=("x", viewer)).status_code == 403
    form = client.get(f"/dashboard/cases/{case.id}/approve", auth=("x", boss)).text
    assert 'name="by"' not in form  # the key says who it is
    token = re.findall(r'name="token" value="([^"]+)"', form)[0]
    data = {"token": token, "note": "Yes.", "by": "somebody else"}
    blind = client.post(f"/dashboard/cases/{case.id}/approve", auth=("x", boss), data=data)
    assert (blind.status_code, home.champion().version) == (422, 1), "of which report is not said"
    data["evidence"] = re.findall(r'name="evidence" value="([^"]+)"', form)[0]
    assert client.post(f"/dashboard/cases/{case.id}/approve", auth=("x", boss), data=data).status_code == 303
    assert home.champion().by == "bo"


def test_quarantined_outcomes_are_shown_and_released_as_windows_are(home: Home) -> None:
    home.outcomes.record([], MAY, complete_until=MAY)
    (delivery,) = home.deliveries.latest()
    with home.database.write() as connection:
        step = Move(CaseState.QUARANTINED, "Good and bad are exchanged.")
        case = open_case(connection, step, at=MAY, diagnosis=Diagnosis.LABEL_FAULT, window_id=0, champion=1)
        hold(connection, [delivery.id], case.id)
    browser = client_of(home)
    assert "broken labels in the outcome feed" in browser.get("/").text
    assert "Label fault" in browser.get("/dashboard/cases").text
    assert "Good and bad are exchanged." in browser.get(f"/dashboard/cases/{case.id}").text
    asked = browser.get(f"/dashboard/cases/{case.id}/release").text
    assert f"The outcomes of {delivery.name} count from now on" in asked


def test_the_challenger_file_of_an_old_report_says_what_is_not_there(home: Home) -> None:
    case = waiting_case(home)
    page = client_of(home).get(f"/dashboard/cases/{case.id}/challenger").text
    assert "which kept no challenger file" in page
    judged_event = home.cases.judged(case.id)
    assert judged_event is not None
    assert f'<code class="long">{judged_event.fingerprint}</code>' in page
    assert f'name="evidence" value="{judged_event.fingerprint}"' in page  # the approval is bound to what is read


def test_a_case_without_a_report_has_no_challenger_file(home: Home) -> None:
    answer = client_of(home).get(f"/dashboard/cases/{quarantine(home).id}/challenger")
    assert answer.status_code == 404
    assert "no report of the gate yet" in answer.text


def test_an_incident_tells_what_was_decided_on_faulty_rows(home: Home) -> None:
    decide(home, 20)
    with home.database.write() as connection:
        opened = Move(CaseState.QUARANTINED, "Units changed.")
        case = open_case(connection, opened, at=MAY, diagnosis=Diagnosis.DATA_FAULT, window_id=2, champion=1)
    save(home, window(1, first_id=1, last_id=10, rows=10))
    save(home, window(2, Diagnosis.DATA_FAULT, case_id=case.id, first_id=11, last_id=20, rows=10))
    home.outcomes.record([Outcome(True, MAY, decision_id=i) for i in (11, 13)], MAY)
    page = client_of(home).get(f"/dashboard/cases/{case.id}").text
    assert "The decisions on faulty rows" in page
    assert "50.0% in 2025-01" in page
    assert "/dashboard/decisions/export?window=2" in page
    for name in ("Release the quarantine", "Close as fixed at source"):
        assert name in page


def test_a_case_is_closed_as_fixed_at_source_and_then_only_the_release_is_left(home: Home) -> None:
    case = quarantine(home)
    client = client_of(home)
    form = client.get(f"/dashboard/cases/{case.id}/close").text
    token = re.search(r'name="token" value="([^"]+)"', form)
    assert token is not None
    sent = {"token": token[1], "by": "A. Analyst", "note": "The unit is back."}
    origin = {"Origin": "http://127.0.0.1"}
    assert client.post(f"/dashboard/cases/{case.id}/close", data=sent, headers=origin).status_code == 303
    page = client.get(f"/dashboard/cases/{case.id}").text
    assert "Fixed at source: The unit is back." in page
    assert "Close as fixed" not in page
    assert "Release the quarantine" in page
    save(home, window(1, Diagnosis.DATA_FAULT, case_id=case.id, quarantined=False))
    assert "Release the quarantine" not in client.get(f"/dashboard/cases/{case.id}").text, "nothing is held any more"


def test_after_a_rollback_nothing_offers_the_version_that_was_taken_back(home: Home) -> None:
    promote(home, add_model(home, points=3.0), PromotionKind.GATE)
    assert "Roll back to version 1" in client_of(home).get("/dashboard/models").text
    promote(home, 1, PromotionKind.ROLLBACK)
    for address in ("/dashboard/models", "/dashboard/models/1", "/dashboard/models/2"):
        assert "Roll back to" not in client_of(home).get(address).text
    assert client_of(home).get("/dashboard/models/rollback").status_code == 404


def test_a_case_has_its_report_for_signature(home: Home) -> None:
    case, browser = waiting_case(home), client_of(home)
    address = f"/dashboard/cases/{case.id}/document"
    assert f'href="{address}?format=html"' in browser.get(f"/dashboard/cases/{case.id}").text
    answer, said = browser.get(address), home.cases.judged(case.id)
    assert answer.status_code == 200
    assert said is not None
    assert said.fingerprint in answer.text
    assert "A person must &lt;approve&gt;." in answer.text
