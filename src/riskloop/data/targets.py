"""What the values of a target column mean: which are a default, which are none, and which are no outcome yet."""

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from riskloop.core.dates import is_date
from riskloop.core.errors import DataError
from riskloop.core.settings import DataSettings
from riskloop.core.truth import ANY, TARGETS, TRUTHS, is_among, is_bound, truth, truth_of_default
from riskloop.core.types import Floats, Problem
from riskloop.core.values import level_text, parse_number
from riskloop.data.labels import NO_NAMES, Labels, levels_named
from riskloop.data.survey import ERRORS, Column, words_of

HIGH, LOW = 0.5, 0.001  # default rates that are asked about

_BAD: Final = {
    "bad", "b", "default", "defaulted", "in default", "charged off", "charged-off", "chargeoff", "charge off", "chgoff",
    "written off", "write-off", "writeoff", "delinquent", "non-performing", "npl", "loss", "dead", "failed", "bankrupt",
    "does not meet the credit policy. status:charged off", "90+", "positive", "t",
    "ja", "j", "oui", "o", "sí", "si", "sim", "s", "da", "да", "tak", "igen", "evet", "kyllä", "ano", "是", "はい",
    "예", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "prawda", "истина", "pravda", "igaz", "doğru",
    "sant", "违约", "дефолт", "ausfall", "ausgefallen", "impago", "défaut", "inadimplente", "non performing",
    "gekündigt", "uneinbringlich", "notleidend", "impayé", "en défaut", "moroso", "en mora",
    "incumplimiento", "insolvente", "sofferenza", "in sofferenza", "wanbetaling", "foreclosed", "foreclosure",
    "repossessed", "bankruptcy", "uncollectible", "non-accrual", "write off", "written-off", "chargedoff", "fail", "on",
    "d", "x", "impagado", "incumplió", "contentieux", "逾期", "متعثر", "延滞", "有",
    "collections", "in collections", "sent to collections", "in collection", "castigado", "castigada", "judicial",
    "cobranza judicial", "en cobranza judicial", "prejuízo", "prejuizo", "abgeschrieben", "ausgebucht", "inkasso",
    "passé en perte", "passato a perdita", "a perdita", "afgeschreven", "spisany", "windykacja",
}  # fmt: skip
_GOOD: Final = {
    "good", "g", "fully paid", "paid", "paid off", "paid in full", "p i f", "pif", "repaid", "performing", "closed",
    "non-default", "no default", "not default", "nondefault", "ok", "alive", "negative", "f", "completed",
    "does not meet the credit policy. status:fully paid", "performing loan", "current and paid",
    "nein", "nee", "non", "não", "nao", "ne", "нет", "nie", "nem", "hayır", "ei", "否", "いいえ", "아니오",
    "falsch", "faux", "falso", "onwaar", "fałsz", "ложь", "nepravda", "hamis", "yanlış", "falskt", "usant",
    "正常", "paid off early", "prepaid", "paid early", "adimplente", "paid in advance",
    "bezahlt", "getilgt", "zurückgezahlt", "abbezahlt", "erledigt", "remboursé", "payé", "soldé", "pagado", "liquidado",
    "quitado", "pago", "liquidata", "rimborsato", "estinto", "afgelost", "betaald", "spłacony", "splacony", "pass",
    "passed", "off", "pl", "nd", "standard", "sain", "good standing", "منتظم", "無", "无",
    "paid late", "repaid late", "settled", "pagada", "liquidada", "estinta", "rimborsata",
}  # fmt: skip
_OPEN: Final = {
    "current", "in grace period", "issued", "open", "active", "pending", "ongoing", "late (16-30 days)",
    "late (1-15 days)", "in repayment", "unknown", "reject", "rejected",
    "laufend", "aktiv", "offen", "en cours", "en curso", "vigente", "activo", "em aberto", "ativo", "in corso",
    "lopend", "actief", "aktywny", "running", "outstanding", "not matured", "in progress", "live", "cancelled",
    "indeterminate", "indeterminado", "indéterminé", "indeterminato", "undetermined", "unbestimmt", "ind",
    "not taken up", "ntu", "withdrawn", "canceled", "finalpaymentinprogress", "final payment in progress", "i",
    "past due", "overdue", "late", "vencido", "vencida", "überfällig", "en retard", "scaduto", "refinanciado",
    "reprogramado", "restructured",  # behind, for nobody says how long
    "declined", "denied", "refused", "not approved", "not funded", "not disbursed", "cancelled before start", "void",
    "voided", "expired", "refunded", "returned", "abgelehnt", "storniert", "rechazado", "rechazada", "denegado",
    "anulado", "anulada", "recusado", "reprovado", "refusé", "annulé", "rifiutato", "annullato", "afgewezen",
    "geannuleerd", "odrzucony", "anulowany",  # nobody owed anything
}  # fmt: skip
# Paid off in Spanish, and called off in Portuguese, where another word says paid off.
_CANCELLED: Final = {"cancelado", "cancelada"}


