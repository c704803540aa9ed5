"""From the facts about a column to what it is: a date, a number, a category, or nothing for a model."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from riskloop.core.dates import COUNTED, LAST_PERIOD, parse_time
from riskloop.core.schema import DateOrder
from riskloop.core.types import DAY, Floats, Ints, to_micros
from riskloop.core.values import zeros_back
from riskloop.data.labels import are_levels, unanswered
from riskloop.data.survey import Column, is_code_tree, words_of

MOST_LEVELS: Final = 100  # a text column with more is a category only if its levels repeat
MOST_CODES: Final = 50  # a column of integers with more is a number, unless its name says that it is a code
REPEATS: Final = 5.0  # rows a level, on average, of a category with many levels
HIGH_CARDINALITY: Final = 50_000
NESTED: Final = 0.9  # share of the rows that hold lists or objects: the others are errors
SPIKE: Final = 0.005  # share of the rows that hold a special code
CROWD: Final = 5.0  # times as many rows as have any other number: a code may be nearer then …
FEW: Final = 50  # … to more numbers than these, of which none is rare by being one of few

# Parts of column names, and what they give away.
_CODE: Final = (
    "branch|category|channel|citizenship|city|class|code|country|county|district|education|employment|ethnic|ethnicity|"
    "gender|grade|group|housing|industry|job|marital|marriage|nationality|occupation|ownership|product|profession|"
    "province|purpose|race|region|religion|sector|segment|sex|state|status|type|zone|cluster"
)
_NO_COUNT: Final = (  # whose levels are classes of people, however they are spread
    "citizenship|education|employment|ethnic|ethnicity|gender|housing|industry|job|marital|marriage|nationality|"
    "occupation|ownership|profession|purpose|race|religion|sex"
)
LONG_CODE: Final = (
    "zip|zipcode|postal|postcode|plz|naics|sic|isic|nace|mcc|branch|dealer|agency|store|merchant|code|district"
)
MEASURE: Final = (
    "count|cnt|number|num|no|nr|n|years|year|yrs|months|month|mths|days|length|duration|tenure|amount|amt|total|sum|ratio|"
    "rate|pct|percent|score|balance|income|salary|size|age|inquiries|accounts|dependents|times|limit|payment|price|"
    "created?|retained|jobs"
)
_PROTECTED: Final = (
    "birth|birthdate|birthday|citizenship|disability|dob|ethnic|ethnicity|gender|marital|marriage|nationality|origin|"
    "pregnancy|pregnant|race|religion|sex"
)
# … in other languages; and the age, which is a person's unless the name says what else is so old.
_PROTECTED_ELSEWHERE: Final = (
    "geschlecht|geburtsdatum|geburtstag|geburt|staatsangehörigkeit|nationalität|familienstand|konfession|herkunft|"
    "sexe|nationalité|naissance|civil|sexo|género|nacionalidad|nacimiento|sesso|nazionalità|cittadinanza|nascita|"
    "nacionalidade|nascimento|raça|raza|geslacht|geboortedatum|nationaliteit|burgerlijke|płeć|narodowość|urodzenia|kön|"
    "civilstånd|пол|национальность|рождения|cinsiyet|性别|民族|国籍|婚姻|婚姻状况|出生日期|性別|生年月日|성별"
)
_AGES: Final = frozenset({
    "age", "alter", "âge", "edad", "età", "idade", "leeftijd", "wiek", "ålder", "alder", "возраст", "yaş", "年龄",
    "年齢", "나이",
})  # fmt: skip
_PERSON: Final = "age|applicant|band|bin|borrower|client|cliente|customer|del?|group|in|kunde|person|persona|years|yrs"
_TIME: Final = (
    "applied|at|created|date|datetime|day|ts|granted|issued|issue|month|opened|period|quarter|time|timestamp|vintage|week|"
    "originated|origination|orig|funded|booked|asof|dt|approval|approved|disbursed|disbursement|ym|yyyymm|snapshot|"
    "reporting|cutoff|stichtag"
)
_PERIOD: Final = frozenset({
    "time", "t", "period", "month", "month_no", "quarter", "week", "cohort", "wave", "periode", "periodo", "período",
    "monat", "mois", "mes", "mese",
})  # fmt: skip
_NOT_DECISION: Final = (
    "birth|dob|birthday|birthdate|closed|close|end|maturity|last|next|paid|payment|default|chargeoff|charged|earliest|due|"
    "update|updated|exit|first|expiry|expiration|hire|hired|retrieved|chgoff"
)
# When an outcome became known; a reporting date is a decision's in a panel.
_REPORTED: Final = (
    "known|reported|recorded|observed|labell?ed|notified|gemeldet|meldedatum|meldetag|bekannt|bekanntgeworden|connu|"
    "signal[ée]e?|constat[ée]e?|conocido|notificado|informado|segnalat[oa]|comunicado|gemeld|zg[łl]oszon[oey]"
)
_OF_REPORT: Final = (
    "at|on|date|dt|day|since|time|when|ts|outcome|default|defaulted|label|status|result|bad|event|loss|am|seit|ausfall|"
    "datum|tag|le|fecha|en|data|il|dnia|is|was|the|of"
)
FIRST_DAY, LAST_DAY = 1900_01_01, 2100_12_31  # dates written as integers
_DATE_ENDS: Final = ("date", "datum", "dato", "fecha")
_OTHER_DATE: Final = re.compile(
    r"geburt|naiss|nacim|nasc|urodz|ablauf|ende|letzt|kündig|fällig|zahl|échéance|venc|fin\b"
)


def is_named(name: str, pattern: str) -> bool:
    """Whether a part of the name is one of the words."""
    return any(re.fullmatch(pattern, word) for word in words_of(name))


# --------------------------------------------------------------------------- dates


def date_orders(texts: Sequence[str]) -> list[DateOrder]:
    """The orders in which all of these can be read as dates: [""] where it does not matter, none for no dates."""
    if not texts:
        return []
    if _all_dates(texts, ""):
        return [] if _are_numbers(texts) else [""]
    orders: tuple[DateOrder, ...] = ("dmy", "mdy") if texts[0].isdecimal() else ("dmy", "mdy", "ymd")
    found = [order for order in orders if _all_dates(texts, order)]
    moments = {order: [parse_time(text, order) for text in texts] for order in found}
    if found[:2] == ["dmy", "mdy"] and moments["dmy"] == moments["mdy"]:  # 03/19: only the year's place matters
        found.remove("dmy")
    if "ymd" in found and len(found) > 1:  # nobody has seen the day 24-05-31 of 2031
        found = [order for order in found if max(moments[order]) <= to_micros(datetime.now(UTC)) + DAY] or found
    return found


def _are_numbers(texts: Sequence[str]) -> bool:
    """Whether months that lost their zero, 32023, are rather days of a spreadsheet or amounts: all of one month."""
    return len(texts) > 1 and all(len(t) == 5 and t.isdecimal() for t in texts) and len({t[0] for t in texts}) == 1


def _all_dates(texts: Sequence[str], order: DateOrder) -> bool:
    try:
        for text in texts:
            parse_time(text, order)
    except (ValueError, OverflowError):
        return False
    return True


def is_dated(column: Column, orders: Sequence[DateOrder]) -> bool:
    """Whether every value is a date, and not merely a small integer."""
    if column.kind == "date":
        return column.present > 0
    if column.numeric and orders and orders[0] in COUNTED:
        return True
    if column.kind == "boolean" or not column.levels:
        return False
    if column.padded and all(text.isdecimal() for text in column.texts[:50]):  # codes; 01APR2024 is none
        return bool(orders) and _is_padded_date(column)
    if column.numeric and not (column.whole and (column.low >= 1900_01 or _lost_zeros(column))):
        return False
    return bool(orders)


def _lost_zeros(column: Column) -> bool:
    """Whether whole numbers are months that lost their zero, 32023 beside 112023, and the name says so."""
    says = is_time_named(column) or is_nameless(column.name)
    lengths = {*map(len, column.texts)} if says and not column.many else {}
    return lengths in ({5}, {5, 6}) and len({text[:-4] for text in column.texts}) >= 3


def _is_padded_date(column: Column) -> bool:
    """Whether digits that begin with a zero are months, 012016, or days, 01052016, and the name says nothing else."""
    says = is_time_named(column) or is_nameless(column.name)
    return says and {*map(len, column.texts)} in ({6}, {8}) and len(column.levels) >= 3


def is_nameless(name: str) -> bool:
    """Whether a name only says where the column stands, as in a file without a header: column_7, V7, x7."""
    return re.fullmatch(r"(column|col|field|feld|var|unnamed|[vxcf])[_ ]?\d+", name.lower()) is not None


def is_periods(column: Column) -> bool:
    """Whether the values are period numbers: 1, 2, 3 …"""
    return column.numeric and column.whole and column.low >= 1 and column.high <= LAST_PERIOD and len(column.levels) > 1


def is_decision_time(column: Column, dated: bool) -> bool:
    """Whether it looks like the date of the decision."""
    other = is_named(column.name, f"{_NOT_DECISION}|{_PROTECTED}|{_PROTECTED_ELSEWHERE}") or _OTHER_DATE.search(
        column.name.lower()
    )
    plausible = is_time_named(column) and not other and not is_report_time(column.name)
    several = len(column.levels) > 1 or column.kind == "date"
    return plausible and dated and several and column.missing <= 0.01 * column.rows


def is_only_time(column: Column, dated: bool) -> bool:
    """Whether it may be the date of the decision where no other column is a date: filled, and named like no other."""
    filled = len(column.levels) > 1 and column.missing <= 0.01 * column.rows
    real = not column.numeric or has_many_dates(column)
    other = f"{_NOT_DECISION}|{_PROTECTED}|{_PROTECTED_ELSEWHERE}"
    return (
        dated and real and filled and not is_named(column.name, other) and not _OTHER_DATE.search(column.name.lower())
    )


def is_period_time(column: Column, units: Sequence[Column]) -> bool:
    """Named like the time and nothing else, and a period number: 1 to 60.

    A month up to 12 is one of the year, unless it is another one in each row of a unit, as in a panel.
    """
    if column.name.strip().lower() not in _PERIOD or not is_periods(column) or column.missing:
        return False
    return column.high > 12 or tells_apart(column, units)


def tells_apart(column: Column, units: Sequence[Column]) -> bool:
    """Whether a customer, by one of ``units``, never has a value twice, although customers come again and again."""
    when = column.sample.tolist()
    whose = [unit.sample.tolist() for unit in units]
    return any(len({*zip(who, when, strict=True)}) == len(who) and len({*who}) < 0.7 * len(who) for who in whose)


def is_date_named(name: str) -> bool:
    """Whether a name says date, or says nothing but when: applied, issued_at."""
    return is_named(name, "date|datum|dt|day|fecha") or all(re.fullmatch(_TIME, word) for word in words_of(name))


def is_report_time(name: str) -> bool:
    """Whether a name says when it became known what happened: known_at, reported_on, default_recorded."""
    words = words_of(name)
    told = any(re.fullmatch(_REPORTED, word) for word in words)
    return told and all(re.fullmatch(f"{_REPORTED}|{_OF_REPORT}", word) for word in words)


def has_many_dates(column: Column) -> bool:
    """Whether whole numbers that are all dates are so many that they are no amounts: each tenth number is a month."""
    return column.numeric and (column.many or len(column.levels) >= 6)


def parts_of_dates(columns: Sequence[Column]) -> str:
    """What to say where year and month stand in columns of their own; nothing where they do not."""
    named = {word: c.name for c in columns if c.numeric and c.whole for word in words_of(c.name)}
    year, month = named.get("year"), named.get("month")
    if year is None or month is None or year == month:
        return ""
    return f" ('{year}' and '{month}' seem to name it together: make one column of them, such as 2024-05)"


def is_time_named(column: Column) -> bool:
    """Whether the name speaks of a date."""
    ends = any(word.endswith(_DATE_ENDS) for word in words_of(column.name))
    return ends or is_named(column.name, f"{_TIME}|{_NOT_DECISION}")


def window_of(name: str) -> timedelta | None:
    """The outcome window that the target's name gives away: default_12m, SeriousDlqin2yrs, default next month."""
    text = name.lower().replace(".", " ").replace("_", " ").replace("-", " ")
    if (found := re.search(r"(\d+)\s*(months?|mths?|mo|m|years?|yrs?|y|weeks?|w|days?|d)\b", text)) is not None:
        days = {"m": 30.4375, "y": 365.25, "w": 7.0, "d": 1.0}[found[2][0]]
        return timedelta(days=math.ceil(int(found[1]) * days))
    return timedelta(days=31) if "next month" in text else timedelta(days=366) if "next year" in text else None


