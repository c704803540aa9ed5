"""What the columns of a file hold, in one pass: the facts from which `init` guesses, and a sample of the rows.

Columns that look like numbers in the first block are read as numbers from there on, so that a million rows of two
hundred columns take seconds; distinct values are counted while they are few.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from riskloop.core.schema import TextStyle
from riskloop.core.settings import DataSettings
from riskloop.core.types import Floats
from riskloop.core.units import unit_of, units_of
from riskloop.core.values import MISSING, MISSING_NUMBER, ODD_ID, level_text, parse_number, style_of
from riskloop.data.columns import codes_of, codes_table, doubles, is_number, is_text
from riskloop.data.labels import Labels
from riskloop.data.parse import Block
from riskloop.data.tables import Source

MOST_KEPT: Final = 50_000  # distinct texts of a column that are counted
MOST_NUMBERS: Final = 1000  # … and distinct numbers
SAMPLED: Final = 40_000  # rows of the sample, at most, every so many of the file
TOGETHER: Final = 2**26  # bytes of blocks that are looked at as one
FIRST: Final = 5000  # rows of the head
NUMERIC_SHARE: Final = 0.95  # of the distinct values: above it the others are errors, not levels
ERRORS: Final = 0.01  # of the rows: fewer texts among numbers are errors, not levels
EXAMPLES: Final = 3


# Codes of which the first characters say where in a tree they stand; nobody adds them up.
_TREES: Final = "zip|zipcode|postal|postalcode|postcode|plz|cap|cep|pincode|naics|sic|isic|nace|cnae|ateco"
_PLACES: Final = "tract|fips|geoid|cbsa|msa|blockgroup|insee|lsoa|msoa"  # … of a country's statistics
_OF_CODES: Final = "census|code|cd|id|no|nr|num|md|county|state|block|derived|property|borrower|customer|us|usa|full"
_NO_TREE: Final = "count|cnt|number|num|no|share|rate|ratio|income|density|avg|mean|median|score"


def words_of(name: str) -> list[str]:
    """The name's parts: ``maritalStatus`` and ``MARITAL_STATUS`` are marital, status."""
    return re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


def is_code_tree(name: str) -> bool:
    """Whether a name says that the column holds codes such as postcodes or industries."""
    words = words_of(name)
    if any(re.fullmatch(_PLACES, word) for word in words):  # beside tract_population and msa_median_income
        return all(re.fullmatch(f"{_PLACES}|{_OF_CODES}", word) for word in words)
    return any(re.fullmatch(_TREES, word) for word in words) and not any(re.fullmatch(_NO_TREE, word) for word in words)


@dataclass
class Column:
    """Facts about one column."""

    name: str
    numeric: bool = False  # its values are numbers, written as `style` says
    style: TextStyle = "plain"
    units: tuple[str, ...] = ()  # that stand beside them, as `Feature.written_in`
    rows: int = 0
    missing: int = 0
    words: Counter[str] = field(default_factory=Counter)  # spellings of missing that were found
    levels: Counter[str] = field(default_factory=Counter)  # distinct values and their counts, as long as they are few
    many: bool = False  # there are more than `levels` holds
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True  # every number is an integer
    odd: list[str] = field(default_factory=list)  # values of a numeric column that are no numbers
    padded: bool = False  # codes such as 007
    cut: bool = False  # written 4.5E+12: a spreadsheet has cut the digits
    told: bool = False  # a block has held values, so that it is known what they are
    labels: Labels = field(default_factory=dict)  # the names that the source has for its numbers
    mixed: str = ""  # what to look at: some values have a sign that others have not
    blanks: list[str] = field(default_factory=list)  # words among its numbers that are taken for missing
    kind: str = "text"  # of the source's type: text, number, date, boolean
    distinct: bool = True  # no value has come twice
    keys: list[Any] = field(default_factory=list)  # all values, while they are distinct
    parts: list[npt.NDArray[Any]] = field(default_factory=list)  # of the sample
    head: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0))  # the first rows, one after the other

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def unique(self) -> bool:
        """Every row has a value of its own."""
        return self.distinct and self.missing == 0 and self.rows > 1

    @property
    def sample(self) -> npt.NDArray[Any]:
        """The sampled values: float64 with NaN, or text with None for missing."""
        if self.numeric:  # blocks from before its kind was told are empty
            return np.concatenate(
                [np.empty(0), *(np.full(len(p), np.nan) if p.dtype == object else p for p in self.parts)]
            )
        return np.concatenate(self.parts) if self.parts else np.empty(0)

    @property
    def texts(self) -> list[str]:
        """The distinct values, in order of first appearance, as far as they are kept."""
        return list(self.levels)


