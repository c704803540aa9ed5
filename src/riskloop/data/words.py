"""How `init` words what a column holds."""

import difflib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Final

import numpy as np

from riskloop.core.dates import COUNTED, parse_time
from riskloop.core.errors import DataError
from riskloop.core.schema import DateOrder
from riskloop.core.settings import DataSettings
from riskloop.core.types import DAY, Floats, Problem
from riskloop.core.values import parse_number, without_zeros
from riskloop.data.guess import is_nested, is_protected
from riskloop.data.labels import are_levels
from riskloop.data.labels import shown as shown_as
from riskloop.data.leaks import named_after
from riskloop.data.survey import Column, Survey

SHOWN: Final = 6  # levels in the table
STYLES: Final = {
    "plain": "numbers", "amount": "amounts", "percent": "percentages", "unit": "numbers with a unit",
    "tenure": "years and months, read as months",
}  # fmt: skip


def kind_of_column(column: Column, dated: bool) -> str:
    """What a column holds: empty, date, number, text, or what is nested in it."""
    if not column.present:
        return "empty"
    if column.kind == "date" or (dated and not column.numeric):
        return "date"
    return "number" if column.numeric else "nested" if is_nested(column) else "text"


def values_of(column: Column, dated: bool, order: DateOrder = "") -> str:
    """The range of numbers or of dates, which are written in ``order``, or the first levels."""
    if not column.present:
        return ""
    if dated and (not column.numeric or order in COUNTED) and (ends := _ends(column, order)):
        return ends
    if column.numeric and column.low <= column.high and not are_levels(column.labels, column.levels):
        form = ".0f" if column.whole and max(-column.low, column.high) < 1e15 else ".10g"
        return f"{column.low:{form}} to {column.high:{form}}"
    return levels_of(column)


def _ends(column: Column, order: DateOrder) -> str:
    """The first and the last of a column's dates, as they are written; "" for a single one."""
    moments = {text: moment for text in column.texts if (moment := _moment(text, order)) is not None}
    if len(moments) < 2:
        return ""
    return f"{min(moments, key=moments.__getitem__)} … {max(moments, key=moments.__getitem__)}"


def _moment(text: str, order: DateOrder) -> int | None:
    try:
        return parse_time(text, order)
    except (ValueError, OverflowError):
        return None


def levels_of(column: Column) -> str:
    """The first levels."""
    texts = sorted(column.texts, key=level_order) if not column.many else column.texts
    lines = [" ".join(shown_as(text, column.labels).split()) for text in texts[:SHOWN]]
    shown = ", ".join(text if len(text) <= 20 else text[:19] + "…" for text in lines)
    return shown + (f" … ({count_levels(column)})" if len(texts) > SHOWN else "")


def count_levels(column: Column) -> str:
    """How many levels there are."""
    return f"{'more than ' if column.many else ''}{len(column.levels):,}"


def odd_values(column: Column) -> str:
    """What to look at in a column that is nearly of one kind."""
    if column.odd:
        return f"not all values are numbers, for example {column.odd[0]!r}: such rows are set aside"
    if named_after(column.name):
        return "its name suggests that it is known only after the decision"
    return ""


def odd_levels(column: Column) -> str:
    """What to look at among the levels."""
    if na_level(column):
        return (
            "'NA' is taken for a level, North America beside the other continents: if it is missing, take it out of "
            "categories"
        )
    word = next((word for word in ("NA", "None", "N/A") if word in column.words), None)
    if word is not None and column.levels and all(len(t) <= 3 and t.isupper() for t in column.texts):
        return f"'{word}' is read as missing; if it is a level, add it to categories{may_be(column)}"
    if (pair := _zeros_apart(column)) is not None:
        return f"{pair[0]!r} and {pair[1]!r} are two levels, and differ in leading zeros only: export all with them"
    if column.padded:
        return ""
    if units := several_units(column):
        return units
    if (pair := _alike(column)) is not None:
        return f'{pair[0]!r} and {pair[1]!r} are two levels: join them in the source, or by how = "group" of [prepare]'
    rare = sum(count < 5 for count in column.levels.values())
    return f"{rare} levels come fewer than 5 times" if rare > 3 and column.rows > 200 else ""


