"""What stands beside a number, the unit of a quantity or the sign of an amount, and what it is in another one.

A model learns 36 of '36 months'; '3 years' is the same number of months, and '$1,234' is no amount in euros.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from riskloop.core.schema import TextStyle

PERCENT: Final = "%"

CURRENCY: Final = re.compile(
    r"[$€£¥₹₽₺₩₴₪₫₱¢￥￡＄￦₦₵₡₲₸₼₾৳฿﷼؋円元원\s'\u2019]|(?<![^\W\d_])(?:USD|EUR|GBP|CHF|INR|JPY|CNY|RMB|AUD|CAD|NZD|ZAR|BRL|PLN|SEK|"
    r"NOK|DKK|CZK|HUF|RON|BGN|TRY|MXN|COP|CLP|PEN|ARS|RUB|UAH|KZT|GEL|AMD|AZN|KES|KShs?|NGN|GHS|UGX|TZS|RWF|ETB|XOF|XAF|MAD|"
    r"EGP|AED|SAR|QAR|KWD|ILS|IDR|MYR|SGD|HKD|TWD|PHP|THB|VND|KRW|PKR|BDT|LKR|NPR|Rs\.?|(?:NT|US|HK|R)(?=\s*\$)|S/\.?|"
    r"Kč|zł|kr\.?|Ft|лв\.?|грн\.?|тг\.?|руб\.?|Fr\.?|(?:Rp|RM|TL)(?=[\s.])|(?<=\s)(?:RM|TL|lei))(?![^\W\d_])"
)
# Signs that are not a currency's code, and the currencies that they may stand for; others stand for themselves.
_SIGNS: Final[Mapping[str, str]] = {
    "$": "USD AUD CAD NZD HKD SGD TWD MXN COP CLP ARS BRL", "＄": "USD AUD CAD NZD HKD SGD TWD MXN COP CLP ARS BRL",
    "US": "USD", "R": "BRL", "HK": "HKD", "NT": "TWD", "€": "EUR", "£": "GBP EGP", "￡": "GBP EGP", "¥": "JPY CNY",
    "￥": "JPY CNY", "円": "JPY", "元": "CNY TWD", "RMB": "CNY", "₹": "INR", "Rs": "INR PKR LKR NPR", "₽": "RUB",
    "руб": "RUB", "₺": "TRY", "TL": "TRY", "₩": "KRW", "￦": "KRW", "원": "KRW", "₴": "UAH", "грн": "UAH", "₪": "ILS",
    "₫": "VND", "₱": "PHP", "₦": "NGN", "₵": "GHS", "₸": "KZT", "тг": "KZT", "₼": "AZN", "₾": "GEL", "৳": "BDT",
    "฿": "THB", "KSh": "KES", "KShs": "KES", "S/": "PEN", "Kč": "CZK", "zł": "PLN", "kr": "SEK NOK DKK", "Ft": "HUF",
    "лв": "BGN", "Fr": "CHF", "Rp": "IDR", "RM": "MYR", "lei": "RON",
}  # fmt: skip

# Parts of a duration: how many of the base they are, the base, and their words.
_DURATIONS: Final[Mapping[str, tuple[float, str, str]]] = {
    "years": (12.0, "months", r"y|yrs?|years?|jahr(?:en?)?|ans?|ann[ée]es?|años?|anos?|ann[oi]|jaar|jaren|lat|lata|rok|"
              r"år|yıl|год|года|лет"),
    "quarters": (3.0, "months", r"qtrs?|quarters?|quartale?|trimest(?:res?|ri|re)"),
    "months": (1.0, "months", r"m|mo|mos|mon|mons|mths?|months?|monate?n?|mois|mes|meses|mês|mes[ei]|maand|maanden|"
               r"miesi[ąę]c[ey]?|mies|måned(?:er)?|månad(?:er)?|ay|мес|месяц(?:а|ев)?"),
    "weeks": (7.0, "days", r"w|wks?|weeks?|wochen?|semaines?|semanas?|settiman[ae]|weken|vecka|veckor|uger?"),
    "days": (1.0, "days", r"d|days?|tage?n?|jours?|d[ií]as?|giorn[oi]|dag|dagen|dagar|dage|dni|dzień|gün|день|"
             r"дня|дней"),
}  # fmt: skip
_NAMED: Final = {name: re.compile(rf"(?:{words})\.?", re.IGNORECASE) for name, (_, _, words) in _DURATIONS.items()}
TENURE: Final = re.compile(
    r"P?\s*(?:(\d+)\s*(?:y|yr|yrs|years?|jahre?|ans?|años?)\.?)?[\s,]*(?:(\d+)\s*(?:m|mo|mon|mons|mths?|months?|monate?|mois|mes|"
    r"meses)\.?)?",
    re.IGNORECASE,
)


def unit_of(text: str, style: TextStyle) -> str:
    """The unit or sign beside the number of a text: 'months' of '36 Monate', 'EUR' of '€5', '%'; "" where none is.

    A duration has one English name, a currency its code where the sign leaves no choice; other words lose case and
    plural. Years and months, as in '1 year 6 months', are months.
    """
    if style == "percent":
        return PERCENT if text.rstrip().endswith((PERCENT, "％", "‰")) else ""
    if style == "amount":
        return next((named for sign in CURRENCY.finditer(text) if (named := _currency(sign[0]))), "")
    if style != "unit":
        return ""
    if (both := TENURE.fullmatch(text.strip())) is not None and both[1] and both[2]:
        return "months"
    word = re.sub(r"[\d.,+<>≤≥=\s-]", "", text)
    return _duration(word) or _stem(word)


def _stem(word: str) -> str:
    word = word.casefold()
    return word.rstrip("s.") or word


@lru_cache(4096)
def _duration(word: str) -> str:
    return next((name for name, pattern in _NAMED.items() if pattern.fullmatch(word.strip())), "")


def _currency(sign: str) -> str:
    sign = sign.strip().rstrip(".").replace("'", "").replace("\u2019", "")
    meant = _SIGNS.get(sign, sign).split()
    return meant[0] if len(meant) == 1 else sign


def units_of(texts: Sequence[str], style: TextStyle) -> tuple[str, ...]:
    """The units of all ``texts``, the one that others are converted to first; "" last, where some have none.

    An amount without a sign is in the currency of the others: nobody leaves out the sign of another one.
    """
    found = dict.fromkeys(unit_of(text, style) for text in texts)
    named = sorted((unit for unit in found if unit), key=lambda unit: _DURATIONS.get(unit, (0.0,))[0])
    return (*named, *[""] * ("" in found or style == "amount")) if named else ()


def are_one(units: Sequence[str]) -> bool:
    """Whether numbers in all of the units are numbers in one: years and months, but not cars and homes."""
    return all(_factor(unit, units[0]) is not None for unit in units)


def factor(text: str, style: TextStyle, units: Sequence[str]) -> float | None:
    """What the number of a text is multiplied by to be in the first of ``units``; None where it has no place there.

    Without ``units`` nobody knows what others had, and every text is taken as it is.
    """
    if not units or (unit := unit_of(text, style)) in units:
        return 1.0 if not units or not unit else _factor(unit, units[0]) or 1.0
    if style == "amount":
        return 1.0 if any(_meant(unit) & _meant(known) for known in units) else None
    return _factor(unit, units[0]) if unit else None


def _meant(sign: str) -> set[str]:
    return {*_SIGNS.get(sign, sign).split()}


def _factor(unit: str, other: str) -> float | None:
    """How many of ``other`` one ``unit`` is, where that is always as many: a month has no number of days."""
    if unit == other:
        return 1.0
    one, base, _ = _DURATIONS.get(unit, (0.0, "", ""))
    two, its, _ = _DURATIONS.get(other, (0.0, "-", ""))
    return one / two if base == its else None


def unit_problem(text: str, style: TextStyle, units: Sequence[str]) -> str | None:
    """Why the unit of a text has no place among numbers in ``units``; None where it has."""
    if factor(text, style, units) is not None:
        return None
    wanted, unit = units[0], unit_of(text, style)
    if not unit:
        return f"has no {wanted!r} beside it, as every value of the history has"
    return f"is in {unit}, and the history in {wanted}: nothing says how many {wanted} that is"
