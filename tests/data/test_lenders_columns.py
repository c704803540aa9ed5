"""What `init` makes of what lenders have: a column that stopped, customers in other languages, codes near the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from tests.data.lender import TARGET, TIME, history

from riskloop.data.infer import Examined, Guessed, Wanted, examine

FRAME = history(600, seed=4)
SHARE = np.arange(600) / 600  # of the rows, which are in the order of their dates
RNG = np.random.default_rng(11)


def looked(folder: Path, **columns: Any) -> Examined:
    pd.concat([FRAME, pd.DataFrame(columns)], axis=1).to_csv(folder / "h.csv", index=False)
    return examine(folder / "h.csv", Wanted(target=TARGET, time=TIME))


def column(found: Examined, name: str) -> Guessed:
    return next(c for c in found.columns if c.name == name)


# --------------------------------------------------------------------------- columns that stop

VALUES: dict[str, Callable[[], npt.NDArray[Any]]] = {
    "a score": lambda: RNG.integers(300, 850, 600).astype(object),
    "a percentage": lambda: np.array([f"{x:.1f}%" for x in RNG.uniform(0, 99, 600)], dtype=object),
    "a level": lambda: RNG.choice(["low", "middle", "high"], 600).astype(object),
    "a code": lambda: RNG.choice(["007", "008", "012"], 600).astype(object),
}


@pytest.mark.parametrize("until", [0.4, 0.9])
@pytest.mark.parametrize("name", VALUES)
def test_a_column_that_stopped_is_no_input_and_says_since_when(name: str, until: float, tmp_path: Path) -> None:
    values = VALUES[name]()
    values[~(until >= SHARE)] = None
    found = column(looked(tmp_path, x=values), "x")
    day = FRAME[TIME][~(until >= SHARE) & (FRAME[TIME] > FRAME[TIME][until >= SHARE].max())].min()
    assert (found.role, found.why) == (
        "ignored",
        f"it has stopped: no row since {day} has a value, and 100% of those before",
    )


@pytest.mark.parametrize("which", ["came", "late", "rare", "gaps"])
def test_a_column_that_still_comes_is_an_input(which: str, tmp_path: Path) -> None:
    """One that began in the middle, that is late for a few rows, that is rare at any time, that has gaps."""
    values = VALUES["a score"]()
    gone = {
        "came": SHARE < 0.5,
        "late": SHARE > 0.97,
        "rare": np.arange(600) % 60 > 0,
        "gaps": (SHARE > 0.3) & (SHARE < 0.8),
    }[which]
    values[gone] = None
    assert column(looked(tmp_path, x=values), "x").role == "input"


# --------------------------------------------------------------------------- customers

CUSTOMERS = (
    *("CIFNO", "cif_no", "顧客番号", "会員番号", "客户编号", "고객번호", "musteri_no", "Müşteri No", "numer_klienta"),
    *("nr_klienta", "numero_cliente", "código_cliente", "kundnummer", "číslo zákazníka id"),
)


@pytest.mark.parametrize("name", CUSTOMERS)
def test_a_customer_who_comes_again_is_found_by_the_fields_word(name: str, tmp_path: Path) -> None:
    found = looked(tmp_path, **{name: [f"{n:08d}" for n in RNG.integers(0, 450, 600)]})
    assert column(found, name).role == "unit"
    assert column(found, "loan_id").role == "id"


@pytest.mark.parametrize(
    "name",
    ["customer_segment_code", "number_of_clients", "branch_code", "loan_purpose_code", "会員ランク", "product_no"],
)
def test_what_many_customers_share_is_no_customer(name: str, tmp_path: Path) -> None:
    found = looked(tmp_path, **{name: [f"{n:03d}" for n in RNG.integers(0, 9, 600)]})
    assert column(found, name).role != "unit"


# --------------------------------------------------------------------------- codes and signs


@pytest.mark.parametrize(("code", "low", "high"), [(999, 380, 841), (9999, 4000, 8200), (99, 20, 75)])
def test_a_code_may_stand_near_where_far_more_rows_have_it(code: int, low: int, high: int, tmp_path: Path) -> None:
    scores = np.concatenate((np.linspace(low, high, 540).astype(int), np.full(60, code)))
    assert column(looked(tmp_path, x=RNG.permutation(scores)), "x").special == (code,)


@pytest.mark.parametrize(("end", "share"), [(999, 0.002), (840, 0.1), (845, 0.1), (870, 0.1), (850, 0.1)])
def test_an_end_that_is_rare_or_no_code_is_a_quantity(end: int, share: float, tmp_path: Path) -> None:
    """A score that is cut at its end is one of many values just below."""
    scores = RNG.integers(380, 842, 600)
    scores[RNG.random(600) < share] = end
    assert column(looked(tmp_path, x=scores), "x").special == ()


@pytest.mark.parametrize("sign", ["%", " %", "％", " ％"])
def test_percentages_have_either_sign(sign: str, tmp_path: Path) -> None:
    found = column(looked(tmp_path, 金利=[f"{x:.1f}{sign}" for x in RNG.uniform(3, 18, 600)]), "金利")
    assert (found.kind, found.written, found.look) == ("number", "percent", "")


# --------------------------------------------------------------------------- loans that are still open

STATUS = FRAME[TARGET].map({1: "Charged Off", 0: "Fully Paid"})


@pytest.mark.parametrize("word", ["Current", "", "VIGENTE"])
def test_open_loans_of_the_latest_months_are_told(word: str, tmp_path: Path) -> None:
    """Among them those that have an outcome ended early: a default rate of the ended ones is not that of all."""
    status = STATUS.where(RNG.random(600) > SHARE, word)
    frame = FRAME.assign(**{TARGET: status})
    frame.to_csv(tmp_path / "h.csv", index=False)
    good, bad = ("Fully Paid",), ("Charged Off",)
    notes = " ".join(examine(tmp_path / "h.csv", Wanted(TARGET, time=TIME, bad=bad, good=good)).notes)
    assert "have no outcome, of the oldest third" in notes
    if word:
        notes = " ".join(examine(tmp_path / "h.csv", Wanted(TARGET, time=TIME, bad=bad, good=(*good, word))).notes)
        assert "have no outcome" not in notes


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_rows_without_an_outcome_at_any_time_are_no_open_loans(share: float, tmp_path: Path) -> None:
    frame = FRAME.assign(**{TARGET: STATUS.where(RNG.random(600) >= share, "")})
    frame.to_csv(tmp_path / "h.csv", index=False)
    assert "of the oldest third" not in " ".join(examine(tmp_path / "h.csv", Wanted(TARGET, time=TIME)).notes)