# --------------------------------------------------------------------------- kinds


def is_protected(name: str) -> bool:
    """An attribute that must not be decided on; an age is a person's unless the name says what else is so old."""
    words = words_of(name)
    aged = bool(_AGES & {*words}) and all(word in _AGES or re.fullmatch(_PERSON, word) for word in words)
    return aged or is_named(name, f"{_PROTECTED}|{_PROTECTED_ELSEWHERE}")


def is_category(column: Column) -> bool:
    """Whether the values are levels rather than quantities."""
    if not column.numeric:
        return True
    few = column.whole and not column.many and len(column.levels) <= MOST_CODES
    if few and are_levels(column.labels, column.levels):
        return True
    if not column.whole or column.style != "plain" or is_named(column.name, MEASURE):
        return False
    if column.many or len(column.levels) > MOST_CODES:
        repeated = not column.many and column.present / max(1, len(column.levels)) >= REPEATS
        return repeated and is_named(column.name, f"{LONG_CODE}|id")
    counted = _counted(column) and not is_named(column.name, _NO_COUNT)
    return is_named(column.name, f"{_CODE}|{LONG_CODE}|id") and not counted


def _counted(column: Column) -> bool:
    """Whether integers from 0 up come ever more rarely, as counts do and codes do not."""
    if column.low != 0 or len(column.levels) < 6 or column.high > 2 * len(column.levels):
        return False
    counts = [column.levels[text] for text in sorted(column.texts, key=float)]
    mode, total = counts.index(max(counts)), sum(counts)
    slack = 2 * math.sqrt(max(counts))
    falling = all(b <= a + slack for a, b in itertools.pairwise(counts[mode:]))
    rising = all(a <= b + slack for a, b in itertools.pairwise(counts[: mode + 1]))
    return falling and rising and mode <= len(counts) // 3 and counts[-1] < 0.05 * total


