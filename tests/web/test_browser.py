"""The dashboard in a real Chromium, against a real server of a loop that has been through the demo's months.

RISKLOOP_SCREENSHOTS=1 and `-k pictures` take those of docs/images anew.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from riskloop.cases import CaseState
from riskloop.core.types import PromotionKind
from riskloop.loop.trial import approve_challenger
from riskloop.web import pages
from riskloop.web.orders import CASE_ORDERS

from .browser import FAINT, OVERLAPPING, UNNAMED, WAIT, chromium, settled, violations, watched
from .story import Loop, play, served

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"

WIDTHS: Final = (390, 768, 1024, 1440)

# Every page, and what it must show of the story; numbers that depend on the gate are filled in.
PAGES: Final = {
    "/": ("Case {waiting} needs an approval", "Quarantined", "Open cases", "What happened when", "2025-09"),
    "/dashboard/drift": ("LIMIT_BAL", "PSI of every feature", "Covariate shift", "Concept drift"),
    "/dashboard/drift/PAY_0?window=5": ("PAY_0 in 2025-05", "Then and now", "PAY_0 moved"),
    "/dashboard/drift/BILL_AMT1?window=4": ("BILL_AMT1 in 2025-04", "Older window"),
    "/dashboard/windows/4": ("Covariate shift", "the ladder of explanations", "What the change does to the PD"),
    "/dashboard/performance": ("AUC by cohort", "Calibration by grade: 2025-08", "quarantined", "Jeffreys test"),
    "/dashboard/cases": ("Challenger rejected", "Data fault", "Quarantined", "Covariate shift", "with Bea"),
    "/dashboard/cases/{refused}": (
        "Challenger rejected",
        "How the challenger was made",
        "What the gate checked",
        "Failed",
    ),
    "/dashboard/cases/{waiting}": (
        "Needs approval",
        "Approve",
        "Reject",
        "What the gate checked",
        "outside the plan",
        "Assigned to Bea",
        "The <branches> know of it.",
    ),
    "/dashboard/cases/{waiting}/challenger": (
        "outside the plan",
        "What the gate tested, what failed first",
        "Calibration by grade",
        "Who changes side",
        "Protected groups",
        "partial effects",
        "The fingerprint of this report",
        "Approve",
    ),
    "/dashboard/models": ("The ledger of promotions", "First model", "Which version served when"),
    "/dashboard/models/1": ("How it was made", "protected, so not read", "What competed"),
    "/dashboard/models/{challenger}": ("What competed", "What else was tried is told in case {waiting}"),
    "/dashboard/models/compare?a=1&b={challenger}": (
        "Measures on the same customers",
        "By protected group",
        "weighting",
    ),
    "/dashboard/decisions": ("9,000 on record", "approve", "defaulted", "Older decisions", "Parquet"),
    "/dashboard/decisions/1500": ("Inputs, and what each did to the score", "Reasons", "in 2025-02"),
    "/dashboard/windows/9": ("Data fault", "quarantined"),
    "/dashboard/cases/{held}": ("The decisions on faulty rows", "Release the quarantine", "Close as fixed at source"),
    "/dashboard/audit": ("Who did what", "assign", "promote"),
}

# Forms of orders; those that a dialog shows, too.
FORMS: Final = (
    *(f"/dashboard/cases/{{waiting}}/{name}" for name in ("approve", "reject", "assign", "acknowledge", "comment")),
    *(f"/dashboard/cases/{{held}}/{name}" for name in ("release", "close")),
)
PAPERS: Final = ("/dashboard/models/{challenger}/document", "/dashboard/cases/{waiting}/document")

# What answers a browser and is no page to look at here, and why.
ELSEWHERE: Final = {
    "live": "numbers for scripts",
    "show_report": "Evidently's own page, in a sandbox",
    "export_decisions": "a file",
    "export_audit": "a file",
    "ask_rollback": "looked at once there is something to roll back, with the login's pages",
    "unknown": "an error page, looked at with the login's pages",
    "show_login": "looked at in test_browser_login",
    "begin_sso": "leads to the provider",
    "finish_sso": "leads on at once",
    "asset": "files of pages",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def loop(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Asks for the browser first: without one, nothing has to be played."""
    folder = tmp_path_factory.mktemp("portfolio")
    portfolio = play(folder)
    with served(folder) as url:
        waiting = (case for case in portfolio.home.cases.latest() if case.state is CaseState.NEEDS_APPROVAL)
        found = Loop(url, portfolio, next(waiting))
        portfolio.assign(found.challenged.id, "Bea", by="A. Analyst", note="She knows the branches.")
        portfolio.comment(found.challenged.id, "The <branches> know of it.", by="Bea")
        yield found
    portfolio.home.close()


