"""Names of columns that differ from the schema's in case, blanks and punctuation only: the same columns."""

import re
from collections.abc import Mapping, Sequence

from riskloop.core.schema import Schema
from riskloop.data.joined import JoinedSource
from riskloop.data.tables import ManySource, PartitionSource, Source, TableSource, TextSource


def plain_name(name: str) -> str:
    """A name without case, blanks and punctuation: 'Amt Financed' and AMT_FINANCED are amtfinanced."""
    return re.sub(r"[\W_]+", "", name).casefold()


def spelled(source: Source, schema: Schema) -> Source:
    """The source with the schema's spelling of its columns' names, where each can be one column only.

    A name that the schema has, or names as ignored, stays what it is.
    """
    given = [name for name in (schema.id, schema.unit, schema.time, schema.target, schema.known_at) if name is not None]
    return _renamed(source, respelled(source.names, [*schema.names, *given], schema.ignored))


def respelled(names: Sequence[str], expected: Sequence[str], ignored: Sequence[str] = ()) -> dict[str, str]:
    """The names that are expected ones in another spelling, each with the expected one."""
    lacking = [name for name in dict.fromkeys(expected) if name not in names]
    others = [name for name in names if name not in {*expected, *ignored}]
    found = {}
    for name in lacking if others else ():
        alike = [other for other in others if plain_name(other) == plain_name(name)]
        rivals = [other for other in {*expected, *ignored} if plain_name(other) == plain_name(name)]
        if len(alike) == 1 and len(rivals) == 1 and plain_name(name):
            found[alike[0]] = name
    return found


def spelling_sentence(spelling: Mapping[str, str]) -> str:
    """Which columns are read under another name than the file gives them; empty where there are none."""
    if not spelling:
        return ""
    shown = [f"'{given}' as '{name}'" for given, name in list(spelling.items())[:8]]
    more = f" and {len(spelling) - 8:,} more" if len(spelling) > 8 else ""
    return f"Read under the schema's spelling: {', '.join(shown)}{more}."


def _renamed(source: Source, spelling: Mapping[str, str]) -> Source:
    if not spelling:
        return source
    if isinstance(source, ManySource):
        return ManySource([(where, _renamed(part, spelling)) for where, part in source.parts])
    if isinstance(source, JoinedSource):
        return source
    spelling = {given: name for given, name in spelling.items() if given in source.names}
    if isinstance(source, PartitionSource):
        values = {spelling.get(name, name): value for name, value in source.values.items()}
        return PartitionSource(_renamed(source.part, spelling), values)
    if isinstance(source, (TableSource, TextSource)) and spelling:
        source.said = (*source.said, spelling_sentence(spelling))
    if isinstance(source, TableSource):
        tables = source.tables
        source.tables = lambda: (
            table.rename_columns([spelling.get(name, name) for name in table.column_names]) for table in tables()
        )
    source.names = [spelling.get(name, name) for name in source.names]
    return source
