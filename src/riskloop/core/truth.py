"""What a value of a target says: a default, none, or neither."""

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Any, Final

from riskloop.core.values import MISSING_NUMBER, is_missing, level_text, parse_number

TARGETS: Final[Mapping[str, float]] = {
    "0": 0.0, "1": 1.0, "no": 0.0, "yes": 1.0, "n": 0.0, "y": 1.0, "false": 0.0, "true": 1.0,
}  # fmt: skip

# Words of a truth in the languages that lenders write: whoever says ja and nein may also say J and wahr.
_YES: Final = (
    "1", "y", "yes", "true", "j", "ja", "wahr", "oui", "vrai", "si", "sí", "sim", "verdadero", "verdadeiro",
    "vero", "waar", "tak",
)  # fmt: skip
_NO: Final = (
    "0", "n", "no", "false", "nein", "falsch", "non", "faux", "não", "nao", "falso", "nee", "onwaar", "nie",
)  # fmt: skip
TRUTHS: Final[Mapping[str, bool]] = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}

ANY: Final = "*"  # as a value of the target: whatever is filled, such as the date of a default
_BOUND: Final = re.compile(r"(>=|<=|>|<)\s*([+-]?\d+(?:\.\d+)?)")
_HOLDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def truth(value: Any, bad: Collection[str] = (), good: Collection[str] = ()) -> float | None:
    """1.0 for a default, 0.0 for none, None for what is neither.

    Without ``bad`` those are the words of a truth: 1/0, yes/no, ja/nein. With it a value of ``bad`` is a default; every
    other one is none, or, with ``good``, only the values named there. Where the words are a truth's, its others count,
    too: J for a default where ``bad`` is ja, n where it is nein. Case and white space do not matter. A word such as
    ``>=90`` means the numbers from 90 on, and ``*`` whatever is filled; beside a bound only numbers can be none.
    """
    text = level_text(value).casefold()
    if not bad:
        return None if (said := TRUTHS.get(text)) is None else float(said)
    if ANY in bad and is_among(text, good):  # 0 for no date
        return 0.0
    if is_among(text, bad):
        return 1.0
    if is_among(text, good):
        return 0.0
    if text in TRUTHS and (default := truth_of_default(tuple(bad), tuple(good))) is not None:
        return float(TRUTHS[text] is default)
    if good:
        return None
    return None if any(map(is_bound, bad)) and not math.isfinite(parse_number(text)) else 0.0


@lru_cache(maxsize=64)
def truth_of_default(bad: tuple[str, ...], good: tuple[str, ...]) -> bool | None:
    """Which truth a default is, where all words of the target are truths: False where nein is one; else None."""
    says = {TRUTHS.get(level_text(word).casefold()) for word in bad}
    contrary = {TRUTHS.get(level_text(word).casefold()) for word in good}
    if says == {True} and contrary <= {False}:
        return True
    return False if says == {False} and contrary <= {True} else None


def is_among(text: str, words: Collection[str]) -> bool:
    """Whether a value, as `level_text` writes it, is one of the words, or of what a word such as ``>=90`` means."""
    texts, bounds, filled = _meanings(tuple(words))
    if text.casefold() in texts or (filled and not is_missing(text) and text not in MISSING_NUMBER):
        return True
    if not bounds or not math.isfinite(number := parse_number(text)):
        return False
    return any(_HOLDS[sign](number, bound) for sign, bound in bounds)


def is_bound(word: str) -> bool:
    """Whether a word of the target means many values: ``>=90`` or ``*``."""
    return word == ANY or _BOUND.fullmatch(word.strip()) is not None


@lru_cache(maxsize=64)
def _meanings(words: tuple[str, ...]) -> tuple[frozenset[str], tuple[tuple[str, float], ...], bool]:
    """The words as texts, the bounds among them, and whether one of them is ``*``."""
    found = [match for word in words if (match := _BOUND.fullmatch(word.strip())) is not None]
    texts = frozenset(level_text(word).casefold() for word in words if word != ANY)
    return texts, tuple((match[1], float(match[2])) for match in found), ANY in words
