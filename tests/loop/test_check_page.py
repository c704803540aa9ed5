"""The page of `riskloop check`: everything that was found, and nothing that a file says becomes markup."""

import re
from typing import Any

import pytest

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