_CONTINENTS: Final = frozenset(
    {
        "AF",
        "AN",
        "AS",
        "EU",
        "OC",
        "SA",
        "NA",
        "LA",
        "LATAM",
        "LAC",
        "EMEA",
        "APAC",
        "ME",
        "MENA",
        "MEA",
        "AP",
        "CA",
        "CIS",
    }
)


def na_level(column: Column) -> bool:
    """Whether NA is North America: the other levels are continents or the like, two at least."""
    levels = {*column.texts}
    far = levels & {"EU", "AS", "AP", "APAC", "EMEA"}  # LA, ME and SA may be states
    return "NA" in column.words and len(levels) >= 2 and bool(far) and levels <= _CONTINENTS


def may_be(column: Column) -> str:
    """What NA may be beside codes of two letters: a country's, as Namibia's is."""
    two = [text for text in column.texts if len(text) == 2 and text.isalpha()]
    if "NA" not in column.words or len(two) < max(3, 0.8 * len(column.levels)):
        return ""
    beside = ", ".join(sorted(two)[:3])
    return f" (beside {beside} NA may be Namibia or North America; it comes {column.words['NA']:,} times)"


def _alike(column: Column) -> tuple[str, str] | None:
    """Two levels that differ in case or in blanks only."""
    seen: dict[str, str] = {}
    for text in column.texts[:1000]:
        other = seen.setdefault("".join(text.casefold().split()), text)
        if other != text:
            return other, text
    return None


def _zeros_apart(column: Column) -> tuple[str, str] | None:
    """Two codes that differ in leading zeros only, of which a program has lost some."""
    seen: dict[str, str] = {}
    for text in column.texts:
        other = text if (bare := without_zeros(text)) is None else seen.setdefault(bare, text)
        if other != text:
            return other, text
    return None


def other_sign(column: Column, dialect: DataSettings) -> str:
    """What to say of texts that are numbers with the other decimal sign; nothing where they are none."""
    other = "," if dialect.decimal == "." else "."
    texts = column.texts[:500]
    numbers = sum(other in text and np.isfinite(parse_number(text, "amount", other)) for text in texts)
    if numbers < 0.5 * len(texts):
        return ""
    return f"numbers with {other!r} as decimal sign, while the file has {dialect.decimal!r}: export it with one of them"


def special_said(codes: Sequence[float]) -> str:
    """That numbers are taken for special codes."""
    shown = ", ".join(f"{code:.15g}" for code in codes)
    if len(codes) == 1:
        return f"{shown} is frequent and far from the rest: taken for a special code"
    return f"{shown} are frequent and far from the rest: taken for special codes"


_WITH_UNIT: Final = re.compile(r"[<>]?\s*([\d.,]+)\s*([^\d\s.,+-][^\d]*)")


def several_units(column: Column) -> str:
    """What to say of texts that are numbers in more than one unit; nothing where they are none."""
    found = [match for text in column.texts[:500] if (match := _WITH_UNIT.fullmatch(text)) is not None]
    numbers: dict[str, set[str]] = {}
    for match in found:
        numbers.setdefault(match[2].strip(), set()).add(match[1])
    several = 2 <= len(numbers) <= 6 and all(len(some) >= 3 for some in numbers.values())
    if not several or len(found) < 0.9 * len(column.texts[:500]):
        return ""
    return f"numbers with several units ({', '.join(sorted(numbers)[:4])}): write all in one to use them as numbers"