# Names and values that say who was declined, and names that say who was not.
_DECLINED: Final = (
    "declined?|rejected|refused|denied|abgelehnt|rechazad[oa]|denegad[oa]|recusad[oa]|reprovad[oa]|refusée?|"
    "rifiutat[oa]|afgewezen|odrzucon[yae]"
)
_APPROVED: Final = (
    "approved|accepted|granted|funded|disbursed|genehmigt|bewilligt|aprobad[oa]|aprovad[oa]|accordée?|approvat[oa]|"
    "goedgekeurd|zatwierdzon[yae]"
)
_OF_DECISION: Final = "is|was|flag|ind|indicator|loan|order|application|credit|request|decision"
EXPECTED: Final = 15.0  # defaults among the declined at the others' rate; none of them then is no chance
_NOT: Final = re.compile(
    r"(not|non|no|nicht|kein|pas|nie|не)[\s_-]+|un(?=paid|rep)"
)  # … before a word for the contrary
_ABOUT: Final = re.compile(
    r"\b(credits?|risks?|loans?|customers?|clients?|payers?|borrowers?|accounts?|contracts?|cases?|the|a|is|was|has|"
    r"kunden?|kredite?|risiko|crédit|crédito|cliente|credito)\b"
)
_CODED: Final = re.compile(r"-?\d+\s*[-–:.=)]\s*(?=\D)")  # '1 - Default'
_LATE: Final = re.compile(
    r"(?:late|past due|overdue|in arrears|dpd)\D*(\d+).*|(\d+).*(?:days late|days past due|dpd).*"
)
SHOWN: Final = 12  # values in one sentence
DEFAULT_DAYS: Final = 90  # past due, as the field has it
# A target of such a name says who was good.
_GOOD_NAME: Final = "good|repaid|paid|performing|survived|creditworthy|creditability|solvent|success|honoured|honored"
_TURNED: Final = "not|non|un|no|bad|default|late|past|never|fail|failed|unpaid|nonperforming"


@dataclass(frozen=True)
class Target:
    """How a target column is read, and what it then says."""

    name: str
    bad: tuple[str, ...]  # empty: 1, yes, true
    good: tuple[str, ...]  # empty: every other value
    guessed: bool  # nobody said so
    defaults: int
    labelled: int
    left_out: int  # rows without an outcome
    odd: tuple[str, ...] = ()  # values of a few rows that mean nothing; those rows are set aside
    unfinished: tuple[str, ...] = ()  # read as none because nobody said which are; rather no outcome
    other: str = "0"  # the value that would be a default if the column were read the other way round
    asked: str = ""  # what a person should be asked about the reading itself
    labels: Labels = field(default_factory=dict)  # the names that the file has for its values
    undecided: tuple[str, ...] = ()  # values of rows that are left out

    @property
    def rate(self) -> float:
        """The share of defaults among the rows that have an outcome."""
        return self.defaults / max(1, self.labelled)

    @property
    def sentence(self) -> str:
        """The default rate, and how the values are read."""
        others = _listed(self.good, self.labels) or "every other number"
        read = f" Read as a default: {_listed(self.bad, self.labels)}; as none: {others}." if self.bad else ""
        odd = f" Some rows hold {_listed(self.odd)}; they are set aside." if self.odd else ""
        if self.unfinished:
            odd += (
                f" {_listed(self.unfinished)} rather say that nothing is decided yet: name with --good what is none, "
                "and they are left out."
            )
        what = f": {_listed(self.undecided, self.labels)}" if self.undecided else ""
        out = f" {self.left_out:,} rows have no outcome and are left out{what}." if self.left_out else ""
        if any(_days_late(level.casefold()) is not None for level in self.undecided):
            out += f" Late is a default from {DEFAULT_DAYS} days past due on; name others with --bad, too."
        return (
            f"Default rate: {self.rate:.2%} ({self.defaults:,} defaults in {self.labelled:,} rows of "
            f"'{self.name}').{read}{out}{odd}"
        )

    @property
    def question(self) -> str | None:
        """What a person should be asked before this is believed."""
        if self.asked:
            return self.asked
        if self.rate > HIGH:
            return (
                f"The default rate is {self.rate:.1%}: more customers default than not. If '{self.name}' says who was "
                f"good, say --bad {_quoted(self.other)}; if the rate is right, say --yes."
            )
        words = words_of(self.name)
        if not self.bad and {*words} & {*_GOOD_NAME.split("|")} and not {*words} & {*_TURNED.split("|")}:
            return (
                f"'{self.name}' sounds as if it said who was good. If so, say --bad {_quoted(self.other)}; if its "
                f"{self.rate:.1%} are defaults, say --yes."
            )
        if self.rate < LOW:
            return (
                f"The default rate is {self.rate:.3%}. If the column says something else, name the value that is a "
                "default with --bad VALUE; if the rate is right, say --yes."
            )
        return None


