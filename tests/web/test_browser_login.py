"""Logging in, and being attacked by another site's page, in a real Chromium."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from riskloop.core.types import PromotionKind
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role
from riskloop.store.outcomes import Outcomes
from riskloop.store.users import Users

from .browser import FAINT, OVERLAPPING, UNNAMED, chromium, violations, watched
from .conftest import add_model, decide, promote
from .story import served

NOW = datetime(2025, 5, 1, tzinfo=UTC)
WORDS = "correct horse battery"
ATTACK = """async (url) => {
  const kinds = ["text/csv", "text/plain", "text/plain;x=y,text/csv", "application/json"];
  for (const kind of kinds) for (const mode of ["no-cors", "cors"]) {
    const body = kind.endsWith("json") ? '[{"decision_id": 1, "bad": 1}]' : "decision_id,bad\\n1,1\\n";
    const how = { method: "POST", mode, credentials: "include", headers: { "content-type": kind }, body };
    try { await fetch(`${url}/outcomes`, how); } catch { /* what a browser forbids by itself */ }
  }
  const form = document.createElement("form");
  Object.assign(form, { method: "post", enctype: "text/plain", action: `${url}/outcomes` });
  form.innerHTML = '<input name="decision_id,bad&#10;1,1&#10;" value="">';
  document.body.append(form);
  form.submit();
}"""


class Evil(BaseHTTPRequestHandler):
    """Another site's page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>evil</title><link rel=icon href=data:,><body>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def evil() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def log_in(page: Page, name: str, secret: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password or key").fill(secret)
    page.get_by_role("button", name="Log in").click()


def test_a_user_and_a_key_log_in_look_and_log_out(browser: Browser, home: Home) -> None:
    Users(home.database).create("ann", [Role.VIEW], WORDS, at=NOW, by="root")
    key = Keys(home.database).create("ops", [Role.OPERATE], at=NOW, by="root")
    with served(home.folder) as url, watched(browser, url) as page:
        for who, name, secret in (("ann", "ann", WORDS), ("ops", "", key)):
            page.goto(f"{url}/dashboard/models")
            expect(page).to_have_url(f"{url}/login?next=/dashboard/models")
            assert page.evaluate(UNNAMED) == []
            assert page.evaluate(FAINT) == []
            log_in(page, name, secret)
            expect(page).to_have_url(f"{url}/dashboard/models")
            expect(page.locator(".side-who")).to_contain_text(who)
            assert page.evaluate("document.cookie") == ""
            cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
            assert set(cookies) == {"riskloop_session", "riskloop_form"}
            assert all(c["httpOnly"] and c["sameSite"] == "Strict" and c["expires"] == -1 for c in cookies.values())
            page.get_by_role("button", name="Log out").click()
            expect(page).to_have_url(f"{url}/login")
            assert "riskloop_session" not in {cookie["name"] for cookie in page.context.cookies()}


def looked_at(page: Page, shown: str) -> None:
    """Nothing is cut and axe finds nothing, narrow and wide, light and dark."""
    expect(page.locator("main")).to_contain_text(shown)
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (shown, width)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(OVERLAPPING) == [], (shown, width, scheme)
            assert page.evaluate(FAINT) == [], (shown, width, scheme)
            assert violations(page) == [], (shown, width, scheme)


def test_inventory_login_errors_and_a_rollbacks_form_are_as_readable(browser: Browser, home: Home) -> None:
    promote(home, add_model(home, 1.0), PromotionKind.GATE)
    other = home.folder.parent / f"{home.folder.name}-other"
    shutil.copytree(home.folder, other)
    config = other / "riskloop.toml"
    config.write_text(config.read_text().replace("Cards <b>&</b> loans", "Instalments"))
    key = Keys(home.database).create("ops", [Role.OPERATE], at=NOW, by="root")
    scorer = Keys(home.database).create("feed", [Role.SCORE], at=NOW, by="root")
    with served(home.folder, str(home.folder), str(other)) as url:
        page = browser.new_page()
        page.goto(url)
        looked_at(page, "Instalments")
        page.get_by_role("link", name="Log in").click()
        looked_at(page, "Leave it empty to log in with an API key")
        log_in(page, "ann", "wrong")
        looked_at(page, "Name")
        log_in(page, "", scorer)
        looked_at(page, "role")
        page.context.clear_cookies()
        page.reload()
        log_in(page, "", key)
        expect(page.locator(".side-who")).to_contain_text("ops")
        within = page.url.rstrip("/")
        page.goto(f"{within}/dashboard/models/rollback")
        looked_at(page, "becomes the champion again")
        page.goto(f"{within}/dashboard/nothing")
        looked_at(page, "There is no page")
        page.close()
    shutil.rmtree(other)


@pytest.mark.parametrize("keys", [False, True])
def test_another_sites_page_writes_no_outcomes(browser: Browser, home: Home, evil: str, keys: bool) -> None:
    decide(home, 1)
    key = Keys(home.database).create("ops", [Role.OPERATE], at=NOW, by="root") if keys else ""
    with served(home.folder) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        if keys:
            log_in(page, "", key)
            expect(page.locator(".side-who")).to_contain_text("ops")
        page.goto(evil)
        with page.expect_response(lambda answer: answer.request.is_navigation_request()) as sent:
            page.evaluate(ATTACK, url)
        assert sent.value.status == 403
        page.wait_for_url(f"{url}/outcomes")
        page.goto(f"{url}/dashboard/cases")  # whoever was logged in still is, by a link from elsewhere too
        expect(page).to_have_url(f"{url}/dashboard/cases")
        context.close()
    assert Outcomes(home.database).last_id() == 0
