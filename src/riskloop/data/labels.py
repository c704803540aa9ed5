"""Names that a data set of SPSS, Stata or SAS gives to its numbers: 1 is "good", 2 is "bad", 99 is "refused"."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from riskloop.core.values import level_text

Labels = Mapping[str, str]  # a number, as the text of a level, to its name

NO_NAMES: Final[Labels] = {}
NO_LABELS: Final[Mapping[str, Labels]] = {}
COVERED: Final = 0.8  # of a column's values: where fewer have names, it is a number with a few codes

_NO_ANSWER: Final = re.compile(
    r"\b(do(n.?t| not) know|dk|refus\w*|no (answer|response|data|information|record|reply)|missing|unknown|inap\w*|"
    r"not (applicable|available|known|stated|asked|answered|reported|ascertained|provided)|n/?a|skipped|"
    r"keine angaben?|wei(ß|ss) nicht|verweigert|unbekannt|trifft nicht zu|sans réponse|ne sait pas|refus|"
    r"sin respuesta|no (sabe|contesta|responde)|ns/?n[cr]|não (sabe|respondeu)|non (risponde|sa)|"
    r"geen antwoord|weet niet)\b",
    re.IGNORECASE,
)


def labels_of(said: Mapping[Any, Any]) -> Labels:
    """The names of a column's numbers, as the file has them."""
    return {level_text(value): " ".join(str(name).split()) for value, name in said.items() if str(name).strip()}


def are_levels(labels: Labels, levels: Collection[str]) -> bool:
    """Whether nearly all of a column's values have names that say what they are: then they are levels."""
    named = [level for level in levels if level in labels]
    return bool(levels) and len(labels) > 1 and len(named) >= COVERED * len(levels)


def unanswered(labels: Labels) -> tuple[float, ...]:
    """The numbers whose names say that there is none: 98 "don't know", 99 "refused"."""
    found = []
    for level, name in labels.items():
        if _NO_ANSWER.search(name):
            try:
                found.append(float(level))
            except ValueError:
                continue
    return tuple(sorted(found))


def levels_named(words: Sequence[str], labels: Labels, levels: Collection[str]) -> tuple[str, ...]:
    """What a person said, each word as the value that it is or names: Default is 1 where 1 is called so."""
    by_name = {name.casefold(): level for level, name in labels.items()}
    return tuple(word if word in levels else by_name.get(word.casefold(), word) for word in words)


def shown(level: str, labels: Labels) -> str:
    """A level with its name: 2 = married."""
    return f"{level} = {labels[level]}" if level in labels else level