@dataclass
class Survey:
    """All columns of a source."""

    columns: dict[str, Column]
    rows: int = 0
    ragged: int = 0  # records that are no rows
    uneven: str = ""  # what is wrong with the first of them

    @property
    def blanks(self) -> tuple[str, ...]:
        """Words among numbers that are taken for missing, in any column."""
        return tuple(dict.fromkeys(word for column in self.columns.values() for word in column.blanks))


def survey(source: Source, dialect: DataSettings) -> Survey:
    """Read a source once."""
    looked = Survey({name: Column(name, labels=source.labels.get(name, {})) for name in source.names})
    step = 1
    for block in _together(_blocks(source, dialect, looked)):
        table, wider = block.table, dialect.model_copy(update={"missing": (*dialect.missing, *looked.blanks)})
        taken = slice(-looked.rows % step, None, step)
        for name, column in looked.columns.items():
            if not column.told:
                _tell(column, table[name], dialect)
            _take(column, table[name], wider if column.numeric else dialect, taken)
        looked.rows += table.num_rows
        looked.ragged += len(block.ragged)
        if block.ragged and not looked.uneven:
            place, problem = block.ragged[0]
            looked.uneven = f"({source.places([place])[0]}) {problem}"
        while looked.rows > step * SAMPLED:
            step *= 2
            for column in looked.columns.values():
                column.parts = [column.sample[::2]]
    for column in looked.columns.values():
        _finish(column)
    return looked


def fingerprint(column: Column) -> bytes:
    """What tells a column's sample from that of another one."""
    values = column.sample
    if values.dtype == object:
        return hashlib.blake2b(repr(values.tolist()).encode(errors="replace"), digest_size=16).digest()
    return hashlib.blake2b(values.astype(np.float64).tobytes(), digest_size=16).digest()


def _blocks(source: Source, dialect: DataSettings, looked: Survey) -> Iterator[Block]:
    """The first block as text, by which the columns are told; the others with numbers read as numbers."""
    types: dict[str, pa.DataType] = {}
    blocks = source.blocks()
    first = next(blocks, None)
    if first is None:
        return
    for name, column in looked.columns.items():
        _tell(column, first.table[name], dialect)
        if column.numeric and column.style == "plain" and column.kind == "text":
            types[name] = pa.float64()
        elif column.kind == "text" and column.told:
            types[name] = pa.dictionary(pa.int32(), pa.string())
    yield first
    if source.unit != "line":
        yield from blocks
        return
    blocks.close()  # type: ignore[attr-defined]  # a generator
    rest = source.blocks(types=types)
    next(rest, None)
    yield from rest


def _together(blocks: Iterator[Block]) -> Iterator[Block]:
    """Several blocks as one: what comes in each of them is counted once."""
    waiting: list[Block] = []
    held = 0
    for block in blocks:
        if waiting and (held > TOGETHER or waiting[0].table.schema != block.table.schema):
            yield _joined(waiting)
            waiting, held = [], 0
        waiting.append(block)
        held += block.table.nbytes
    if waiting:
        yield _joined(waiting)


def _joined(blocks: list[Block]) -> Block:
    ragged = tuple(record for block in blocks for record in block.ragged)
    return Block(pa.concat_tables([block.table for block in blocks]), blocks[0].first, None, ragged)