@pytest.fixture
def page(browser: Browser, loop: Loop) -> Iterator[Page]:
    with watched(browser, loop.url) as found:
        yield found


def case_in(loop: Loop, state: CaseState) -> int:
    return next(case.id for case in loop.portfolio.home.cases.latest() if case.state is state)


def filled(loop: Loop, text: str) -> str:
    """An address or a text with the story's numbers."""
    found = loop.challenged
    held, refused = (case_in(loop, state) for state in (CaseState.QUARANTINED, CaseState.REJECTED))
    return text.format(waiting=found.id, held=held, refused=refused, challenger=found.challenger)


# --------------------------------------------------------------------------- what is looked at


def routes(router: Any) -> Iterator[Any]:
    """Every route, those of included routers among them."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else routes(inner)


def test_every_page_and_every_form_is_looked_at() -> None:
    """A page that is not listed here fails, so that no page is left out of axe and the widths."""
    asked = [route for route in routes(pages.router) if "GET" in route.methods]
    seen = set()
    for address in (*PAGES, *FORMS, *PAPERS):
        path = re.sub(r"\{\w+\}", "1", address).split("?")[0]
        fitting = [route for route in asked if route.path_regex.fullmatch(path)]
        seen.add(max(fitting, key=lambda route: len(re.sub(r"\{.*?\}", "", route.path))).name)
    assert seen & ELSEWHERE.keys() == set()
    assert {route.name for route in asked} == seen | ELSEWHERE.keys()
    assert {form.rsplit("/", 1)[1] for form in FORMS} == set(CASE_ORDERS)


# --------------------------------------------------------------------------- looking


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_what_happened_readable_named_and_uncut(page: Page, loop: Loop, path: str) -> None:
    page.goto(loop.url + filled(loop, path))
    settled(page)
    for shown in PAGES[path]:
        expect(page.locator("main")).to_contain_text(filled(loop, shown))
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(FAINT) == []
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(FAINT) == []


@pytest.mark.parametrize("path", [*PAGES, *FORMS])
def test_at_every_width_light_and_dark_nothing_is_cut_and_axe_finds_nothing(
    browser: Browser, loop: Loop, path: str
) -> None:
    with watched(browser, loop.url) as page:
        for width in WIDTHS if path in PAGES else (WIDTHS[0], WIDTHS[-1]):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="light")
            page.goto(loop.url + filled(loop, path))
            settled(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, width
            assert page.evaluate(OVERLAPPING) == [], width
            assert violations(page) == [], (width, "light")
            if width in (WIDTHS[0], WIDTHS[-1]):  # each of the two layouts: colours do not change with the width
                page.emulate_media(color_scheme="dark")
                settled(page)
                assert violations(page) == [], (width, "dark")


@pytest.mark.parametrize("path", PAPERS)
def test_a_document_is_readable_named_and_reached_by_the_keyboard(browser: Browser, loop: Loop, path: str) -> None:
    """Its own policy lets no script run, so that the same bytes are looked at on a page of their own."""
    paper = httpx.get(loop.url + filled(loop, path), trust_env=False, timeout=WAIT / 1000).text
    with watched(browser, loop.url) as page:
        page.set_content(paper)
        for width in (WIDTHS[0], WIDTHS[-1]):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, width
            assert violations(page) == [], width


LIGHT_GRID: Final = """() => [...document.querySelectorAll(".plot .gridlayer path")].every(
  (line) => getComputedStyle(line).stroke === "rgb(221, 226, 232)")"""


@pytest.mark.parametrize("path", ["/", "/dashboard/performance", "/dashboard/cases/{waiting}/challenger"])
def test_paper_is_light_and_cuts_nothing_off(browser: Browser, loop: Loop, path: str) -> None:
    with watched(browser, loop.url, color_scheme="dark", viewport={"width": 1040, "height": 720}) as page:
        page.goto(loop.url + filled(loop, path))
        settled(page)
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(245, 246, 248)"
        page.wait_for_function(LIGHT_GRID)
        assert page.evaluate(OVERLAPPING) == []
        assert page.evaluate(FAINT) == []
        flows = "[...document.querySelectorAll('.scroll')].every((e) => getComputedStyle(e).overflowX === 'visible')"
        assert page.evaluate(flows)
        assert page.evaluate("document.documentElement.scrollWidth") <= 1040


def test_without_javascript_a_chart_takes_no_more_room_than_its_sentence(browser: Browser, loop: Loop) -> None:
    with watched(browser, loop.url, java_script_enabled=False) as page:
        page.goto(loop.url)
        box = page.locator(".plot").first.bounding_box()
        assert box is not None
        assert box["height"] < 90


def test_without_javascript_everything_can_be_read(browser: Browser, loop: Loop) -> None:
    with watched(browser, loop.url, java_script_enabled=False) as page:
        for path, texts in PAGES.items():
            page.goto(loop.url + filled(loop, path))
            for shown in texts:
                expect(page.locator("main")).to_contain_text(filled(loop, shown))
        page.goto(f"{loop.url}/dashboard/drift/PAY_0?window=5")
        expect(page.locator(".plot noscript").first).to_be_visible()
        page.goto(f"{loop.url}/dashboard/cases/{case_in(loop, CaseState.QUARANTINED)}")
        page.get_by_role("link", name="Release the quarantine").click()
        expect(page.get_by_role("heading", name="Release 2025-09")).to_be_visible()
        expect(page.get_by_label("Note")).to_be_visible()


def test_evidentlys_page_is_drawn_in_its_sandbox(page: Page, loop: Loop) -> None:
    page.goto(f"{loop.url}/dashboard/windows/4")
    page.get_by_role("link", name="Evidently's page for 2025-04").click()
    expect(page.get_by_text("PAY_0").first).to_be_visible()
    assert page.evaluate("origin") == "null"


def test_times_are_in_the_zone_of_the_viewer(browser: Browser, loop: Loop) -> None:
    with watched(browser, loop.url, timezone_id="Asia/Tokyo") as page:
        page.goto(f"{loop.url}/dashboard/models")
        time = page.locator("time").first
        expect(time).to_have_text(re.compile("31 Dec 2024, 09:00 (GMT|UTC)\\+9"))
        expect(time).to_have_attribute("title", "31 Dec 2024, 00:00 UTC")


def test_a_search_finds_a_decision_and_a_replay_proves_it(page: Page, loop: Loop) -> None:
    page.goto(f"{loop.url}/dashboard/decisions")
    page.get_by_label("PD from, %").fill("60")
    page.get_by_label("From day").fill("2025-04-01")
    page.get_by_label("To day").fill("2025-04-30")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile("since=2025-04-01&until=2025-04-30&low=60"))
    rows = page.locator("tbody tr")
    assert all(float(text.rstrip("%")) >= 60 for text in rows.locator("td:nth-child(4)").all_inner_texts())
    rows.first.get_by_role("link").first.click()
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("status", name="Replay")).to_contain_text("the same probability, to the last bit")


# --------------------------------------------------------------------------- keyboard


def focused(page: Page) -> Any:
    return page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id")


def test_the_keyboard_reaches_everything(page: Page, loop: Loop) -> None:
    page.goto(f"{loop.url}/dashboard/drift")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.locator(".heat .cell a").first.focus()  # the grid is one stop; arrows move inside it
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    title = page.evaluate("document.activeElement.title")
    assert ", 2025-02: PSI" in title
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=f"{title.split(',')[0]} in 2025-02", exact=True)).to_be_visible()


def test_a_dialog_takes_the_focus_and_gives_it_back(page: Page, loop: Loop) -> None:
    page.goto(f"{loop.url}/dashboard/cases/{case_in(loop, CaseState.QUARANTINED)}")
    button = page.get_by_role("link", name="Release the quarantine")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Release 2025-09?")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Note")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()


# --------------------------------------------------------------------------- acting


def test_what_people_say_is_written_where_the_case_is_read(page: Page, loop: Loop) -> None:
    number = case_in(loop, CaseState.QUARANTINED)
    page.goto(f"{loop.url}/dashboard/cases/{number}")
    for button, fields in (
        ("Comment", {"Note": "The feed was told."}),
        ("Assign", {"To whom": "Dora"}),
        ("Acknowledge", {}),
    ):
        page.get_by_role("link", name=button).click()
        dialog = page.get_by_role("dialog", name=re.compile(button))
        for label, text in {**fields, "Your name": "A. Analyst"}.items():
            dialog.get_by_label(label).fill(text)
        dialog.get_by_role("button", name=re.compile(button)).click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    care = page.locator("section", has=page.get_by_role("heading", name="Who takes care of it"))
    expect(care).to_contain_text("Assigned to Dora. Acknowledged by A. Analyst")
    expect(care).to_contain_text("The feed was told.")
    expect(page.get_by_role("link", name="Acknowledge")).to_have_count(0)
    page.goto(f"{loop.url}/dashboard/cases")
    expect(page.get_by_role("row", name=re.compile(f"Case {number}"))).to_contain_text("Dora")


def test_an_approval_promotes_and_every_open_page_tells_it(browser: Browser, page: Page, loop: Loop) -> None:
    case, version = loop.challenged.id, loop.challenged.challenger
    with watched(browser, loop.url) as other:
        other.goto(loop.url)
        expect(other.locator(".stage-serve")).to_contain_text("Version 1")
        page.goto(f"{loop.url}/dashboard/cases/{case}")
        page.get_by_role("link", name="Approve").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("becomes the champion at once")
        dialog.get_by_role("button", name="Approve version").click()
        expect(dialog).to_be_visible()  # the browser asks for the note first
        dialog.get_by_label("Note").fill("The approval rate was discussed.")
        dialog.get_by_label("Your name").fill("A. Approver")
        dialog.get_by_role("button", name="Approve version").click()
        expect(other.get_by_role("status")).to_contain_text(f"Version {version} is champion now.")  # shown for a while
        expect(other.locator(".stage-serve")).to_contain_text(f"Version {version}")
        expect(page.locator("main .headline")).to_contain_text("Approved: The approval rate was discussed.")
        expect(page.locator(".story > li").last).to_contain_text("by A. Approver")
    assert loop.portfolio.home.champion().version == version
    until_served(page, version)


def until_served(page: Page, version: int | None) -> None:
    """The server scores with the version that the ledger names."""
    page.wait_for_function(
        "async (version) => (await (await fetch('/readyz')).json()).champion === version", arg=version
    )


def promoted(loop: Loop) -> None:
    """An approval, unless there was one."""
    if loop.portfolio.home.champion().kind is PromotionKind.FIRST:
        loop.portfolio.approve(loop.challenged.id, by="test", note="As discussed.")


def test_a_rollback_puts_the_earlier_champion_back(page: Page, loop: Loop) -> None:
    promoted(loop)
    page.goto(f"{loop.url}/dashboard/models")
    page.get_by_role("link", name="Roll back to version 1").click()
    dialog = page.get_by_role("dialog", name="Roll back to version 1?")
    dialog.get_by_label("Note").fill("Complaints from the branches.")
    dialog.get_by_label("Your name").fill("A. Approver")
    dialog.get_by_role("button", name="Roll back to version 1").click()
    row = page.locator("section", has=page.get_by_role("heading", name="The ledger of promotions")).locator("tbody tr")
    expect(row.first).to_contain_text("Rolled back")
    expect(row.first).to_contain_text("Complaints from the branches.")
    assert loop.portfolio.home.champion().version == 1
    until_served(page, 1)


def test_a_quarantine_is_released_with_a_note(page: Page, loop: Loop) -> None:
    page.goto(f"{loop.url}/dashboard/cases/{case_in(loop, CaseState.QUARANTINED)}")
    page.get_by_role("link", name="Release the quarantine").click()
    dialog = page.get_by_role("dialog", name="Release 2025-09?")
    dialog.get_by_label("Note").fill("The unit changed on purpose.")
    dialog.get_by_label("Your name").fill("A. Analyst")
    dialog.get_by_role("button", name="Release 2025-09").click()
    expect(page.locator("main .headline")).to_contain_text("Released 2025-09: The unit changed on purpose.")
    expect(page.get_by_role("link", name="Release the quarantine")).to_have_count(0)


# --------------------------------------------------------------------------- pictures


@pytest.mark.skipif("RISKLOOP_SCREENSHOTS" not in os.environ, reason="pictures are taken with RISKLOOP_SCREENSHOTS=1")
def test_pictures_for_the_documents(browser: Browser, loop: Loop) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    narrow = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}
    picture(browser, loop, "overview", "/")
    picture(browser, loop, "overview-dark", "/", color_scheme="dark")
    picture(browser, loop, "drift", "/dashboard/drift")
    picture(browser, loop, "drift-narrow", "/dashboard/drift", **narrow)
    picture(browser, loop, "feature", "/dashboard/drift/PAY_0?window=5")
    picture(browser, loop, "performance", "/dashboard/performance")
    picture(browser, loop, "case", "/dashboard/cases/{waiting}")
    picture(browser, loop, "challenger", "/dashboard/cases/{waiting}/challenger")
    picture(browser, loop, "compare", "/dashboard/models/compare?a=1&b={challenger}")
    picture(browser, loop, "decisions", "/dashboard/decisions?since=2025-04-01&until=2025-04-30&low=60")
    picture(browser, loop, "decision", "/dashboard/decisions/4500?replay=1")
    home, note, now = loop.portfolio.home, "The approval rate was discussed.", datetime(2025, 10, 7, tzinfo=UTC)
    approve_challenger(
        home.ledger, home.cases, home.cases.get(loop.challenged.id), by="A. Approver", note=note, now=now
    )
    picture(browser, loop, "models", "/dashboard/models")


def picture(browser: Browser, loop: Loop, name: str, path: str, **options: Any) -> None:
    with watched(browser, loop.url, **options) as page:
        page.goto(loop.url + filled(loop, path))
        settled(page)
        if "viewport" not in options:
            tall = page.evaluate("document.documentElement.scrollHeight")
            page.set_viewport_size({"width": 1320, "height": min(tall, 1500)})
        page.wait_for_timeout(500)  # for the last frame
        expect(page.locator("h1").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        for figure in page.locator("script.figure").all():
            drawn = page.locator(f"#{figure.get_attribute('data-for')} svg")
            assert drawn.count(), f"{name}: the figure {figure.get_attribute('data-for')} is not drawn"
        page.screenshot(path=IMAGES / f"{name}.png")
        assert (IMAGES / f"{name}.png").stat().st_size > 20_000, f"{name}: the picture is empty"
