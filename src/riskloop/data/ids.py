"""Which columns say whose a row is: an id, a key, a customer who comes again, or only the row's number."""

import re
from typing import Final

import numpy as np

from riskloop.data.guess import MEASURE, is_named, is_nested
from riskloop.data.survey import Column, is_code_tree, words_of

_ID: Final = "id|key|number|nr|no|uuid|guid|reference|ref"
_WHOSE: Final = (
    "cust|client|borrower|kunde|kund|klient|cliente|cif|müşteri|musteri|zákazník|zakaznik|asiakas|ügyfél|ugyfel|nasabah|顧客|会員|客户|客戶|고객|회원|"
    "account|acct|loan|contract|contrato|vertrag|konto|dossier|antrag|umow|"
    "wnios|pratic|expedient|договор|заявк|клиент|policy|facility|obligor|member|application|applicant|solicitud|prestamo|préstamo|prêt|pret"
)
# Numbers that a state gives a person or a firm, and banks their customers.
_PERSON_NUMBER: Final = (
    "cpf|cnpj|dni|nif|nie|curp|rfc|rut|cuit|cuil|ssn|sin|bsn|pesel|nino|tckn|pan|aadhaar|bvn|cnp|egn|oib|personnummer|"
    "fodselsnummer|fødselsnummer|henkilötunnus|steuernummer|kundennr|kundennummer|klantnummer|kundenr|kundnr"
)
# Places, firms and products, whose codes put rows into groups: each may come once in a small file.
_GROUP: Final = (
    "agency|agent|area|block|blockgroup|branch|broker|bureau|campaign|cbsa|census|channel|city|commune|county|country|"
    "dealer|department|district|employer|filiale|fips|geo|geoid|gemeinde|industry|kreis|lei|lender|lga|lsoa|merchant|"
    "model|msa|msoa|municipality|naf|occupation|office|officer|parish|partner|postal|postcode|product|province|region|"
    "school|sector|segment|servicer|store|supplier|tract|university|vendor|ward|zip|zipcode|zone"
)
_ID_ENDS: Final = ("id", "nummer", "number", "编号", "番号", "번호", "单号")
_NUMBER_OF: Final = "nr|numer|numéro|numero|número|kod|cod|codigo|código"
_CONTACT: Final = "phone|telephone|tel|telefon|telefono|teléfono|mobile|cell|fax|email|mail|iban|ip|url"
_NO_KEY: Final = f"{_CONTACT}|ssn|name|address|street|note|comment"
_INDEX: Final = (
    r"(unnamed[:_ ]*\d*|index|row|rownum|row_?(num|number|id|nr|names?)|id_row|obs|observation|level_0|\#|nr|)"
)


def is_id(column: Column) -> bool:
    """Unique, and named like an id of a decision."""
    whole = column.whole if column.numeric else True
    own = is_id_named(column.name) and not is_of_group(column.name) and not is_nested(column)
    return column.unique and own and whole and not _index(column)


def is_serial(column: Column) -> bool:
    """Whether an id only counts the rows of its file, from 0 or 1 on: the next file may begin at 1 again."""
    values = np.concatenate(column.keys) if column.numeric and column.keys else np.empty(0)
    return 0 < len(values) == column.rows and values[0] in (0, 1) and bool((np.diff(values) == 1).all())


def is_of_group(name: str) -> bool:
    """Whether a name is that of a code which many customers share, as of a tract, a branch, an employer."""
    shared = is_named(name, rf"(?:{_GROUP})(?:id|code|nr|no|num|number)?") or is_code_tree(name)
    return shared and not is_named(name, rf"(?:{_WHOSE})\w*|{_PERSON_NUMBER}")


def is_id_named(name: str) -> bool:
    """Whether a name says that the column identifies a customer, a loan, a contract."""
    others = _without_number(name)
    whose = is_named(name, rf"(?:{_WHOSE})\w*") and not is_named(others, MEASURE)
    return is_named(name, f"{_ID}|{_PERSON_NUMBER}") or name.lower().endswith(_ID_ENDS) or whose