def read_meaning(
    name: str,
    counts: Mapping[str, int],
    missing: int,
    where: str,
    bad: Sequence[str] = (),
    good: Sequence[str] = (),
    labels: Labels = NO_NAMES,
) -> Target:
    """The meaning of a target whose values occur ``counts`` times; ``bad`` and ``good`` as a person named them.

    ``labels`` are the names that the file has for the values; they tell more than the values.

    Raises DataError, naming the values, when they are neither the usual ones nor named, or all of one class.
    """
    if not counts:
        raise DataError(f"{where}: the target column '{name}' is empty in every row; name another one with --target.")
    guessed = not bad
    bad, good = levels_named(bad, labels, counts), levels_named(good, labels, counts)
    if not bad and not good:
        bad, good = _by_labels(counts, labels)
    odd = () if bad or good else _errors(counts)
    counts = {level: count for level, count in counts.items() if level not in odd}
    if not bad and good:
        bad = [level for level in counts if truth(level, good) != 1.0]
    elif not bad and any(_plain(level) is None for level in counts):
        bad, good = _recognised(name, counts, missing, where)
    for word in (*bad, *good):
        if not any(is_among(level, (word,)) for level in counts):
            raise DataError(
                f"{where}: the target column '{name}' has no value {word!r}; it has {_counted(counts)}.",
                [Problem(name, "has no such value", word)],
            )
    read = {level: truth(level, bad, good) for level in counts}
    defaults = sum(count for level, count in counts.items() if read[level] == 1.0)
    others = sum(count for level, count in counts.items() if read[level] == 0.0)
    if not defaults or not others:
        raise DataError(
            f"{where}: the target column '{name}' has one class only ({_counted(counts)}); a history needs both. "
            + (
                f"{missing:,} rows are blank: if that means none, say --good ''."
                if missing
                else "Name the value that is a default with --bad VALUE."
            )
        )
    unfinished: tuple[str, ...] = ()
    if bad and not good and not any(map(is_bound, bad)):
        good = [level for level in counts if read[level] == 0.0]
        unfinished = tuple(level for level in good if level_text(level).casefold() in _OPEN)
    left = sum(counts.values()) - defaults - others + missing
    other = next(level for level in counts if read[level] == 0.0)
    undecided = tuple(level for level in counts if read[level] is None)
    undecided += ("",) if undecided and missing else ()
    return Target(
        name, tuple(bad), tuple(good), guessed, defaults, defaults + others, left, odd, unfinished, other, "", labels,
        undecided,
    )  # fmt: skip


def _by_labels(counts: Mapping[str, int], labels: Labels) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values whose names say bad and good; none where names say nothing, or the same as the values."""
    kinds = {level: _kind(_CODED.sub("", labels[level].casefold())) for level in counts if level in labels}
    known = {level: kind for level, kind in kinds.items() if kind is not None}
    if len(known) < len(counts) or not {"bad", "good"} <= {*known.values()}:
        return (), ()
    if all(_plain(level) == {"bad": 1.0, "good": 0.0}.get(kind) for level, kind in known.items()):
        return (), ()
    return tuple(k for k in counts if known[k] == "bad"), tuple(k for k in counts if known[k] == "good")


def _plain(level: str) -> float | None:
    """What a value says that needs no word of the portfolio's."""
    return TARGETS.get(level_text(level).casefold())


_LONG, _ALIKE = 6, 0.85  # letters of words that may be misspelt, and how much they have in common then


