import re

import pytest

from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role

from .conftest import MAY, client_of, decide, psi, save, window

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
    refused = client.get("/")
    assert (refused.status_code, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    assert "asks for a key" in refused.text
    assert client.get("/", auth=("any", viewer)).status_code == 200
    assert client.get("/", auth=("any", scorer)).status_code == 403


def test_without_keys_a_name_that_points_here_is_not_enough(home: Home) -> None:
    page = client_of(home).get("/", headers={"host": "attacker.example"})
    assert page.status_code == 403
    assert "not to &#39;attacker.example&#39;" in page.text
