"""The page of `riskloop check`: everything that was found, and nothing that a file says becomes markup."""

import re
from typing import Any

import pytest
from tests.web.browser import chromium

from riskloop.loop.check_page import check_page

EVIL = '<script>alert("x")</script>&'


def found(**changes: Any) -> dict[str, Any]:
    column = {
        "column": "income", "kind": "number", "refused": 3, "missing": 1, "unseen": 0, "psi": 0.25061,
        "severity": "drifted",
        "findings": ["income moved."],
    }  # fmt: skip
    page = {
        "rows": 12_345,
        "refused": 3,
        "reasons": ["  3 × column 'income'"],
        "sentence": "A shift.",
        "notes": ["Read under another spelling."],
        "columns": [column],
    }
    return {**page, **changes}


def test_every_figure_is_on_the_page() -> None:
    page = check_page(found(), "june.csv")
    for text in (
        "june.csv",
        "12,345 rows",
        "3 of them would be refused",
        "A shift.",
        "0.251",
        "drifted",
        "income moved.",
    ):
        assert text in page
    assert "http" not in page
    assert "<script" not in page


@pytest.mark.parametrize("where", ["name", "sentence", "reasons", "column", "findings"])
def test_what_a_file_says_is_text(where: str) -> None:
    page = found()
    if where in ("column", "findings"):
        page["columns"][0][where] = EVIL if where == "column" else [EVIL]
    elif where != "name":
        page[where] = EVIL if where == "sentence" else [EVIL]
    text = check_page(page, EVIL if where == "name" else "june.csv")
    assert "<script" not in text
    assert re.search(r"&lt;script&gt;alert\(&#34;x&#34;\)&lt;/script&gt;&amp;", text)


def test_without_drift_and_refusals_there_is_nothing_to_say_of_them() -> None:
    clean = found(refused=0, reasons=[])
    clean["columns"][0] |= {"psi": None, "findings": []}
    page = check_page(clean, "june.csv")
    assert "<h2>Refused" not in page
    assert "None" not in page


def test_at_every_width_all_that_was_found_is_seen() -> None:
    """The last column, with the findings, stood beyond the edge of a telephone."""
    said = "income moved (PSI 1.565): the share of “over 19” from 6.1% to 37.6%, of “up to 1” from 10.7% to 0.0%."
    page = found(sentence="A_long_name_" * 20)
    names = ("income", "a_column_with_a_name_of_a_core_bank_" * 2)
    page["columns"] = [{**page["columns"][0], "column": name, "findings": [said]} for name in names]
    with chromium() as browser:
        for width in (360, 390, 800, 801, 1400):
            shown = browser.new_page(viewport={"width": width, "height": 800})
            shown.set_content(check_page(page, "june.csv"))
            ends = shown.evaluate("[...document.querySelectorAll('body *')].map(e => e.getBoundingClientRect().right)")
            assert max(ends) <= width
            cells = shown.get_by_text(said).all()
            assert [cell.is_visible() for cell in cells] == [True] * len(names)
            shown.close()