@lru_cache(maxsize=1024)
def wrong_outcome(text: str, bad: tuple[str, ...], good: tuple[str, ...]) -> str | None:
    """Why a value that is neither a default nor none is an error; None where nothing is decided yet.

    Where [portfolio] names both, every other value is left out, as it is in training: Current, In Grace Period; but
    nobody says ja, nein and jein and means that the third is not known yet.
    """
    if not text:
        return None
    if not good:
        wanted = f"{', '.join(bad)} or another number" if bad else "0 or 1"
        return f"needs {wanted} as its outcome"
    said = text.casefold()
    if _kind(said) == "open":
        return None
    named = "is no value that 'bad' or 'good' of [portfolio] names"
    flag = truth_of_default(bad, good) is not None and not math.isfinite(parse_number(text))
    if flag or said in TRUTHS:
        return f"{named} ({', '.join((*bad, *good))})"
    words = {word.casefold(): word for word in (*bad, *good) if len(word) >= _LONG and not is_bound(word)}
    close = difflib.get_close_matches(said, words, n=1, cutoff=_ALIKE) if len(text) >= _LONG else []
    digits = [re.findall(r"\d+", one) for one in (text, *close)]
    return f"{named}; '{words[close[0]]}' looks like it" if close and digits[0] == digits[1] else None


