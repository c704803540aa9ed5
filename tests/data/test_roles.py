"""What `init` takes a column for: ids and codes of groups, years, codes without zeros, numbers with names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import ID, TARGET, TIME, history
from tests.data.test_guesses import column, looked

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature
from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.joined import Joined
from riskloop.data.read import not_read, read_rows
from riskloop.train.rates import branches_of

RNG = np.random.default_rng(14)
PLAIN = history(600, seed=5)[["income", "late", "purpose", TARGET]]
N = len(PLAIN)


@pytest.mark.parametrize("rows", [60, N])
@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("census_tract", lambda n: [f"{i % 56:02d}037{200_000 + 7 * i}" for i in range(n)]),
        ("GEOID", lambda n: [f"{36_000_000_000 + 1013 * i}" for i in range(n)]),
        ("branch_id", lambda n: [f"B-{i:04d}" for i in range(n)]),
        ("dealer_no", lambda n: RNG.permutation(90_000)[:n] + 10_000),
        ("postcode", lambda n: [f"{10_000 + 31 * i}" for i in range(n)]),
        ("employerId", lambda n: RNG.permutation(5 * n)[:n]),
        ("lei", lambda n: [f"5493{i:016d}" for i in range(n)]),
        ("municipality code", lambda n: [f"GM{i:04d}" for i in range(n)]),
    ],
)
def test_a_code_that_groups_rows_is_no_id_also_where_each_comes_once(
    name: str, made: Any, rows: int, tmp_path: Path
) -> None:
    frame = PLAIN.head(rows).reset_index(drop=True).assign(**{name: made(rows)})
    found = looked(frame, tmp_path)
    assert column(found, name).role not in ("id", "unit")
    keyed = frame.assign(loan_no=[f"L{i:05d}" for i in range(rows)])
    assert looked(keyed, tmp_path).name_of("id") == "loan_no"


@pytest.mark.parametrize("name", ["dealer_id", "county_id", "EmployerID", "ProductID", "servicer_id"])
def test_a_code_that_many_customers_share_is_no_customer(name: str, tmp_path: Path) -> None:
    found = looked(PLAIN.assign(**{name: RNG.integers(100, 180, N)}), tmp_path)
    assert (column(found, name).role, column(found, name).kind) == ("input", "category")
    assert looked(PLAIN.assign(customer_id=RNG.integers(100, 180, N)), tmp_path).name_of("unit") == "customer_id"


@pytest.mark.parametrize("name", ["activity_year", "year", "Vintage", "ApprovalFY", "origination_year", "report_yr"])
def test_years_are_offered_as_the_date_and_no_input(name: str, tmp_path: Path) -> None:
    frame = PLAIN.assign(**{name: 2015 + np.arange(N) % 5})
    found = looked(frame, tmp_path)
    assert column(found, name).role == "ignored"
    assert any(f"--time {name}" in note for note in found.notes)
    said = looked(frame, tmp_path, time=name)
    rows = read_rows(
        tmp_path / "h.csv", parse_settings(config_text(said)).row_schema, target="required", where="h.csv"
    ).rows
    assert {*np.unique(rows.times.astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970)} == {
        *range(2015, 2020)
    }


@pytest.mark.parametrize("name", ["year_built", "model_year", "years_employed", "birth_year", "year_of_first_job"])
def test_years_of_something_else_are_not_the_decisions(name: str, tmp_path: Path) -> None:
    found = looked(PLAIN.assign(**{name: 1985 + np.arange(N) % 30}), tmp_path)
    assert not any(f"--time {name}" in note for note in found.notes)


def test_the_year_of_a_panel_is_its_time(tmp_path: Path) -> None:
    panel = PLAIN.assign(company_id=np.arange(N) // 4, fiscal_year=2016 + np.arange(N) % 4)
    found = looked(panel, tmp_path)
    assert (found.name_of("unit"), found.name_of("time")) == ("company_id", "fiscal_year")


@pytest.mark.parametrize("written", [int, float, str])
@pytest.mark.parametrize("name", ["Zip", "census_tract", "fips_code", "PLZ", "insee", "msa"])
def test_codes_that_have_lost_their_zeros_are_codes_of_a_tree(name: str, written: Any, tmp_path: Path) -> None:
    codes = RNG.integers(1_100, 99_000, 250)
    frame = PLAIN.assign(**{name: RNG.choice(codes, N).astype(written)})
    found = column(looked(frame, tmp_path), name)
    assert (found.role, found.kind, found.prefixes) == ("input", "category", (2, 3))
    feature = Feature(name, "category", categories=found.categories, prefixes=found.prefixes)
    roots, _ = branches_of(feature)
    whole = [level.zfill(5) for level in found.categories]
    for root, level in zip(roots, whole, strict=True):
        assert root == roots[next(i for i, other in enumerate(whole) if other[:2] == level[:2])]
    assert len({*roots}) == len({level[:2] for level in whole})


@pytest.mark.parametrize("name", ["tract_population", "msa_median_income", "zip_income", "tract_minority_percent"])
def test_figures_of_a_place_are_numbers(name: str, tmp_path: Path) -> None:
    assert column(looked(PLAIN.assign(**{name: RNG.integers(900, 99_000, N)}), tmp_path), name).kind == "number"


def test_codes_of_which_some_begin_with_zero_or_have_other_lengths_stay_as_they_are() -> None:
    for levels in (["01234", "12345", "2345"], ["11", "441", "44121", "722511"], ["12", "99", "1"], ["A123", "123"]):
        feature = Feature("code", "category", categories=tuple(levels), prefixes=(2,))
        numbers = branches_of(feature)[0]
        assert len({*numbers}) == len({level[:2] for level in levels})


# --------------------------------------------------------------------------- names of numbers

WAYS = ("sav", "dta")
Y = PLAIN[TARGET]
MEANINGS: dict[str, tuple[dict[int, str], pd.Series]] = {
    "2 is bad, and the commoner one": ({1: "Good", 2: "Bad"}, 2 - Y),  # with Y turned round: most are bad
    "1 is bad": ({1: "Bad credit risk", 2: "Good credit risk"}, 2 - Y),
    "0 is bad": ({0: "Default", 1: "Repaid"}, 1 - Y),
    "of a language": ({1: "ausgefallen", 2: "bezahlt"}, 2 - Y),
    "with a third": ({1: "charged off", 2: "fully paid", 3: "current"}, (2 - Y).where(np.arange(N) % 7 > 0, 3)),
    "as usual": ({0: "No", 1: "Yes"}, Y),
}


def written(frame: pd.DataFrame, way: str, folder: Path, labels: dict[str, dict[int, str]]) -> Path:
    pyreadstat = pytest.importorskip("pyreadstat")
    path = folder / f"h.{way}"
    write = {"sav": pyreadstat.write_sav, "dta": pyreadstat.write_dta}[way]
    write(frame, str(path), variable_value_labels=labels)
    return path


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MEANINGS)
def test_names_of_values_tell_which_one_is_bad(name: str, way: str, tmp_path: Path) -> None:
    names, values = MEANINGS[name]
    path = written(PLAIN.assign(**{TARGET: values}), way, tmp_path, {TARGET: names})
    found = examine(path, Wanted(TARGET))
    worst = next(
        (
            n
            for n, said in names.items()
            if said.lower() in ("bad", "default", "bad credit risk", "ausgefallen", "charged off", "yes")
        )
    )
    kept = values != 3
    assert found.target.rate == pytest.approx((values[kept] == worst).mean())
    assert names[worst] in found.target.sentence or not found.target.bad
    assert names[worst] in column(found, TARGET).values


@pytest.mark.parametrize("way", WAYS)
def test_a_person_may_say_the_name_of_a_value(way: str, tmp_path: Path) -> None:
    names = {1: "Performing book", 2: "Sold to agency", 3: "Other"}
    path = written(PLAIN.assign(**{TARGET: (Y + 1).where(np.arange(N) % 9 > 0, 3)}), way, tmp_path, {TARGET: names})
    found = examine(path, Wanted(TARGET, bad=("sold to agency",), good=("Performing book",)))
    assert (found.target.bad, found.target.good) == (("2",), ("1",))
    assert "Sold to agency" in found.target.sentence


@pytest.mark.parametrize("way", WAYS)
def test_names_show_in_the_table_and_tell_codes_from_numbers(way: str, tmp_path: Path) -> None:
    children = pd.Series(RNG.poisson(1.5, N)).where(RNG.random(N) > 0.1, 98)
    frame = PLAIN.assign(marital=RNG.integers(1, 4, N), children=children)
    labels = {"marital": {1: "single", 2: "married", 3: "widowed"}, "children": {98: "refused", 99: "don't know"}}
    found = examine(written(frame, way, tmp_path, labels), Wanted(TARGET))
    assert "2 = married" in column(found, "marital").values
    assert column(found, "marital").kind == "category"
    assert (column(found, "children").kind, column(found, "children").special) == ("number", (98.0,))


HISTORY = history(300, seed=6)
REPORTED = pd.Series((pd.to_datetime(HISTORY[TIME]) + pd.Timedelta(days=365)).astype(str))


@pytest.mark.parametrize(
    "name", ["known_at", "reported_on", "default_reported_date", "outcome known", "Meldedatum", "labelledAt"]
)
@pytest.mark.parametrize("first", [False, True])
def test_the_date_of_a_report_is_neither_input_nor_decision(name: str, first: bool, tmp_path: Path) -> None:
    frame = HISTORY.assign(**{name: REPORTED})
    names = [name, *map(str, HISTORY)] if first else [*map(str, HISTORY), name]
    found = looked(frame[names], tmp_path)
    assert (found.name_of("time"), found.name_of("known")) == (TIME, name)
    settings = parse_settings(config_text(found))
    assert settings.portfolio.known_at == settings.row_schema.known_at == name
    assert name not in (*settings.features, *settings.portfolio.ignore)
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data)
    assert len(rows.rows) == len(frame)
    assert name not in not_read(list(map(str, frame)), settings.row_schema)


@pytest.mark.parametrize("name", ["seen", "approved_on", "stand"])
def test_the_date_of_a_report_may_be_named(name: str, tmp_path: Path) -> None:
    found = looked(HISTORY.assign(**{name: REPORTED}), tmp_path, known_at=name, time=TIME)
    assert parse_settings(config_text(found)).portfolio.known_at == name
    with pytest.raises(DataError, match="no column 'no_such'"):
        looked(HISTORY, tmp_path, known_at="no_such")


@pytest.mark.parametrize("name", ["reporting_date", "reported_income", "known_since", "recorded_at"])
def test_what_only_sounds_like_a_report_is_none(name: str, tmp_path: Path) -> None:
    before = pd.Series((pd.to_datetime(HISTORY[TIME]) - pd.Timedelta(days=40)).astype(str))
    values = HISTORY["income"] / 2 if "income" in name else before
    found = looked(HISTORY.assign(**{name: values}), tmp_path, time=TIME)
    assert found.name_of("known") is None
    assert parse_settings(config_text(found)).portfolio.known_at == "known_at"


@pytest.mark.parametrize(("name", "named"), [("reported_on", None), ("seen", "seen")])
def test_the_date_of_a_report_may_stand_beside_the_outcomes(name: str, named: str | None, tmp_path: Path) -> None:
    told = HISTORY[[ID, TARGET]].assign(**{name: REPORTED})
    HISTORY.drop(columns=TARGET).to_csv(tmp_path / "h.csv", index=False)
    told.to_csv(tmp_path / "o.csv", index=False)
    found = examine(Joined(tmp_path / "h.csv", tmp_path / "o.csv"), Wanted(TARGET, known_at=named))
    assert parse_settings(config_text(found)).portfolio.known_at == name


NESTED: dict[str, Any] = {
    "objects": lambda i: json.dumps({"a": i % 7}),
    "an object of each row": lambda i: f'{{"score":{1000 + i}}}',
    "lists": lambda i: json.dumps([i % 3, i % 5]),
    "of Python": lambda i: str({"a": i % 7, "b": None}),
    "in quotes": lambda i: json.dumps(json.dumps({"a": i % 7})),
    "with gaps": lambda i: json.dumps([i % 9]) if i % 3 else "",
    "with errors": lambda i: json.dumps({"a": i % 7}) if i % 50 else "error",
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("named", ["payload", "customer_ref", "status"])
@pytest.mark.parametrize("bare", [False, True])  # without a better id or date
def test_what_is_nested_is_said_to_be_and_never_taken_for_a_value(
    name: str, named: str, bare: bool, tmp_path: Path
) -> None:
    frame = HISTORY.assign(**{named: [NESTED[name](i) for i in range(len(HISTORY))]})
    found = looked(frame.drop(columns=[ID, TIME]) if bare else frame, tmp_path)
    told = column(found, named)
    assert (told.role, told.kind) == ("ignored", "nested")
    assert told.why.startswith("nested JSON, not used: flatten it")


@pytest.mark.parametrize("text", ["[A]", "{x", "a{1}b"])
def test_levels_in_some_brackets_stay_levels(text: str, tmp_path: Path) -> None:
    values = np.resize([text, "plain", "other"], len(HISTORY))
    assert column(looked(HISTORY.assign(status=values), tmp_path), "status").kind == "category"
