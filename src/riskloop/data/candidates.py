"""Which column of a history may say who defaulted, where nobody has named one."""

import re
from typing import Any, Final

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.types import Problem
from riskloop.data.infer import Wanted, opened_as
from riskloop.data.survey import Column, survey, words_of
from riskloop.data.targets import read_meaning, rule_of

MOST: Final = 4  # columns in the sentence
LEVELS: Final = 12
_NAMED: Final = re.compile(
    r"target|label|bad|good|y|default\w*|defaulted|delinq\w*|dlq\w*|dpd|outcome|npl|charged?off|chgoff|chargeoff|writeoff|"
    r"bankrupt\w*|insolven\w*|ausfall\w*|default|inadimpl\w*|mora|moros\w*|impago|impay\w*|défaut|temerrüt|temerrut|"
    r"违约|逾期|債務不履行|延滞|延滞有無|متعثر|дефолт|просрочка|class|risk|performance|perf|gb|flag|result|status|repaid|"
    r"written|off|dlqin\d*\w*"
)
_SURE: Final = re.compile(
    r"target|bad|default\w*|dpd|npl|charged?off|chgoff|chargeoff|writeoff|bankrupt\w*|ausfall\w*|inadimpl\w*|temerrüt|"
    r"违约|債務不履行|متعثر|дефолт|dlqin\d*\w*"
)


def ask_for_target(source: Any, wanted: Wanted, where: str) -> ConfigError:
    """The error that says which columns look like the outcome; the likeliest first."""
    opened, dialect = opened_as(source, wanted, where)
    looked = survey(opened, dialect)
    found = sorted(
        (-_likely(column, said), place, column.name, said)
        for place, column in enumerate(looked.columns.values())
        if (said := _meaning(column, where)) or rule_of(column, dialect)[0]
    )
    best = found[0][0] if found else 0
    named = [(name, said) for score, _, name, said in found if score < 0 and score <= best + 1]
    question = "Which column says who defaulted? Name it with --target"
    if not named:
        columns = ", ".join(list(looked.columns)[:30])
        return ConfigError(
            f"{question}. None of {where} looks like one; it has {columns}. Where the outcomes "
            "stand in another file, name it with --outcomes."
        )
    shown = [f"'{name}' ({said})" if said else f"'{name}'" for name, said in named[:MOST]]
    several = f", or {', '.join(shown[1:])}" if shown[1:] else ""
    return ConfigError(
        f"{question}. It may be {shown[0]}{several}.", [Problem(name, "may be the target") for name, _ in named[:MOST]]
    )


def _meaning(column: Column, where: str) -> str:
    """What a column says as a target; "" where it can be none."""
    if column.many or not 2 <= len(column.levels) <= LEVELS:
        return ""
    try:
        return f"{read_meaning(column.name, dict(column.levels), column.missing, where).rate:.1%} defaults"
    except DataError:
        values = ", ".join(list(column.levels)[:3])
        return f"{values}, …" if len(column.levels) > 3 else values


def _likely(column: Column, said: str) -> int:
    words = words_of(column.name)
    sure = any(_SURE.fullmatch(word) for word in words)
    return 2 * sure + any(_NAMED.fullmatch(word) for word in words) + ("defaults" in said)