def reading_notes(looked: Survey, partial: Mapping[str, int], dialect: DataSettings) -> list[str]:
    """What of the reading a person should know: words for missing, columns of some files only, an old encoding."""
    notes = []
    for word in looked.blanks:
        columns = [name for name, column in looked.columns.items() if word in column.blanks]
        more = f" and {len(columns) - 1} more" if len(columns) > 1 else ""
        notes.append(f"{word!r} is taken for a missing value, as '{columns[0]}'{more} otherwise holds numbers.")
    if partial:
        name, count = next(iter(partial.items()))
        more = f", and {len(partial) - 1} more columns are not in all of them" if len(partial) > 1 else ""
        notes.append(f"'{name}' is in {count} of the files only{more}; it is missing in the rows of the others.")
    if not dialect.encoding.startswith(("utf", "ascii")) and not dialect.sheet:
        texts = (text for column in looked.columns.values() for text in (column.name, *column.texts[:200]))
        if (odd := next((text for text in texts if not text.isascii()), None)) is not None:
            notes.append(
                f"The file is no UTF-8; as {dialect.encoding} it reads {odd[:40]!r}. Say --encoding if that is wrong."
            )
    elif "-or-" in dialect.encoding:
        other = dialect.encoding.rpartition("-or-")[2]
        notes.append(f"Some lines are no UTF-8: they are read as {other}. Say --encoding if that is wrong.")
    elif any("\ufffd" in text for column in looked.columns.values() for text in column.texts[:200]):
        notes.append("Some bytes are no UTF-8 and are read as \ufffd, although the rest is UTF-8: look at the source.")
    return notes


def short_history(times: Floats | None, window: timedelta) -> str:
    """What to add where the decisions (n,) span less than the window: then no outcome would be final."""
    known = np.empty(0) if times is None else times[np.isfinite(times)]
    days = (known.max() - known.min()) / DAY if known.size else math.inf
    if days >= window.days:
        return ""
    return f" The decisions span {days:.0f} days only, so that no outcome would be final: the true one may be shorter."


def no_time(dated: Sequence[str], years: Sequence[str], parts: str) -> str:
    """What to say where no column is taken for the date of the decision: which ones hold dates, years or parts."""
    also = f", and {listed(dated)} {'holds' if len(dated) == 1 else 'hold'} dates" if dated else ""
    also += (
        f", and {listed(years)} may hold its year (--time {quote(years[0])} takes the first day of it)" if years else ""
    )
    return (
        f"No column is taken for the date of the decision{also}{parts}: --time names it. Without one a decision has "
        "the time at which it is scored, and folds and windows know nothing of the past."
    )


def listed(names: Sequence[str]) -> str:
    """'a', 'b' and 'c'."""
    said = [f"'{name}'" for name in names]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def all_said(*texts: str) -> str:
    """What there is to say, in one."""
    return "; ".join(text for text in texts if text)


def count_of(number: int, noun: str) -> str:
    """'1 line has', '3 lines have'."""
    return f"{number:,} {noun} has" if number == 1 else f"{number:,} {noun}s have"


def level_order(level: str) -> tuple[int, float, str]:
    """Numbers before texts, each in their order."""
    number = parse_number(level)
    return (0, number, level) if np.isfinite(number) else (1, 0.0, level)


def no_column(path: Path | str, name: str, columns: Collection[str]) -> DataError:
    """What to raise for a column that the file does not have."""
    close = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(list(columns)[:30])}."
    names = list(columns)
    if len(names) == 1 and name in names[0] and name != names[0]:
        hint = (
            f"its lines are not cut into fields, as no delimiter is found in {names[0][:60]!r}. Say --delimiter; "
            "for columns of fixed widths --widths."
        )
    elif columns and all(c == f"column_{i}" for i, c in enumerate(columns, 1)):
        hint = f"it has no header line; its columns are column_1 to column_{len(columns)}, in their order."
        hint += " If they are of fixed widths, say --widths." if len(columns) <= 2 else ""
        if len(columns) == 1:
            hint = "it has one column only and no header line: is it the right file? Say --delimiter, if there is one."
    return DataError(f"{path} has no column '{name}'; {hint}", [Problem(name, "is not a column")])


def serial_said(name: str) -> str:
    """What to know of an id that counts the rows of its file."""
    return (
        f"'{name}' counts the rows of this file. If the next file begins at 1 again, it is no id: name another column "
        "with --id, or take the id out of riskloop.toml."
    )


def date_said(name: str) -> str:
    """What to look at where a date might be an input."""
    if is_protected(name):
        return "tells a person's age, which is protected"
    return "its age at the decision can be an input: the end of riskloop.toml shows how"


def copies_said(names: Sequence[str]) -> tuple[str, ...]:
    """What to know of names that a header has more than once."""
    if not names:
        return ()
    return (
        f"The header has {listed(names)} more than once: the first column keeps its name, the next one is "
        f"'{names[0]}_2'. Look at what each holds: a line above the header may tell them apart.",
    )
