"""A file of outcomes as a source of rows: laid out as [data] says or in its own way, with names or without."""

from pathlib import Path
from typing import Final

import pyarrow as pa

from riskloop.core.errors import ConfigError, DataError, MalformedBody
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.core.truth import TARGETS, TRUTHS, is_among, is_bound, truth
from riskloop.core.values import is_missing, level_text
from riskloop.data.columns import codes_table
from riskloop.data.opening import open_source
from riskloop.data.parse import Block
from riskloop.data.read import Source
from riskloop.data.spelling import spelled
from riskloop.data.tables import Source as Rowed
from riskloop.data.tables import TextSource, refuse_copies
from riskloop.data.unread import is_dated

LEVELS: Final = 60  # different values of a column that may say what happened


def outcome_of(text: str, schema: Schema) -> int | None:
    """1 for a default, 0 for none, None for what is neither: the target's words, or the API's own 1 and 0."""
    value = truth(text, schema.bad, schema.good) if text or "" in (*schema.bad, *schema.good) else None
    value = TARGETS.get(text.casefold()) if value is None else value
    return None if value is None else int(value)


def open_outcomes(source: Source, dialect: DataSettings, where: str, schema: Schema) -> Rowed:
    """The source as [data] lays files out; a file that has its columns only in a layout of its own, in that.

    Outcomes come from other systems than the history: without its note above the header, with other delimiters, or
    without a header. Raises DataError where a name of the header comes twice: nobody says which column is meant.
    """
    opened = _laid_out(source, dialect, where, schema)
    refuse_copies(opened, opened.names, where)
    return opened


def _laid_out(source: Source, dialect: DataSettings, where: str, schema: Schema) -> Rowed:
    needed, first, opened = {schema.target, "default"}, None, None
    begins = source.tell() if hasattr(source, "seek") else None
    looked = isinstance(source, (Path, str)) or begins is not None  # into the bytes, for a layout of their own
    try:
        opened = spelled(open_source(source, dialect, where)[0], schema)
        if needed & set(opened.names) and (dialect.header or not looked):
            return opened
    except (DataError, MalformedBody) as error:
        first = error
    if looked and (own := _own_layout(source, dialect, where, schema, begins)) is not None:
        return own
    if opened is None:
        raise first or DataError(f"{where} cannot be read.")
    return opened


def _own_layout(source: Source, dialect: DataSettings, where: str, schema: Schema, begins: int | None) -> Rowed | None:
    """The source in the layout that is found; None where that does not say what happened."""
    if begins is not None:
        source.seek(begins)
    try:
        found, layout = open_source(source, None, where)
    except (DataError, MalformedBody):
        return None
    own = spelled(found, schema)
    if {schema.target, "default"} & set(own.names):
        return own
    if layout.header or not isinstance(own, TextSource):
        return None
    names = _names(own, dialect, schema, where)
    if begins is not None:
        source.seek(begins)
    named = TextSource(own.source, own.dialect.model_copy(update={"columns": names}), where, quote=own.quote)
    named.said = () if names == dialect.columns else (f"Read without a header line as {', '.join(names)}.",)
    return named


def _names(own: TextSource, dialect: DataSettings, schema: Schema, where: str) -> tuple[str, ...]:
    """The names of [data] where the values fit them; else who it is about, what happened and perhaps when that became
    known, where only one column can be each.
    """
    block: Block | None = next(iter(own.blocks()), None)
    columns = [] if block is None else block.table.columns
    values = [_values(column, schema) for column in columns]
    told = [_tells_outcome(texts, schema) for texts in values]
    dated = [not t and is_dated(column, schema) for t, column in zip(told, columns, strict=True)]
    given = dialect.columns if not dialect.header and len(dialect.columns) == len(columns) else ()
    if given:
        tells = dict(zip(given, told, strict=True))
        fits = tells.get(schema.target, tells.get("default", False)) or not any(told)
        stray = any(date and name in schema.names for name, date in zip(given, dated, strict=True))
        if fits and not stray:
            return given
    who = schema.id or "decision_id"
    # A date beside the decision's own may be either.
    if (told.count(True), len(columns) - sum(dated)) != (1, 2) or sum(dated) > (schema.time is None):
        raise ConfigError(
            f"{where} has {len(own.names)} column{'s' * (len(own.names) != 1)} and no header line, so that nobody "
            f"knows what each of them says. {how_to_name(schema, len(own.names))}"
        )
    return tuple(
        schema.target if tells else schema.known_at if date else who for tells, date in zip(told, dated, strict=True)
    )


def how_to_name(schema: Schema, columns: int = 2) -> str:
    """What to do with a file that has no header line, and so many columns."""
    usual = [schema.id or "decision_id", schema.target, schema.known_at][:columns]
    names = ",".join(usual + ["…"] * (columns - len(usual)))
    return f"Name its columns in their order, such as --columns {names}, or give the file a header line."


def _values(column: pa.ChunkedArray, schema: Schema) -> list[str]:
    """The different values of a column that are not missing."""
    texts = map(level_text, codes_table(column).dictionary.to_pylist())
    return [text for text in texts if not is_missing(text, schema.missing)]


def _tells_outcome(texts: list[str], schema: Schema) -> bool:
    """Whether a column of these values says what happened: 1 and 0, or words of which some are the target's."""
    named = (*schema.bad, *schema.good)
    if not texts or len(texts) > LEVELS:
        return False
    if {text.casefold() for text in texts} <= {*TARGETS, *TRUTHS}:
        return True
    return not any(map(is_bound, named)) and any(is_among(text, named) for text in texts)  # an id may be above a bound
