"""Targets that are no flag: days past due with a bound, the date of a default; the same in every way in."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import TARGET, history

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import parse_settings
from riskloop.core.truth import truth
from riskloop.data.candidates import ask_for_target
from riskloop.data.config import config_text
from riskloop.data.infer import Examined, Wanted, examine
from riskloop.data.outcomes import read_outcomes
from riskloop.data.read import read_rows

FRAME = history(600, seed=2)
Y = FRAME[TARGET].to_numpy()
RNG = np.random.default_rng(4)
NOW = datetime(2025, 5, 1, tzinfo=UTC)
DAYS = np.where(Y == 1, 90 + RNG.integers(0, 200, 600), RNG.integers(0, 90, 600) * (RNG.random(600) < 0.3))
LATER = pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 300, 600), unit="D")


@pytest.mark.parametrize(
    ("value", "bad", "good", "read"),
    [
        ("90", (">=90",), (), 1.0),
        ("89.5", (">= 90",), (), 0.0),
        (90, (">90",), (), 0.0),
        ("120", (">90", "WO"), (), 1.0),
        ("wo", (">90", "WO"), (), 1.0),
        ("late", (">=90",), (), None),  # beside a bound only numbers are none
        ("45", (">=90",), ("<30",), None),
        ("0", (">=90",), ("<30",), 0.0),
        ("-5", ("<0",), (), 1.0),
        (">90", (">90",), (), 1.0),  # a level that is written like a bound
        ("31-60", (">90",), ("0", "1-30", "31-60"), 0.0),
        ("2024-05-01", ("*",), ("",), 1.0),
        ("", ("*",), ("",), 0.0),
        ("NULL", ("*",), ("",), None),
        ("0", ("*",), ("0",), 0.0),
    ],
)
def test_a_word_may_mean_many_values(value: Any, bad: Any, good: Any, read: float | None) -> None:
    assert truth(value, bad, good) == read


def looked(values: Any, folder: Path, name: str = "outcome", **wanted: Any) -> Examined:
    frame = FRAME.drop(columns=TARGET).assign(**{name: values})
    frame.to_csv(folder / "h.csv", index=False)
    return examine(folder / "h.csv", Wanted(**{"target": name, **wanted}))


RULES: dict[str, tuple[Any, Any, str]] = {
    "days past due": (DAYS, (">=90",), "max_dpd_12m"),
    "losses": (np.where(Y == 1, RNG.gamma(2, 800, 600).round(2), 0.0), (">0",), "loss"),
    "dates": (np.where(Y == 1, LATER.strftime("%Y-%m-%d"), ""), ("*",), "default_date"),
    "dates as numbers": (np.where(Y == 1, LATER.strftime("%Y%m%d"), ""), ("*",), "default_dt"),
    "dates, NULL for none": (np.where(Y == 1, LATER.strftime("%d.%m.%Y"), "NULL"), ("*",), "ausfall_am"),
    "dates of American form": (np.where(Y == 1, LATER.strftime("%m/%d/%Y"), ""), ("*",), "chargeoff_date"),
    "dates, 0 for none": (np.where(Y == 1, LATER.strftime("%Y%m%d"), "0"), ("*",), "default_dt"),
}


@pytest.mark.parametrize("name", RULES)
def test_a_target_that_is_no_flag_trains_and_is_read_back(name: str, tmp_path: Path) -> None:
    values, bad, column = RULES[name]
    good = ("0",) if "0 for none" in name else ()
    found = looked(values, tmp_path, column, bad=bad, good=good)
    assert found.target.rate == pytest.approx(Y.mean())
    settings = parse_settings(config_text(found))
    schema = settings.row_schema
    rows = read_rows(tmp_path / "h.csv", schema, target="required", where="h.csv", dialect=settings.data).rows
    assert rows.target is not None
    assert rows.target.tolist() == Y.tolist()
    told = pd.DataFrame({str(schema.id): FRAME[str(schema.id)], column: values})
    outcomes = read_outcomes(told, schema, default_known_at=NOW, dialect=settings.data)
    assert [one.defaulted for one in outcomes] == (Y == 1).tolist()


@pytest.mark.parametrize("name", ["days past due", "dates", "dates as numbers", "dates of American form"])
def test_a_rule_that_the_values_show_is_taken_and_asked_about(name: str, tmp_path: Path) -> None:
    values, bad, column = RULES[name]
    found = looked(values, tmp_path, column)
    assert found.target.bad == bad
    assert found.target.rate == pytest.approx(Y.mean())
    assert f"--bad '{bad[0]}'" in found.questions[0]


def test_a_count_that_nobody_names_is_refused_with_the_way_to_say_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="say --bad '>=90'"):
        looked(DAYS, tmp_path, "x")
    with pytest.raises(DataError, match="no value '>=1000'"):
        looked(DAYS, tmp_path, "x", bad=(">=1000",))


@pytest.mark.parametrize(
    ("bad", "good"), [(("2",), ("1",)), ((">=90",), ()), (("bad",), ("good",)), (("0",), ("1",)), (("*",), ("",))]
)
@pytest.mark.parametrize("as_frame", [True, False])
def test_a_column_default_says_1_and_0_whatever_the_target_says(
    bad: tuple[str, ...], good: tuple[str, ...], as_frame: bool
) -> None:
    schema = Schema((Feature("debt", "number"),), target="y", id="id", bad=bad, good=good)
    text = "id,default\na,1\nb,0\nc,0\n"
    source: Any = pd.read_csv(io.StringIO(text)) if as_frame else io.BytesIO(text.encode())
    found = read_outcomes(source, schema, default_known_at=NOW)
    assert [one.defaulted for one in found] == [True, False, False]


CALLED: dict[str, Any] = {
    "default_flag": Y,
    "BAD": Y,
    "loan_status": np.where(Y == 1, "Charged Off", "Fully Paid"),
    "GB": np.where(Y == 1, "B", "G"),
    "Kredit_Ausfall": np.where(Y == 1, "ja", "nein"),
    "SeriousDlqin2yrs": Y,
    "max_dpd_12m": DAYS,
    "default_date": np.where(Y == 1, LATER.strftime("%Y-%m-%d"), ""),
}


@pytest.mark.parametrize("name", CALLED)
def test_a_target_that_nobody_named_is_asked_for_with_those_it_may_be(name: str, tmp_path: Path) -> None:
    frame = FRAME.drop(columns=TARGET).assign(
        own_car=RNG.choice(["Y", "N"], 600), sex=RNG.choice([1, 2], 600), **{name: CALLED[name]}
    )
    frame.to_csv(tmp_path / "h.csv", index=False)
    said = ask_for_target(tmp_path / "h.csv", Wanted(""), "h.csv").message
    assert f"It may be '{name}'" in said
    assert "--target" in said


def test_a_file_without_an_outcome_says_that_no_column_looks_like_one(tmp_path: Path) -> None:
    FRAME[["loan_id", "income"]].to_csv(tmp_path / "h.csv", index=False)
    said = ask_for_target(tmp_path / "h.csv", Wanted(""), "h.csv").message
    assert "None of h.csv looks like one; it has loan_id, income" in said


# The states of loans in lenders' ledgers: a default, none, and rows of which nothing is decided or nothing was owed.
LEDGERS: dict[str, tuple[str, Any, Any, Any]] = {
    "Peru": ("Estado", ("CASTIGADO", "JUDICIAL"), ("CANCELADO",), ("VIGENTE", "VENCIDO")),
    "Brazil": ("Situação", ("Prejuízo",), ("Liquidado",), ("Cancelado", "Ativo")),
    "orders": ("status", ("written_off", "in_collections"), ("paid", "paid_late"), ("active", "refunded", "declined")),
    "marketplace": ("loan_status", ("Charged Off",), ("Fully Paid",), ("Current", "Late (31-120 days)", "Declined")),
    "core banking": ("GB_IND", ("B",), ("G",), ("I",)),
    "German": ("Status", ("Abgeschrieben", "Inkasso"), ("bezahlt",), ("laufend", "abgelehnt", "storniert")),
    "applications": ("STATUS", ("DEFAULTED",), ("CLOSED",), ("REJECTED", "NOT_DISBURSED", "CANCELLED_BEFORE_START")),
}


def ledger(of: str) -> tuple[pd.DataFrame, Any]:
    """Loans with their state, one of twelve undecided or never paid out; some columns sound like an outcome, too."""
    name, *kinds = LEDGERS[of]
    still = np.arange(600) % 12 == 0
    read = [RNG.choice(kind, 600) for kind in kinds]
    state = np.where(still, read[2], np.where(Y == 1, read[0], read[1]))
    dunned = ((Y == 1) & ~still & (RNG.random(600) < 0.8)).astype(int)
    frame = FRAME.drop(columns=TARGET).assign(**{name: state, "Días Mora Máx": DAYS, "sent_to_collections": dunned})
    return frame, still


@pytest.mark.parametrize("of", LEDGERS)
def test_the_state_of_a_loan_is_proposed_and_read(of: str, tmp_path: Path) -> None:
    name, bad, good, undecided = LEDGERS[of]
    frame, still = ledger(of)
    frame.to_csv(tmp_path / "h.csv", index=False)
    asked = ask_for_target(tmp_path / "h.csv", Wanted(""), "h.csv")
    assert name in [problem.field for problem in asked.details]
    found = examine(tmp_path / "h.csv", Wanted(name)).target
    assert [{*words} for words in (found.bad, found.good, found.undecided)] == [{*bad}, {*good}, {*undecided}]
    assert found.left_out == still.sum()
    assert f"{still.sum()} rows have no outcome and are left out: " in found.sentence
    assert all(repr(word) in found.sentence for word in undecided)


@pytest.mark.parametrize(
    ("late", "default"),
    [("Late (31-120 days)", False), ("late 61-90 days", False), ("Late (91-120 days)", True), ("90 days late", True)],
)
def test_late_is_a_default_from_90_days_on_and_undecided_before(late: str, default: bool, tmp_path: Path) -> None:
    values = np.where(np.arange(600) % 12 == 0, late, np.where(Y == 1, "Charged Off", "Fully Paid"))
    found = looked(values, tmp_path).target
    assert (late in found.bad, late in found.undecided) == (default, not default)
    assert ("Late is a default from 90 days past due on" in found.sentence) == (not default)


def test_what_a_column_may_be_is_said_once(tmp_path: Path) -> None:
    frame = ledger("Peru")[0].drop(columns="sent_to_collections")
    frame.to_csv(tmp_path / "h.csv", index=False)
    asked = ask_for_target(tmp_path / "h.csv", Wanted(""), "h.csv")
    said = {problem.field: problem.problem for problem in asked.details}
    assert said["Estado"].endswith("defaults")
    assert said["Días Mora Máx"] == ">=90 would be a default"
    assert all(f"'{name}'" in asked.message and problem not in asked.message for name, problem in said.items())


DECLINED: dict[str, tuple[str, Any, Any]] = {
    "true": ("is_declined", True, False), "1": ("declined_flag", 1, 0), "not approved": ("approved", "N", "Y"),
    "a decision": ("decision", "declined", "accepted"), "German": ("genehmigt", "nein", "ja"),
    "Spanish": ("resultado", "Rechazada", "Otorgada"),
}  # fmt: skip


@pytest.mark.parametrize("lent", [False, True])
@pytest.mark.parametrize("of", DECLINED)
def test_who_was_declined_is_not_silently_good(of: str, lent: bool, tmp_path: Path) -> None:
    name, yes, no = DECLINED[of]
    declined = np.random.default_rng(5).random(600) < 0.25
    bad = np.where(declined & (not lent), 0, Y)
    frame = FRAME.drop(columns=TARGET).assign(**{name: np.where(declined, yes, no), "bad": bad})
    frame.to_csv(tmp_path / "h.csv", index=False)
    asked = [question for question in examine(tmp_path / "h.csv", Wanted("bad")).questions if f"'{name}'" in question]
    assert len(asked) == (not lent)
    assert all(question.startswith(f"{declined.mean():.1%} of the rows") for question in asked)