_YEARS: Final = (
    "years?|yr|yyyy|fy|vintage|cohort|jahr|année|annee|exercice|año|ejercicio|ano|anno|esercizio|jaar|rok|år|年度?"
)
_OF_DECISION: Final = (
    "obrotowy|sprawozdawczy|bilansowy|social|comptable|fiscale|contable|"
    "activity|report|reporting|reported|loan|origination|originated|orig|issue|issued|application|app|approval|approved|"
    "appr|fiscal|decision|funded|funding|disbursement|disbursed|booking|booked|calendar|cal|data|as|of|snapshot|"
    "observation|obs|accounting|financial|credit|contract|granted|start|sample|survey|berichts|antrags|geschäfts|bilanz"
)


def is_years(column: Column) -> bool:
    """Whether integers are years in which decisions may have been made, by their name and range."""
    words = words_of(column.name)
    named = any(re.fullmatch(_YEARS, word) for word in words)
    told = named and all(re.fullmatch(f"{_YEARS}|{_OF_DECISION}", word) for word in words)
    whole = column.numeric and column.whole and not column.many and len(column.levels) > 1
    filled = column.missing <= 0.01 * column.rows
    return told and whole and filled and column.low >= 1970 and column.high <= datetime.now(UTC).year


def maybe_codes(column: Column) -> bool:
    """Whether integers might be codes although nothing in the name says so: few, and named like no quantity."""
    few = (
        column.numeric
        and column.whole
        and column.style == "plain"
        and not column.many
        and 3 <= len(column.levels) <= 12
    )
    counted = column.low == 0 and column.high == len(column.levels) - 1  # 0, 1, 2 … are rather a count
    return (
        few and not counted and not is_named(column.name, MEASURE) and not is_category(column) and not _counted(column)
    )


