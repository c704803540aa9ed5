"""How often rows come, which is how their windows are cut."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine

ROWS = 1200
MADE: dict[str, tuple[str, Callable[[int], str]]] = {
    "2017Q1": ("quarter", lambda k: f"{2017 + k // 4}Q{k % 4 + 1}"),
    "ends of quarters": ("quarter", lambda k: f"{(k % 4 + 1) * 3:02d}/{2017 + k // 4}"),
    "half-years": ("half-year", lambda k: f"{2012 + k // 2}-{k % 2 * 6 + 3:02d}-30"),
    "years": ("year", lambda k: f"{2010 + k}-06-30"),
    "months": ("month", lambda k: f"{2022 + k // 12}-{k % 12 + 1:02d}-28"),
    "two months of three": ("month", lambda k: f"{2018 + k // 8}-{k % 8 * 3 // 2 + 1:02d}-03"),
}


def history(made: str, odd: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    when = np.sort(rng.integers(0, 12, ROWS))
    dates = [MADE[made][1](int(k)) for k in when]
    dates[:odd] = [MADE["months"][1](1 + n % 3) for n in range(odd)]
    return pd.DataFrame(
        {
            "date": dates,
            "income": rng.lognormal(10, 0.5, ROWS).round(2),
            "default": (rng.random(ROWS) < 0.1).astype(int),
        }
    )


@pytest.mark.parametrize("made", MADE)
def test_windows_are_as_long_as_the_rows_are_apart(made: str, tmp_path: Path) -> None:
    history(made).to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default", time="date"))
    by = MADE[made][0]
    assert parse_settings(config_text(found)).windows.by == by
    said = any(note.startswith(f"The rows come once a {by}, by 'date'") for note in found.notes)
    assert said == (by != "month")
    chosen = {"windows": {"by": "week"}}
    assert parse_settings(config_text(found, chosen=chosen)).windows.by == "week", "what is chosen stands"


@pytest.mark.parametrize(("odd", "by"), [(6, "half-year"), (60, "month")])
def test_a_few_odd_dates_are_errors_and_many_are_none(odd: int, by: str, tmp_path: Path) -> None:
    history("half-years", odd).to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("default", time="date"))
    assert parse_settings(config_text(found)).windows.by == by
