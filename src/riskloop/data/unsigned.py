"""Numbers without the unit or the sign that the history has beside them: a workbook's 0.837 where 83.7% was learned."""

from riskloop.core.schema import Schema
from riskloop.core.units import PERCENT
from riskloop.data.columns import is_number
from riskloop.data.tables import Source


def reading_notes(source: Source, schema: Schema) -> tuple[str, ...]:
    """What to know of the reading of a source; also which of its columns hold numbers where the history had texts.

    A text without its unit is refused. A number has no place for one, and is taken for a number of them.
    """
    signed = {f.name: f.written_in[0] for f in schema.features if f.written_in and "" not in f.written_in}
    names = [name for name in source.names if name in signed]
    block = next(iter(source.blocks(names)), None) if names else None
    if block is None:
        return source.notes
    said = [
        f"'{name}' holds numbers without the {signed[name]!r} that the history has beside them: 2 is read as "
        f"2{'' if signed[name] == PERCENT else ' '}{signed[name]}."
        for name in names
        if is_number(block.table[name].type)
    ]
    return (*source.notes, *said)
