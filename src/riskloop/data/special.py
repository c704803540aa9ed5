"""Which columns are the date of a decision, its id and the customer, where nobody has named them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from riskloop.core.schema import DateOrder
from riskloop.data import guess, ids
from riskloop.data.dating import likely_dates
from riskloop.data.panels import panel_of
from riskloop.data.survey import Column
from riskloop.data.words import no_time, serial_said

Named = tuple[str, str | None, str | None, str | None]  # target, time, id, unit, as the caller knows them
Orders = Mapping[str, Sequence[DateOrder]]


@dataclass
class Special:
    """The columns that are no inputs, and what a person should know of each guess."""

    time: str | None = None
    id: str | None = None
    unit: str | None = None
    years: list[str] = field(default_factory=list)  # columns that may say in which year a decision was
    notes: list[str] = field(default_factory=list)
    panel: bool = False  # customer and period were found by their values, in a file without names


def find_special(columns: Mapping[str, Column], orders: Orders, named: Named) -> Special:
    """The columns as they are ``named``, and what is found where they are not.

    ``orders`` are those in which a column's values are dates.
    """
    target, time, own, unit = named
    found = Special(time, own, unit)
    rest = [column for name, column in columns.items() if name not in named]
    given = [name for name in columns if name != target]
    if unit is None and own is None and given and all(map(guess.is_nameless, given)):
        _find_panel(rest, orders, found, columns)
    if found.time is None:
        found.time = _found_time(rest, orders, found)
    rest = [column for column in rest if column.name not in (found.time, found.unit)]
    if found.id is None:
        found.id = _found_id(rest, found)
    if found.unit is None:
        rest = [column for column in rest if column.name != found.id]
        found.unit = _found_unit(rest, found, _owner(rest, orders, found, columns))
    return found


def _find_panel(rest: Sequence[Column], orders: Orders, found: Special, columns: Mapping[str, Column]) -> None:
    """Customer and period of a file without names, by their values."""
    panel = panel_of(rest, orders, None if found.time is None else columns[found.time])
    if panel is None:
        return
    found.unit, found.time, found.panel = panel.unit, panel.time, True
    found.notes.append(
        f"The columns are only called {next(iter(columns))} to {list(columns)[-1]}, after their places. By its values "
        f"'{panel.unit}' is taken for the unit, the customer, and '{panel.time}' for the date of the decision: the "
        f"same '{panel.unit}' comes in many rows, each with another '{panel.time}'. --unit and --time name others."
    )


def _found_time(rest: Sequence[Column], orders: Orders, found: Special) -> str | None:
    for column in rest:
        if guess.is_decision_time(column, guess.is_dated(column, orders[column.name])):
            return column.name
    units = [column for column in rest if ids.is_unit(column)]
    periods = next((column.name for column in rest if guess.is_period_time(column, units)), None)
    if periods is not None:
        return periods
    years = [column for column in rest if guess.is_years(column)]
    dated = [c.name for c in rest if guess.is_only_time(c, guess.is_dated(c, orders[c.name]))]
    if not dated and (tells := [c.name for c in years if guess.tells_apart(c, units)]):
        found.notes.append(
            f"'{tells[0]}' holds years, another one in each row of a customer: it is taken for the date of the "
            "decision, the first day of the year. --time names another."
        )
        return tells[0]
    found.years = [column.name for column in years] if not dated else []
    if len(dated) != 1:
        dates = [c.name for c in rest if _holds_dates(c, orders)]
        found.notes.append(no_time(dates, found.years, guess.parts_of_dates(rest)))
        return None
    found.notes.append(
        f"'{dated[0]}' is the only column of dates: it is taken for the date of the decision. --time names another."
    )
    return dated[0]


def _holds_dates(column: Column, orders: Orders) -> bool:
    dated = guess.is_dated(column, orders[column.name])
    return (dated and (not column.numeric or guess.has_many_dates(column))) or likely_dates(column) is not None


def _found_id(rest: Sequence[Column], found: Special) -> str | None:
    if named := sorted((c for c in rest if ids.is_id(c)), key=ids.is_serial):
        found.notes += [serial_said(named[0].name)] if ids.is_serial(named[0]) else []
        return named[0].name
    if (key := next((c.name for c in rest if ids.is_key(c)), None)) is not None:
        found.notes.append(f"'{key}' is different in every row and written like a key: it is taken for the id.")
        return key
    if found.unit is None and not any(ids.is_unit(c) for c in rest):
        found.notes.append(
            "No column is taken for the id of a decision: --id names it. Without one, outcomes can only be handed "
            "in by the decision_id of each answer."
        )
    return None


def _owner(rest: Sequence[Column], orders: Orders, found: Special, columns: Mapping[str, Column]) -> Column | None:
    """The column that is only called `account` or the like, where rows and periods are a panel's by it."""
    named = {column.name for column in rest if ids.is_whose_named(column.name)}
    if found.time is None or not named or any(map(ids.is_unit, rest)):
        return None
    panel = panel_of(rest, orders, columns[found.time], named)
    return None if panel is None else columns[panel.unit]


def _found_unit(rest: Sequence[Column], found: Special, owner: Column | None) -> str | None:
    column = next((c for c in rest if ids.is_unit(c)), owner)
    if column is None:
        return None
    often = "again and again" if column.many else f"{column.rows / len(column.levels):.1f} times on average"
    found.notes.append(
        f"'{column.name}' comes {often}: it is taken for the unit, the customer, whose rows are never counted as "
        "several witnesses. --unit names another."
    )
    return column.name