def is_nested(column: Column) -> bool:
    """Whether nearly all values are lists or objects, in JSON's writing or a program's, perhaps in quotes once more."""
    if column.numeric:
        return False
    some = dict(itertools.islice(column.levels.items(), 2000))
    nested = sum(count for text, count in some.items() if (bare := text.strip('" '))[:1] + bare[-1:] in ("[]", "{}"))
    return nested > NESTED * sum(some.values())


def free_text(column: Column) -> bool:
    """Whether a text has so many values that they are no levels."""
    levels = len(column.levels)
    if column.numeric or levels <= MOST_LEVELS:
        return False
    if branches(column):
        return column.many or levels > HIGH_CARDINALITY
    return column.many or levels > HIGH_CARDINALITY or column.present / levels < REPEATS


def branches(column: Column) -> tuple[int, ...]:
    """How many first characters of a column's codes make branches of a tree; () where they make none."""
    texts = column.texts[:2000]
    if column.numeric or not is_code_tree(column.name) or len(column.levels) <= MOST_CODES:
        return ()
    length, alike = Counter(map(len, zeros_back(texts))).most_common(1)[0]
    if length >= 4 and alike >= 0.95 * len(texts):
        return (2, 3)
    # SW1A 1AA and M1 2AB are of several lengths: letters say the area, and with the digits the district.
    lettered = sum(_LETTERED.fullmatch(text) is not None for text in texts)
    return (2, 4) if lettered >= 0.95 * len(texts) else ()