def _tell(column: Column, values: pa.ChunkedArray, dialect: DataSettings) -> None:
    kind = values.type
    tree = is_code_tree(column.name)
    column.told = values.null_count < len(values)
    if pa.types.is_boolean(kind):
        column.kind = "boolean"
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column.kind = "date"
    elif is_number(kind):
        column.kind = "number"
        ends = pc.min_max(values).as_py().values() if pa.types.is_integer(kind) else ()
        column.numeric = not any(_is_long(str(value)) for value in ends) and not (tree and _are_whole(values))
    if column.kind != "text" or not (is_text(kind) or pa.types.is_dictionary(kind)):
        return
    missing = MISSING_NUMBER | set(dialect.missing)
    distinct = _distinct(values)
    distinct = distinct.filter(pc.invert(pc.is_in(pc.utf8_trim_whitespace(distinct), pa.array(sorted(missing)))))
    column.told = len(distinct) > 0
    column.padded = bool(pc.any(pc.match_substring_regex(distinct, r"^\s*0\d\w*\s*$")).as_py())
    column.cut = bool(pc.all(pc.match_substring_regex(distinct, r"^\s*\d([.,]\d+)?E\+\d\d\s*$")).as_py())
    long = distinct.filter(pc.greater(pc.utf8_length(distinct), 15)).to_pylist()
    tree = tree and bool(pc.all(pc.match_substring_regex(distinct, r"^\s*\d+(\.0*)?\s*$")).as_py())
    if not len(distinct) or tree or column.padded or any(_is_long(text) for text in long):
        return
    if dialect.decimal == "." and _all_numbers(distinct):
        column.numeric = True
        return
    some = distinct.take(pa.array(range(0, len(distinct), max(1, len(distinct) // 2000)))).to_pylist()
    column.blanks = _words_for_missing(distinct, values, dialect)
    some = [text for text in some if text.strip() not in column.blanks]
    missing |= set(column.blanks)
    numbers = [text for text in some if np.isfinite(parse_number(text, "plain", dialect.decimal))]
    if len(numbers) < len(some) and (style := style_of(some, dialect.decimal)) is not None:
        _take_style(column, style, some)
    elif len(numbers) >= NUMERIC_SHARE * len(some) or _few_errors(values, missing, dialect):
        column.numeric = True
    elif (style := style_of(regular := _regular(some, dialect), dialect.decimal)) is not None:
        _take_style(column, style, regular)


def _take_style(column: Column, style: TextStyle, texts: list[str]) -> None:
    """A column of which all ``texts`` are numbers that are written in the ``style``."""
    column.numeric, column.style, column.units = True, style, units_of(texts, style)
    column.mixed = _mixed_signs(texts, style, column.units)


def _mixed_signs(texts: list[str], style: TextStyle, units: Sequence[str]) -> str:
    """What to look at where some values have a percent sign or a unit and others none, or another one."""
    if style == "percent":
        without = [text for text in texts if not unit_of(text, "percent")]
        if len(without) > ERRORS * len(texts):
            return f"some values have no percent sign: {without[0]!r} is read as {without[0].strip()}%"
    if style == "amount":
        signs = sorted({sign for text in texts for sign in re.findall(r"[$€£¥₹₽]|\b[A-Z]{3}\b", text)})
        if len(signs) > 1:
            return f"amounts in several currencies ({', '.join(signs[:4])}) are read as one"
    if style == "unit" and len(units) > 1:
        others = [unit or "no unit" for unit in units[1:]]
        return f"values in {units[0]} and in {' and in '.join(others)} are all read as {units[0]}"
    return ""


# What people and programs write for "not known" in a column of numbers.
_NOT_KNOWN: Final = re.compile(
    r"n\.? ?[adrcv]\.?|k\.? ?a\.?|nil|void|undefined|empty|blank|none|unknown|missing|not (available|applicable|"
    r"provided|reported|known)|no (data|info|record)|keine angaben?|unbekannt|inconnue?|non renseign[ée]e?|s/?d|"
    r"sin datos?|desconocido|não informado|n/?i|brak( danych)?|нет данных|н/?д|okänd|ukendt|sconosciuto|onbekend|"
    r"[-*.?~_]{1,5}",
    re.IGNORECASE,
)


def _words_for_missing(distinct: pa.Array, values: pa.ChunkedArray, dialect: DataSettings) -> list[str]:
    """Words without a digit beside at least three numbers, which stand for "not known": by what they say, or because
    one or two of them come often and everything else is a number.
    """
    words = distinct.filter(pc.invert(pc.match_substring_regex(distinct, r"\d")))
    if not 0 < len(words) <= 3 or len(distinct) < len(words) + 3:
        return []
    texts = [str(word).strip() for word in words.to_pylist()]
    others = distinct.filter(pc.match_substring_regex(distinct, r"\d")).to_pylist()
    if style_of(_regular(others[:2000], dialect), dialect.decimal) is None:
        return []
    if all(_NOT_KNOWN.fullmatch(text) for text in texts):
        return texts
    often = pc.sum(pc.is_in(pc.utf8_trim_whitespace(_as_text(values)), pa.array(texts))).as_py() or 0
    frequent = len(texts) <= 2 and often > ERRORS * len(values) and often >= 5
    return texts if frequent and len(others) >= NUMERIC_SHARE * len(distinct) else []


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(pa.string())


def _are_whole(values: pa.ChunkedArray) -> bool:
    """Whether all numbers are integers."""
    return bool(pc.all(pc.equal(pc.floor(values), values)).as_py())


def _all_numbers(texts: pa.Array) -> bool:
    """Whether all texts are plain finite numbers."""
    try:
        return bool(pc.all(pc.is_finite(texts.cast(pa.float64()))).as_py())
    except pa.ArrowInvalid:
        return False


def _is_long(text: str) -> bool:
    """Whether an integer has more digits than a double can hold: an id, an account, no quantity."""
    digits = text.strip().lstrip("+-")
    return len(digits) > 15 and digits.isdecimal() and int(digits) >= 2**53


def _few_errors(values: pa.ChunkedArray, missing: Collection[str], dialect: DataSettings) -> bool:
    """Whether nearly all rows hold numbers, of three kinds at least: the others are errors, not rare levels."""
    counts = pc.value_counts(values.combine_chunks())
    good, rows, kinds = 0, 0, 0
    for value, count in zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True):
        if value is None or str(value).strip() in missing:
            continue
        rows += count
        if np.isfinite(parse_number(str(value), "plain", dialect.decimal)):
            good, kinds = good + count, kinds + 1
    return kinds >= 3 and good >= (1 - ERRORS) * rows


def _regular(texts: list[str], dialect: DataSettings) -> list[str]:
    """Without the few that are no number in any style: they are errors among amounts as among plain numbers."""
    written: tuple[TextStyle, ...] = ("amount", "percent", "unit", "tenure")
    good = [t for t in texts if any(np.isfinite(parse_number(t, s, dialect.decimal)) for s in written)]
    return good if len(good) >= NUMERIC_SHARE * len(texts) else texts


def _distinct(values: pa.ChunkedArray) -> pa.Array:
    found = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    return pc.unique(found).drop_null().cast(pa.string())


# --------------------------------------------------------------------------- one block of one column


def _take(column: Column, values: pa.ChunkedArray, dialect: DataSettings, taken: slice) -> None:
    column.rows += len(values)
    if column.numeric:
        numbers = _numbers(column, values, dialect)
        column.missing += int(np.isnan(numbers).sum())
        _take_numbers(column, numbers[~np.isnan(numbers)])
        column.parts.append(numbers[taken].copy())
        column.head = column.head if len(column.head) else numbers[:FIRST].copy()
        return
    encoded = codes_table(values)
    codes, distinct = codes_of(encoded), encoded.dictionary
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct)) if len(distinct) else np.empty(0, dtype=np.int64)
    texts = np.empty(len(distinct) + 1, dtype=object)  # the last one, None, is for null
    values_told, missing = _told(distinct), {*MISSING, *dialect.missing}
    levels, room = column.levels, MOST_KEPT
    for i, (text, count) in enumerate(zip(values_told, counts.tolist(), strict=True)):
        if text is None or text in missing:
            column.missing += count
            column.words[text or ""] += count
            continue
        texts[i] = text
        if text in levels:
            levels[text] += count
        elif len(levels) < room:
            levels[text] = count
        else:
            column.many = True
    if (null := int((codes < 0).sum())) > 0:
        column.missing += null
        column.words[""] += null
    _take_keys(column, encoded)
    column.parts.append(texts[codes[taken]])
    column.head = column.head if len(column.head) else texts[codes[:FIRST]]


def _told(distinct: pa.Array) -> list[str | None]:
    """The levels that distinct values name, as `level_text` does; None for NaN. Most texts are what they name."""
    values: list[Any] = distinct.to_pylist()
    odd: Any = range(len(values))
    if is_text(distinct.type):
        odd = np.flatnonzero(pc.match_substring_regex(distinct, ODD_ID).fill_null(True).to_numpy(zero_copy_only=False))
        odd = odd.tolist()
    for i in odd:
        values[i] = None if values[i] != values[i] else level_text(values[i])
    return values


def _numbers(column: Column, values: pa.ChunkedArray, dialect: DataSettings) -> Floats:
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.cast(kind.value_type), kind.value_type
    if not is_text(kind):
        numbers = np.array(doubles(values).to_numpy(), dtype=np.float64)
    elif (plain := _plain_numbers(values, column, dialect)) is not None:
        numbers = plain
    else:
        encoded = codes_table(values)
        table = []
        for text in (str(t) for t in encoded.dictionary.to_pylist()):
            empty = text.strip() in MISSING_NUMBER or text.strip() in dialect.missing
            number = np.nan if empty else parse_number(text, column.style, dialect.decimal, column.units)
            table.append(number)
            if empty and text.strip():
                column.words[text.strip()] += 1
            elif not empty and not np.isfinite(number) and len(column.odd) < EXAMPLES and text not in column.odd:
                column.odd.append(text)
        codes = codes_of(encoded)
        numbers = np.where(codes >= 0, np.array(table or [np.nan])[codes], np.nan)
    for word in dialect.missing:
        numbers[numbers == parse_number(word)] = np.nan
    return numbers


def _plain_numbers(values: pa.ChunkedArray, column: Column, dialect: DataSettings) -> Floats | None:
    """A column of which every text is a plain number or blank; None where one is not."""
    if column.style != "plain" or dialect.decimal != ".":
        return None
    try:
        filled = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        return np.array(filled.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        return None


def _take_numbers(column: Column, numbers: Floats) -> None:
    if not numbers.size:
        return
    finite = numbers[np.isfinite(numbers)] if np.isinf(numbers).any() else numbers
    if finite.size:
        column.low, column.high = min(column.low, float(finite.min())), max(column.high, float(finite.max()))
    if column.whole:
        column.whole = bool((np.floor(finite) == finite).all())
    if not column.many:
        distinct, counts = np.unique(numbers, return_counts=True)
        kept = slice(None, MOST_NUMBERS + 1)  # one more says that there are many
        pairs = zip(distinct[kept].tolist(), counts[kept].tolist(), strict=True)
        column.levels.update({str(int(n)) if n.is_integer() else str(n): c for n, c in pairs})  # as `level_text` does
        column.many = len(column.levels) > MOST_NUMBERS
        column.distinct = column.distinct and len(distinct) == len(numbers)
    if column.distinct and column.whole and not column.missing:
        column.keys.append(numbers.astype(np.int64) if np.abs(numbers).max() < 2**62 else numbers)
    else:
        column.keys.clear()
        column.distinct = column.distinct and column.whole


def _take_keys(column: Column, encoded: pa.DictionaryArray) -> None:
    if column.missing or not column.distinct or len(encoded.dictionary) < len(encoded):
        column.distinct = False
        column.keys.clear()
    else:
        column.keys.append(encoded.dictionary)


def _finish(column: Column) -> None:
    if column.distinct and len(column.keys) > 1:
        if column.numeric:
            whole = np.concatenate(column.keys)
            column.distinct = len(np.unique(whole)) == len(whole)
        else:
            column.distinct = pc.count_distinct(pa.chunked_array(column.keys)).as_py() == column.rows
    if not column.numeric:
        return
    column.whole = column.whole and column.present > 0
    words: Mapping[str, int] = {w: c for w, c in column.words.items() if w not in MISSING or w}
    column.words = Counter(words)