def _without_number(name: str) -> str:
    """The name without its word for number: 'N. pratica' is of a file, and no count."""
    return " ".join(word for word in words_of(name) if word not in ("n", "no", "nr", "num", "number"))


def is_key(column: Column) -> bool:
    """Unique, and written like a key although not named like one: digits in every value, in one shape: D-50431."""
    name = _without_number(column.name)
    if not column.unique or column.rows < 20 or is_named(name, f"{_NO_KEY}|{MEASURE}") or _index(column):
        return False
    if is_of_group(column.name) or is_nested(column):
        return False
    if column.numeric:  # … or without a name, and first of all
        return column.whole and column.style == "plain" and column.name == "column_1"
    shapes = {re.sub(r"[0-9a-f]", "0", text, flags=re.IGNORECASE) for text in column.texts[:2000]}
    lengths = {len(text) for text in column.texts[:2000]}
    digits = all(any(c.isdigit() for c in text) and " " not in text for text in column.texts[:2000])
    return digits and len(lengths) <= 3 and (len(shapes) <= 3 or max(lengths) >= 8)


def is_number_of_somebody(column: Column) -> str | None:
    """Why a column is a telephone number, an address or a key rather than a quantity; None when it is none."""
    several = column.many or len(column.levels) > max(20, column.present // 2)
    # Days since the first mail and calls by telephone are quantities: numbers of telephones have seven digits and more.
    small = column.numeric and (column.high < 1e6 or is_named(_without_number(column.name), MEASURE))
    if several and not small and is_named(column.name, _CONTACT):
        return "a telephone number, an address or the like: it tells who somebody is"
    long = column.numeric and column.whole and column.style == "plain" and column.low >= 1e8
    if long and column.unique and len(f"{column.low:.0f}") == len(f"{column.high:.0f}"):
        return f"whole numbers of {len(f'{column.low:.0f}')} digits, each once: a key"
    return None


def is_unit(column: Column) -> bool:
    """Named like the id of a customer, and the same in several rows."""
    name = column.name.lower()
    numbered = re.search(rf"(nbr|no|nr|num|{'|'.join(_ID_ENDS)})[.°º#]?$", name) is not None
    match words_of(column.name):  # numero_cliente is whose it is, numero_clientes a count
        case [first, second]:
            numbered = numbered or (re.fullmatch(_NUMBER_OF, first) is not None and not second.endswith("s"))
    strict = (
        name.endswith("id")
        or is_named(column.name, f"id|key|uuid|guid|{_PERSON_NUMBER}")
        or name in ("customer", "client", "borrower")
        or (numbered and is_named(column.name, rf"(?:{_WHOSE})\w*"))
    )
    levels = len(column.levels)
    whole = column.whole if column.numeric else True
    repeated = column.many or levels > max(20, column.rows // 200)
    own = strict and not is_of_group(column.name)
    return own and whole and not column.missing and not column.unique and repeated


def is_whose_named(name: str) -> bool:
    """Whether a name says whose a row is and nothing else, as `account` does; amounts are called `loan`, too."""
    return all(re.fullmatch(rf"(?:{_WHOSE})\w*", word) for word in words_of(name)) and bool(words_of(name))


def _index(column: Column) -> bool:
    return re.fullmatch(_INDEX, column.name.strip().lower()) is not None


def row_number(column: Column) -> str | None:
    """Why a column is a count of the rows rather than a fact about a customer; None when it is none.

    An unnamed or index-like column of distinct integers, integers in steps of one in the order of the file, or
    integers that fill their range.
    """
    if not column.numeric or not column.whole or not column.unique or column.rows < 20:
        return None
    if _index(column):
        return "the row's number, from an index that was saved with the table"
    values = np.concatenate(column.keys) if column.keys else np.empty(0, dtype=np.int64)
    if len(values) != column.rows:
        return None
    steps = np.diff(values)
    if np.all(steps == steps[0]):
        return "a counter: it grows by the same step from row to row"
    if np.all(steps > 0) or np.all(steps < 0):
        return "a counter: it only grows from row to row, and says where in the file a row stands"
    if column.high - column.low < 1.5 * column.rows:
        return "a counter in another order: each integer of its range comes once"
    return None
