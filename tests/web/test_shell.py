import json
import re
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest

from riskloop.cases import CaseState, Move
from riskloop.core.types import Decisions, Diagnosis, Rung, Severity, to_micros
from riskloop.store.cases import open_case
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role

from .conftest import MAY, client_of, decide, psi, save, window

TOO_LARGE = 10**25
PAGES = (
    "/",
    "/dashboard/drift",
    "/dashboard/drift/debt",
    "/dashboard/windows/1",
    "/dashboard/performance",
    "/dashboard/cases",
    "/dashboard/models",
    "/dashboard/models/1",
    "/dashboard/decisions",
    "/dashboard/decisions/1",
)


@pytest.mark.parametrize("path", PAGES)
def test_pages_ask_nothing_of_other_hosts(home: Home, path: str) -> None:
    decide(home, 1)
    save(home, window(1), psi("debt", 0.2))
    page = client_of(home).get(path)
    addresses = re.findall(r'(?:src|href|action)="([^"#]*)"', page.text)
    assert page.status_code == 200
    assert addresses
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert not re.search(r"<script(?![^>]*(src=|application/json))|\son\w+=|<style|\sstyle=", page.text)


def test_assets_are_kept_for_good_under_an_address_that_changes_with_them(home: Home) -> None:
    client = client_of(home)
    address = re.findall(r'href="(/static/[^"]*style.css)"', client.get("/").text)[0]
    sheet = client.get(address)
    assert sheet.headers["content-type"].startswith("text/css")
    assert "immutable" in sheet.headers["cache-control"]
    assert sheet.headers["content-encoding"] == "gzip"
    assert client.get("/static/x/pages.py").status_code == 404


def test_a_page_that_is_not_there_is_a_page_with_a_sentence(home: Home) -> None:
    page = client_of(home).get("/dashboard/nothing")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "There is no page /dashboard/nothing" in page.text


def test_with_keys_a_browser_is_asked_for_one(home: Home) -> None:
    keys = Keys(home.database)
    viewer = keys.create("ann", [Role.VIEW], at=MAY, by="test")
    scorer = keys.create("feed", [Role.SCORE], at=MAY, by="test")
    client = client_of(home)
    refused = client.get("/dashboard/live")
    assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert "asks for a key" in refused.text
    assert home.settings.portfolio.name not in refused.text
    assert client.get("/").headers["location"] == "/login?next=/"
    assert client.get("/", auth=("any", viewer)).status_code == 200
    assert client.get("/", auth=("any", scorer)).status_code == 403


def test_without_keys_a_name_that_points_here_is_not_enough(home: Home) -> None:
    page = client_of(home).get("/", headers={"host": "attacker.example"})
    assert page.status_code == 403
    assert "not to &#39;attacker.example&#39;" in page.text


@pytest.mark.parametrize(
    "path",
    [
        f"/dashboard/decisions/{TOO_LARGE}",
        f"/dashboard/decisions?id={TOO_LARGE}",
        f"/dashboard/decisions?after={TOO_LARGE}.1",
        f"/dashboard/models/{TOO_LARGE}",
        f"/dashboard/models?before={TOO_LARGE}",
        f"/dashboard/models/compare?a=1&b={TOO_LARGE}",
        f"/dashboard/cases/{TOO_LARGE}",
        f"/dashboard/cases/{TOO_LARGE}/approve",
        f"/dashboard/windows/{TOO_LARGE}",
        f"/dashboard/drift?until={TOO_LARGE}",
        f"/dashboard/drift/debt?window={TOO_LARGE}",
        f"/dashboard/performance?cohort={TOO_LARGE}",
    ],
)
def test_a_number_that_no_database_keeps_is_refused_in_a_sentence(home: Home, path: str) -> None:
    page = client_of(home).get(path)
    assert page.status_code in (404, 422)
    assert page.headers["content-type"].startswith("text/html")


HOSTILE = "</script><img src=x onerror=alert(1)>'\""


def test_what_comes_from_outside_is_text_and_never_markup(home: Home) -> None:
    values = np.array([[1.0, 0.0, 1.0]])
    home.decisions.append(
        Decisions(
            customer_ids=[HOSTILE],
            times=[to_micros(MAY)],
            scored_at=to_micros(MAY),
            model_version=1,
            probabilities=np.array([0.2]),
            defaults=np.array([False]),
            features=values,
            flags=[json.dumps({"unseen": {"job": HOSTILE}})],
        )
    )
    moved = psi("debt", 0.3, Severity.DRIFTED)
    moved = replace(moved, sentence=HOSTILE, details={**moved.details, "labels": [HOSTILE, "clerk", "missing"]})
    kind = Diagnosis.COVARIATE_SHIFT
    with home.database.write() as connection:
        case = open_case(connection, Move(CaseState.WATCHING, HOSTILE), at=MAY, diagnosis=kind, window_id=1, champion=1)
    rungs = (Rung(kind, True, (HOSTILE,), (HOSTILE,)),)
    save(home, window(1, kind, sentence=HOSTILE, rungs=rungs, case_id=case.id, name=HOSTILE), moved)
    found = quote(HOSTILE, safe="")
    for path in (
        *PAGES,
        f"/dashboard/cases/{case.id}",
        f"/dashboard/decisions?customer={found}",
        f"/dashboard/{found}",
    ):
        page = client_of(home).get(path).text
        assert "<img src=x" not in page, path
        assert HOSTILE not in page, path
