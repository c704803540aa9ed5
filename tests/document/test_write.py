"""How documents write days and names."""

from datetime import UTC, datetime

import pytest

from riskloop.document.parts import MISSING
from riskloop.document.write import day, flat, moment, words


@pytest.mark.parametrize(
    ("name", "said"),
    [("needs_approval", "needs approval"), ("auc_gain", "AUC gain"), ("mean_pd", "mean PD"), ("jeffreys", "Jeffreys")],
)
def test_names_as_people_write_them(name: str, said: str) -> None:
    assert words(name) == said


def test_days_and_moments_are_utc_and_none_is_said() -> None:
    assert (day(datetime(2025, 3, 31, tzinfo=UTC)), day(None)) == ("2025-03-31", MISSING)
    assert (moment(datetime(2025, 3, 31, 14, 5, tzinfo=UTC)), moment(None)) == ("2025-03-31 14:05 UTC", MISSING)


def test_settings_lie_flat_in_their_order() -> None:
    found = flat({"train": {"learners": ["scorecard", "lightgbm"], "points": False}, "owner": None, "left": []})
    assert found == [
        ("train.learners", "scorecard, lightgbm"),
        ("train.points", "False"),
        ("owner", "none"),
        ("left", "none"),
    ]
