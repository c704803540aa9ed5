"""What stands beside a number, and what the number is in another unit; each kind in many words."""

import math

import pytest

from riskloop.core.schema import TextStyle
from riskloop.core.settings import FeatureSettings, Settings
from riskloop.core.units import unit_of, unit_problem, units_of
from riskloop.core.values import parse_number, style_of

MONTHS = ["36 months", "36 Monate", "36 mois", "36 meses", "36 mesi", "36M", "36 mths.", "36 maanden", "36 мес."]
YEARS = ["3 years", "3 Jahre", "3 ans", "3 años", "3 anni", "3y", "3 yrs.", "3 lat", "3 года"]
DAYS = ["21 days", "21 Tage", "21 jours", "21 días", "21d", "21 dni"]
WEEKS = ["3 weeks", "3 Wochen", "3 semaines", "3 semanas", "3w"]


@pytest.mark.parametrize(
    ("texts", "unit", "number"), [(YEARS, "months", 36), (MONTHS, "years", 3), (WEEKS, "days", 21)]
)
def test_another_unit_is_converted_where_it_always_is_as_many(texts: list[str], unit: str, number: float) -> None:
    assert {parse_number(text, "unit", ".", (unit,)) for text in texts} == {number}


@pytest.mark.parametrize(("texts", "unit"), [(DAYS, "months"), (WEEKS, "years"), (MONTHS, "days"), (YEARS, "km")])
def test_a_unit_that_is_no_number_of_the_other_is_refused_with_both(texts: list[str], unit: str) -> None:
    for text in texts:
        assert math.isnan(parse_number(text, "unit", ".", (unit,)))
        said = unit_problem(text, "unit", (unit,)) or ""
        assert unit_of(text, "unit") in said
        assert unit in said


def test_a_bound_in_another_unit_is_no_number_and_in_its_own_it_is() -> None:
    assert parse_number("< 1 year", "unit", ".", ("years",)) == 0
    assert parse_number("10+ years", "unit", ".", ("years",)) == 10
    assert math.isnan(parse_number("< 1 year", "unit", ".", ("months",)))
    assert parse_number("1 year 6 months", "unit", ".", ("months",)) == 18
    assert parse_number("1 year 6 months", "unit", ".", ("years",)) == 1.5


@pytest.mark.parametrize(
    ("style", "units", "taken", "refused"),
    [
        ("amount", ("EUR", ""), ["€5", "5 EUR", "5,00 €".replace(",", "."), "5"], ["$5", "5 CHF", "£5", "5 kr", "50¢"]),
        ("amount", ("$", ""), ["$5", "USD 5", "5", "US$ 5", "CAD 5"], ["€5", "5 zł", "¥5", "5 Rs."]),
        ("amount", ("SEK", ""), ["5 kr", "SEK 5"], ["5 EUR", "$5"]),
        ("amount", ("$", "EUR", ""), ["$5", "€5"], ["£5"]),
        ("percent", ("%",), ["5%", "50‰", "5 %"], ["5", "0.05"]),
        ("percent", ("%", ""), ["5%", "5"], []),
        ("unit", ("km",), ["5 km", "5km", "5 KM"], ["5 miles", "5", "5 years"]),
        ("unit", ("months", ""), ["5 months", "5"], ["5 days"]),
        ("unit", (), ["5 months", "5", "5 years"], []),
    ],
)
def test_only_what_is_in_the_historys_units_is_taken(
    style: TextStyle, units: tuple[str, ...], taken: list[str], refused: list[str]
) -> None:
    assert {parse_number(text, style, ".", units) for text in taken} == {5}
    assert all(math.isnan(parse_number(text, style, ".", units)) for text in refused)
    assert all(unit_problem(text, style, units) for text in refused)


@pytest.mark.parametrize(
    ("texts", "style", "units"),
    [
        (MONTHS, "unit", ("months",)),
        ([*MONTHS, *YEARS], "unit", ("months", "years")),
        ([*DAYS, "7"], "unit", ("days", "")),
        (["$5", "5 USD"], "amount", ("$", "USD", "")),
        (["5%", "7 %"], "percent", ("%",)),
        (["5%", "7"], "percent", ("%", "")),
        (["1,234", "5"], "amount", ()),
        (["> 5", "10+"], "unit", ()),
    ],
)
def test_the_units_of_a_column_are_told(texts: list[str], style: TextStyle, units: tuple[str, ...]) -> None:
    assert (style_of(texts), units_of(texts, style)) == (style, units)


@pytest.mark.parametrize(
    "texts", [["1 car", "2 homes"], ["1A", "2A"], ["941xx", "100xx"], ["3 weeks", "2 months"], ["1Q", "4Q"]]
)
def test_codes_and_what_no_unit_joins_are_no_numbers(texts: list[str]) -> None:
    assert style_of(texts) is None


@pytest.mark.parametrize(
    ("said", "kept"), [("Monate", "months"), ("Jahr", "years"), ("€", "EUR"), ("$", "$"), ("Stk.", "stk")]
)
def test_a_configuration_may_call_a_unit_by_any_of_its_words(said: str, kept: str) -> None:
    written = "amount" if said in "€$" else "unit"
    entry = FeatureSettings(written=written, written_in=(said, ""))
    settings = Settings(portfolio={"name": "p", "target": "bad"}, features={"x": entry})
    assert settings.row_schema.feature("x").written_in == (kept, "")
