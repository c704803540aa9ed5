"""Which column of a history may say who defaulted, where nobody has named one."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.settings import DataSettings
from riskloop.core.truth import ANY
from riskloop.core.types import Problem
from riskloop.data.guess import is_protected
from riskloop.data.infer import Wanted, opened_as
from riskloop.data.survey import Column, survey
from riskloop.data.targets import HIGH, LOW, Target, read_meaning, rule_of

MOST: Final = 4  # columns in the sentence
LEVELS: Final = 12
NEAR: Final = 2.5  # points below the likeliest: columns that are further off are not named
LAST: Final = 1.5  # points of the last column, where most histories have the outcome
LEAST: Final = 0.5  # points of a column that may be an outcome at all

# What names say, without accents and case: parts of words first, then whole words.
_OUTCOME: Final = (
    "default|dflt|delinq|dlq|charged?_?off|chgoff|write_?off|written_?off|bankrupt|insolv|non_?perform|foreclos|"
    "overdue|arrear|unlikely_to_pay|collections|npa_|restant|prodlen|"
    "ausfall|ausfaell|ausgefall|zahlungsunf|zahlungsstor|notleid|ruckstand|rueckstand|uberfallig|ueberfaell|verzug|"
    "uneinbringl|defaut|defaill|impay|contentieux|incident_(de_)?paie|impag|incumpl|moros|incumprim|inadimpl|inadempi|"
    "sofferenz|insolut|cattiv|calote|atraso|wanbeta|achterstand|gebreke|niet_betaald|niewypl|zaleg|niesplac|windyka|"
    "opozn|temerr|batik|takip|gecik|odenme|kotu_|weiyue|yuqi|huaizhang|huaizhai|违约|逾期|坏账|不良|entai|furikou?$|"
    "kashidaore|延滞|不履行|貸倒|デフォルト|дефолт|просроч|неплат|невозвра|gagal_bayar|macet|mislig|betalningsf|selhan|"
    "nemfizet|neplat|neplac|no_xau|kredittap|연체|부도|부실|متعثر|تعثر|ever_?\\d{2}"
)
_OUTCOME_WORD: Final = (
    "bad|npl|npe|dpd|target|label|mora|malo|mala|mau|zly|zla|schlecht|mauvais|slecht|gb|y|outcome|loss|xau|verlust"
)
_GOOD: Final = (
    "good|repaid|paid_|paid$|creditab|creditworth|solvent|solvab|rembours|zuruckgez|zurueckgez|getilgt|adimplen|pagador"
)
_WEAK: Final = (
    "class|risk|performance|perf|result|status|statut|situacion|situacao|durum|event|response|fail|ausgang|resultat|"
    "resultado|risco|riesgo|rischio"
)
_STATE: Final = "state|estado|etat|stato|stan|zustand"  # of a loan where its values say so, else a place's name
# Beside them the name may say which loan, when and that it is a flag; other words make it another thing's class.
_BESIDE: Final = (
    "loan|credit|kredit|account|acct|mis|final|risk|flag|ind|indicator|the|is|of|customer|client|payment|repayment|"
    "credito|pret|prestito|kunde|kunden|m|mths?|months?|code|cd"
)
_LOOKS_BACK: Final = (
    "prev|prior|previous|past_(?!due)|hist|before|ever_(?!\\d)|last_|bureau|on_file|cb_|known|earlier|fruher|frueher|"
    "vorher|vormal|bisher|anterior|previ|passe|passat|precedent|eerder|vorig|wczesn|poprzed|oncek|gecmis|历史|过去|"
    "以前|kako|schufa|ранее|прошл|tidigare|tidliger|drive|korabbi|drivejsi|num_|number|count|cnt|_score|restrica|protest"
)
# What is a customer's or a loan's attribute, and no outcome.
_ATTRIBUTE: Final = (
    "own|home|hous|car|auto|vehic|phone|tel|mobile|e?mail|marri|wed|urban|rural|insur|secured|collateral|guarant|"
    "cosign|signer|coapp|depend|child|foreign|work|employ|job|purpose|product|channel|branch|verif|market|new|exist|doc|"
    "age|band|grade|group|type|plan|sex|gender|student|region|has|have|eigent|besitz|wohn|verheir|burg|buerg|neu|versich|"
    "selbst|gast|propr|propi|assur|assic|segur|casad|coniug|conyug|mari|marie|garant|avalist|caution|vehic|veic|veh|salar|"
    "nouv|nuev|nuov|novo|possui|tiene|eigenaar|gehuwd|borg|verzek|koop|nieuw|wlasc|zonat|porecz|samoch|ubezp|nowy|ev|evli|"
    "kefil|sigort|araba|yeni|memur|fang|hunyin|yihun|dianhua|有房|婚|担保|持家|xingbie|seibetsu|kikon|jidousha|pemilik|"
    "женат|влад|kjonn|kon|muz|ferfi|gift|ny|approv|accept|consent|join|auton|domicil|geschl|gesl"
)


class _Candidate(NamedTuple):
    points: float
    place: int  # among the columns
    name: str
    said: str


def ask_for_target(source: Any, wanted: Wanted, where: str) -> ConfigError:
    """The error that says which columns look like the outcome; the likeliest first."""
    opened, dialect = opened_as(source, wanted, where)
    looked = survey(opened, dialect)
    columns = list(looked.columns.values())
    found = [one for place, c in enumerate(columns) if (one := _candidate(c, place, len(columns), dialect, where))]
    found.sort(key=lambda one: (-one.points, one.place))
    named = [one for one in found if one.points >= max(LEAST, found[0].points - NEAR)][:MOST]
    question = "Which column says who defaulted? Name it with --target"
    if not dialect.header:
        first, *_, last = looked.columns if len(columns) > 1 else [*looked.columns] * 2
        question = f"{where} has no header line; its columns are {first} to {last}, in their order. {question}"
    if not named:
        names = ", ".join(list(looked.columns)[:30])
        return ConfigError(
            f"{question}. None of {where} looks like one; it has {names}. Where the outcomes "
            "stand in another file, name it with --outcomes."
        )
    first, *others = [f"'{one.name}'" for one in named]
    several = f", or {', '.join(others)}" if others else ""
    return ConfigError(f"{question}. It may be {first}{several}.", [Problem(one.name, one.said) for one in named])


def _candidate(column: Column, place: int, columns: int, dialect: DataSettings, where: str) -> _Candidate | None:
    """How likely a column is the target, in points, by its name and its values; None where it can be none."""
    name = column.name
    said = _name_says(name) + LAST * (place == columns - 1)
    if column.many or not 2 <= len(column.levels) <= LEVELS:
        if not (rule := rule_of(column, dialect)[0]):
            return None
        return _Candidate(said, place, name, f"{'a date' if rule == ANY else rule} would be a default")
    try:
        read = read_meaning(name, dict(column.levels), column.missing, where)
    except DataError:
        values = ", ".join(list(column.levels)[:3])
        return _Candidate(said - 1.0, place, name, f"holds {values}{', …' * (len(column.levels) > 3)}")
    return _Candidate(said + _values_say(read, column.texts), place, name, f"{read.rate:.1%} defaults")


def _values_say(read: Target, texts: Sequence[str]) -> float:
    if any(len(word) > 3 and not word.isdecimal() for word in read.bad):
        said = 6.0 if re.fullmatch(_STATE, _plain(read.name)) else 3.0  # Charged Off, Fully Paid
    else:
        said = 1.5 if {*texts} <= {"0", "1"} else 1.0
    return said + (1.0 if LOW <= read.rate <= HIGH or _finds(_GOOD, _plain(read.name)) else -1.0)


def _name_says(name: str) -> float:
    """Points for a name: of an outcome, of something that may be one, of an attribute or of what was before."""
    plain = _plain(name)
    words = plain.strip("_").split("_")
    back = 9.0 * _finds(_LOOKS_BACK, plain)
    if _finds(_OUTCOME, plain) or any(re.fullmatch(_OUTCOME_WORD, word) for word in words):
        return 5.0 - back
    if _finds(_GOOD, plain):
        return 4.0 - back
    weak = any(re.fullmatch(_WEAK, word) for word in words)
    if weak and all(re.fullmatch(f"{_WEAK}|{_BESIDE}", word) for word in words):
        return 3.0 - back
    attribute = is_protected(name) or any(re.match(_ATTRIBUTE, word) for word in words)
    return -3.0 * attribute - back


_LETTERS: Final = str.maketrans({"ł": "l", "ı": "i", "ø": "o", "đ": "d", "ß": "ss"})


def _folded(text: str) -> str:
    """Without accents: Zahlungsrückstand is Zahlungsruckstand, and デ is テ."""
    letters = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(c for c in letters if not unicodedata.combining(c))


def _plain(name: str) -> str:
    """The name's words, without case and accents, between signs: 'KreditAusfall (12M)' is kredit_ausfall_12m_."""
    return re.sub(r"[\W_]+", "_", _folded(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()))


def _finds(pattern: str, plain: str) -> bool:
    return re.search(_folded(pattern), plain) is not None