_LETTERED: Final = re.compile(r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}", re.IGNORECASE)


def special_codes(column: Column) -> tuple[float, ...]:
    """Numbers that stand far off with a spike, and look like codes: -9999, -1, 999; also 96 and 98, which are near.

    So are those that the source calls "refused" or the like, wherever they stand.
    """
    values = column.sample
    values = values[np.isfinite(values)] if values.dtype != object else np.empty(0)
    if values.size < 20 or column.style != "plain":
        return ()
    distinct, counts = np.unique(values, return_counts=True)
    found = [code for code in unanswered(column.labels) if code in distinct]
    others = ~np.isin(distinct, found)
    distinct, counts = distinct[others], counts[others]
    while len(distinct) > 3 and len(found) < 6:
        codes = _lonely(distinct, counts) or _together(distinct, counts)
        if not codes:
            break
        found += [float(distinct[place]) for place in codes]
        distinct, counts = np.delete(distinct, codes), np.delete(counts, codes)
    return tuple(sorted(found))


def _lonely(distinct: Floats, counts: Ints) -> list[int]:
    """The place of one number at an end that stands far from all others."""
    total = int(counts.sum())
    low, high = (distinct[1] - distinct[0]), (distinct[-1] - distinct[-2])
    end = 0 if low >= high else len(distinct) - 1
    inner = distinct[1:] if end == 0 else distinct[:-1]
    spread = min(inner[-1] - inner[0], 1e300)  # five times as far has to be a number, too
    often, far = counts[end] / total, max(low, high)
    # One negative number among others that cannot be.
    if distinct[0] < 0 <= distinct[1] and far > 1.0 and _code(distinct[0]):
        end = 0
    elif far <= (0.1 if _crowded(counts, end) else 0.5) * spread or not (
        _code(distinct[end]) or (far > 5.0 * spread and often > 0.01)
    ):
        return []
    return [] if counts[end] < max(5, SPIKE * total) else [end]


