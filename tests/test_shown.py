"""What a notebook shows is text, whatever a lender's names hold."""

from typing import Any

import pandas as pd

from riskloop.shown import SHOWN, rows_table, status_table

STATUS: dict[str, Any] = {
    "portfolio": "cards <b>",
    "decisions": 12_345,
    "champion": None,
    "realised": None,
    "last_window": None,
    "loop": {"problem": None},
    "trust": {"problem": None},
    "quarantine": None,
    "outcomes": {"late": None},
    "open_cases": [],
    "unresolved": [],
    "next": [],
}


def test_a_new_portfolio_says_that_nothing_serves_and_nothing_is_open() -> None:
    shown = status_table(STATUS)
    for text in ("none yet", "12,345", "none is open", "cards &lt;b&gt;"):
        assert text in shown
    assert "<b>" not in shown


def test_all_that_is_wrong_is_shown() -> None:
    said = {
        "loop": {"problem": "The loop stands still."},
        "trust": {"problem": "Link 3 is broken."},
        "quarantine": {"sentence": "40 rows are kept out."},
        "outcomes": {"late": "Outcomes are late."},
        "realised": {"sentence": "AUC 0.71 on 900 outcomes."},
        "last_window": {"name": "2025-05", "sentence": "Stable."},
        "champion": {"version": 3, "learner": "lightgbm", "since": "2025-05-01T00:00:00Z", "auc": 0.7712},
        "open_cases": [{"id": 7, "state": "waiting", "sentence": "Too few outcomes."}],
        "unresolved": [{"id": 5, "sentence": "It ranks worse than at its training."}],
        "next": [{"command": "riskloop watch", "why": "a month is over"}, {"command": "never", "why": "second"}],
    }
    shown = status_table({**STATUS, **said})
    for text in (
        "stands still",
        "Link 3",
        "40 rows",
        "are late",
        "AUC 0.71",
        "Stable.",
        "version 3 (lightgbm) since 2025-05-01",
    ):
        assert text in shown
    assert "AUC 0.771 at training" in shown
    assert "case 7, waiting" in shown
    assert "case 5, unresolved" in shown
    assert "riskloop watch (a month is over)" in shown
    assert "never" not in shown
    assert "none is open" not in shown


def test_a_long_table_is_cut_and_its_text_escaped() -> None:
    rows = pd.DataFrame({"job": ["<script>"] * (SHOWN + 20), "n": range(SHOWN + 20)})
    shown = rows_table("5 < 6", rows)
    assert "<script>" not in shown
    assert "5 &lt; 6" in shown
    assert shown.count("<tr") <= SHOWN + 2
    assert rows_table(None, rows.head(1)).startswith("<table")