def _errors(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Values of a few rows beside 0 and 1, yes and no: errors, and no further outcome."""
    odd = [level for level in counts if _plain(level) is None]
    plain = {_plain(level) for level in counts} - {None}
    few = sum(counts[level] for level in odd) <= ERRORS * sum(counts.values())
    return tuple(odd) if len(plain) == 2 and few else ()


def _recognised(name: str, counts: Mapping[str, int], missing: int, where: str) -> tuple[list[str], list[str]]:
    """Values that the field's usual words explain, or the rarer one of 1 and 2."""
    kinds: dict[str, list[str]] = {"bad": [], "good": [], "open": [], "odd": []}
    coded = bool({"0", "1"} & {*counts})  # a letter beside 0 and 1 is a slip, and no yes or no
    for level in counts:
        text = level_text(level).casefold()
        slip = coded and len(text) == 1 and text not in "01"
        kinds["odd" if slip else _kind(text) or _kind(_CODED.sub("", text)) or "odd"].append(level)
    ended = [level for level in kinds["odd"] if level.casefold() in _CANCELLED]
    kinds["odd"] = [level for level in kinds["odd"] if level not in ended]
    kinds["open" if kinds["good"] else "good"] += ended
    if not kinds["odd"] and kinds["bad"] and kinds["good"]:
        return kinds["bad"], kinds["good"]
    if set(counts) == {"1", "2"} and counts["2"] < counts["1"]:  # 1 good, 2 bad, as German credit data have it
        return ["2"], ["1"]
    blank = f" {missing:,} rows are blank: if that means none, say --good '', too." if missing else ""
    raise DataError(
        f"{where}: the target column '{name}' holds {_counted(counts)}; it has to be 1 for a default and 0 for none "
        "(yes/no and true/false are read too). Say which value is a default with --bad VALUE, and which is none with "
        f"--good VALUE; rows with other values are left out then.{blank}",
        [Problem(name, "is not 0 or 1", level) for level in list(counts)[:1]],
    )


def _kind(text: str) -> str | None:
    """Whether a word says bad, good or open; None where nothing is known of it."""
    text = " ".join(text.replace("_", " ").split()) if "_" in text else text  # written_off
    if text in _OPEN:
        return "open"
    if text in _BAD or (plain := TARGETS.get(text)) == 1.0:
        return "bad"
    if text in _GOOD or plain == 0.0:
        return "good"
    if (days := _days_late(text)) is not None:
        return "bad" if days >= DEFAULT_DAYS else "open"
    if (turned := _NOT.match(text)) is not None and len(text) > turned.end() + 1:
        return {"bad": "good", "good": "bad"}.get(_kind(text[turned.end() :]) or "")
    if (bare := " ".join(_ABOUT.sub(" ", text).split())) != text and bare:  # "bad credit risk"
        return _kind(bare)
    return None


def _days_late(text: str) -> int | None:
    """The fewest days that a word such as 'late (31-120 days)' says somebody is late; None where it says none."""
    late = _LATE.fullmatch(text)
    return None if late is None else int(late[1] or late[2])


def declined_said(columns: Sequence[Column], outcomes: Floats) -> list[str]:
    """What to ask where a column says who was declined and they all count as no default, outcomes (n,) in the sample.

    Nobody defaults who got no loan: such rows are no good customers.
    """
    for column in columns:
        meant = (
            {text: _says_declined(column.name, text) for text in column.levels} if len(column.levels) <= SHOWN else {}
        )
        if len({*meant.values()}) < 2:
            continue
        texts = [None if value is None or value != value else level_text(value) for value in column.sample.tolist()]
        declined = np.array([meant.get(text or "", False) for text in texts]) & ~np.isnan(outcomes)
        others = outcomes[~declined & ~np.isnan(outcomes)]
        rows = int(declined.sum())
        if others.size and rows * others.mean() >= EXPECTED and not outcomes[declined].any():
            share = rows / max(1, np.isfinite(outcomes).sum())
            word = next(text for text, said in meant.items() if said)
            return [
                f"{share:.1%} of the rows have '{column.name}' {word} and none of them is a default: who was declined "
                "owes nothing and has no outcome. Leave the target of those rows blank, or leave them out; if they are "
                "customers who repaid, say --yes."
            ]
    return []


def _says_declined(name: str, text: str) -> bool:
    """Whether a value of a column says that somebody was declined."""
    words = words_of(name)
    if re.fullmatch(_DECLINED, text.casefold()):
        return True
    beside = all(re.fullmatch(f"{_OF_DECISION}|{_DECLINED}|{_APPROVED}", word) for word in words)
    for pattern, said in ((_DECLINED, True), (_APPROVED, False)):
        if beside and any(re.fullmatch(pattern, word) for word in words):
            return TRUTHS.get(text.casefold()) is said
    return False


def what_many_say(values: Sequence[str]) -> str:
    """What a column of many values may be, and how a target is made of it; nothing where nobody can tell."""
    numbers = [parse_number(value) for value in values]
    if all(math.isfinite(number) for number in numbers):
        if all(0.0 <= number <= 1.0 for number in numbers):
            return " It looks like a probability or a rate: a target says what happened."
        if min(numbers) >= 0.0 and all(number.is_integer() for number in numbers):
            return f" If it counts days past due, say --bad '>={DEFAULT_DAYS}'."
    elif all(is_date(value) for value in values[:50]):
        return f" If it is the date of the default, say --bad '{ANY}': whoever has one is a default."
    return ""


_DAYS_LATE: Final = re.compile(
    r"(^|[^a-z])(dpd|dpds|overdue|days?[ _-]?(late|past|delinquent|in[ _-]?arrears|overdue)|past[ _-]?due|pastdue|"
    r"(tage|jours|giorni|dias|días|dni)[ _-]?\w*(überfällig|verzug|retard|ritardo|atraso|mora|opóźn))",
    re.IGNORECASE,
)


def counts_of(column: Column) -> dict[str, int]:
    """How many rows have each value; of more values than are kept, what the sample says of all rows."""
    if not column.many:
        return dict(column.levels)
    known = [level_text(value) for value in column.sample.tolist() if value is not None and value == value]
    return {text: round(count * column.present / len(known)) for text, count in Counter(known).items()}


def rule_of(column: Column, dialect: DataSettings) -> tuple[str, str]:
    """What is a default in a target that counts days past due or holds dates, and what to ask; "" for other targets."""
    name = column.name
    counted = column.numeric and column.whole and column.low >= 0 and len(column.levels) > 10
    if counted and column.high >= DEFAULT_DAYS and _DAYS_LATE.search(name):
        rule = f">={DEFAULT_DAYS}"
        return rule, (
            f"'{name}' counts days past due: from {DEFAULT_DAYS} on it is taken for a default. If so, say --bad "
            f"'{rule}', or --yes; for another bound say it."
        )
    dated = column.kind == "date" or (
        len(column.levels) > 10 and all(is_date(text, dialect.dates) or _either(text) for text in column.texts[:200])
    )
    if dated and column.missing and not (column.numeric and column.low < 1900_01_01):
        return ANY, (
            f"'{name}' holds dates, in {column.present:,} of {column.rows:,} rows: those are taken for defaults, and "
            f"rows without one for none. If so, say --bad '{ANY}', or --yes."
        )
    return "", ""


def _either(text: str) -> bool:
    return is_date(text, "dmy") or is_date(text, "mdy")


def _quoted(word: str) -> str:
    return word if word.isalnum() else f'"{word}"'


def _listed(words: Sequence[str], labels: Labels = NO_NAMES) -> str:
    said = {"": "blank", ANY: "whatever is filled", **{level: f"{level!r} ({name})" for level, name in labels.items()}}
    return ", ".join(said.get(word, repr(word)) for word in words[:6]) + (", …" if len(words) > 6 else "")


def _counted(counts: Mapping[str, int]) -> str:
    shown = [f"{level!r} ({count:,})" for level, count in list(counts.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(counts) - SHOWN:,} more" if len(counts) > SHOWN else "")