def _crowded(counts: Ints, end: int) -> bool:
    """Whether far more rows have the number at an end than any other: 999 beside scores of 300 to 850."""
    return len(counts) > FEW and bool(counts[end] > CROWD * np.delete(counts, end).max())


def _together(distinct: Floats, counts: Ints) -> list[int]:
    """The places of two to four codes side by side at an end, as far from all others as one has to be."""
    total = int(counts.sum())
    for size in range(2, min(5, len(distinct) - 2)):
        for codes in (range(size), range(len(distinct) - size, len(distinct))):
            inner = np.delete(distinct, codes)
            far = inner[0] - distinct[codes[-1]] if codes[0] == 0 else distinct[codes[0]] - inner[-1]
            near = np.delete(counts, codes)[:3] if codes[0] == 0 else np.delete(counts, codes)[-3:]
            rows = int(counts[list(codes)].sum())
            often = rows >= max(5, SPIKE * total) or (rows >= 20 and rows > near.sum())
            span = distinct[codes[-1]] - distinct[codes[0]]
            below = distinct[codes[-1]] < 0 <= inner[0]  # negative numbers where no others can be: -9, -8, -7
            wide = far > (span if below else max(0.5 * (inner[-1] - inner[0]), span))
            if wide and often and all(_code(distinct[place]) for place in codes):
                return list(codes)
    return []


def _code(number: float) -> bool:
    text = f"{abs(number):.0f}"
    return (
        number == int(number)
        and (number < 0 or len(text) >= 2)
        and (
            set(text) <= {"9"} or set(text[:-1]) <= {"9"} or text in {"1", "8", "88", "888", "8888", "1111", "1000000"}
        )
    )


def is_path(values: Floats, times: Floats) -> bool:
    """Whether all rows of a day or of a month have the same value (n,), and periods differ."""
    known = np.isfinite(times)
    for periods in (times[known].astype(np.int64), month_codes(times[known].astype(np.int64))):
        distinct, codes, counts = np.unique(periods, return_inverse=True, return_counts=True)
        if len(distinct) < 4 or np.median(counts) < 5:
            continue
        low = np.full(len(distinct), np.inf)
        high = -low
        np.minimum.at(low, codes, values[known])
        np.maximum.at(high, codes, values[known])
        if np.array_equal(low, high) and len(np.unique(low)) >= 3:
            return True
    return False


def clock_of(name: str, values: Floats, times: Floats) -> str | None:
    """Why numbers only say when the decision was, as the age of a loan does on the day of the export; else None.

    They are a straight line of the decision's time (n,), but for their rounding; a year or quarter only has to grow.
    """
    known = np.isfinite(values) & np.isfinite(times)
    if known.sum() < 100 or known.sum() < 0.9 * len(values):
        return None
    x, y = times[known] / DAY, values[known]
    x, y = x - x.mean(), y - y.mean()
    if not x.any() or not y.any():
        return None
    slope = float(x @ y / (x @ x))
    left, spread = float(np.std(y - slope * x)), float(np.std(y))
    rounded = bool((values[known] == np.round(values[known])).all())
    line = left <= 0.002 * spread or (rounded and left < min(0.4, 0.2 * spread))
    grown = rounded and is_calendar(name) and bool((np.diff(y[np.argsort(x, kind="stable")]) >= 0).all())
    if not line and not grown:
        return None
    way = "grows" if slope > 0 else "falls"
    return f"it only says when the decision was: it {way} by {abs(slope) * 365.25:.3g} a year of the decisions' dates"


def is_calendar(name: str) -> bool:
    """Whether a name is of a unit of time, such as a fiscal year."""
    return is_named(
        name, "year|yr|fy|month|quarter|qtr|week|period|vintage|cohort|jahr|monat|quartal|année|año|ano|anno|rok"
    )


def month_codes(times: Ints) -> Ints:
    """The month of each time, counted from 1970."""
    months: Ints = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months
