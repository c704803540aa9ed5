"""A history whose outcomes stand in another file: matched by the id that both have, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from riskloop.core.errors import DataError
from riskloop.core.settings import PortfolioSettings
from riskloop.core.types import Problem
from riskloop.core.values import is_missing, level_text
from riskloop.data import guess, ids
from riskloop.data.address import address_of
from riskloop.data.columns import codes_of, codes_table
from riskloop.data.labels import Labels
from riskloop.data.parse import Block, Types
from riskloop.data.tables import Source

_BETWEEN: Final = "\x1f"  # the parts of a key


@dataclass(frozen=True)
class Joined:
    """A history, and the file that says what became of its rows: paths or addresses."""

    history: Path | str
    outcomes: Path | str

    def __str__(self) -> str:
        return str(self.history)


class JoinedSource:
    """The rows of a history with the target's column of another source; without an outcome it is missing.

    Raises DataError where no row finds its outcome, or one finds two that differ.
    """

    def __init__(self, history: Source, outcomes: Source, target: str, where: str, beside: str) -> None:
        self.history, self.target, self.where, self.beside = history, target, where, beside
        if target not in outcomes.names:
            raise DataError(
                f"{beside} has no column '{target}'; it has {', '.join(outcomes.names[:30])}. Name one with --target.",
                [Problem(target, "is not a column")],
            )
        if target in history.names:
            raise DataError(
                f"{where} has a column '{target}', too, so that nobody knows which one is meant: rename one."
            )
        self.keys = _keys(history, outcomes, target, where, beside)
        self.names = [*history.names, target]
        self.others = [name for name in outcomes.names if name not in (*self.keys, target)]  # that nobody matches by
        self.unit, self.repeated = history.unit, history.repeated
        self.labels: Mapping[str, Labels] = {**history.labels, target: outcomes.labels.get(target, {})}
        self._about, self._values = self._read(outcomes)
        self._rows = self._found = 0

    @property
    def notes(self) -> tuple[str, ...]:
        by = " and ".join(f"'{key}'" for key in self.keys)
        said = f"{self._found:,} of {self._rows:,} rows have an outcome in {self.beside}, by {by}."
        return (*self.history.notes, said)

    def blocks(self, columns: Sequence[str] | None = None, types: Types | None = None) -> Iterator[Block]:
        """The rows, in order, as `Source.blocks` says."""
        wanted = None if columns is None else [*dict.fromkeys([*columns, *self.keys]).keys() - {self.target}]
        typed = None if types is None else {n: t for n, t in types.items() if n not in (*self.keys, self.target)}
        self._rows = self._found = 0
        for block in self.history.blocks(wanted, typed):
            found = self._values.take(pc.index_in(_key_column(block.table, self.keys), self._about))
            self._rows += len(found)
            self._found += len(found) - found.null_count
            table = block.table.append_column(self.target, found)
            yield block._replace(table=table if columns is None else table.select(list(columns)))
        if self._rows and not self._found:
            raise DataError(
                f"No row of {self.where} finds its outcome in {self.beside} by {', '.join(self.keys)}: there it is "
                f"{self._about[0].as_py()!r}, for example. Are these the right files?"
            )

    def places(self, positions: Sequence[int]) -> list[str]:
        """Where a person finds the rows of the history."""
        return self.history.places(positions)

    def _read(self, outcomes: Source) -> tuple[pa.Array, pa.Array]:
        """The keys that have an outcome, each once, and their outcomes."""
        said: dict[str, Any] = {}
        for block in outcomes.blocks([*self.keys, self.target]):
            keys = _key_column(block.table, self.keys).to_pylist()
            for key, value in zip(keys, block.table[self.target].to_pylist(), strict=True):
                text = "" if value is None or value != value else level_text(value)
                if key is None or (is_missing(text) and said.get(key)):
                    continue
                if said.get(key) and said[key] != text:
                    about = key.replace(_BETWEEN, ", ")
                    raise DataError(f"{self.beside} has two outcomes for {about!r}: {said[key]!r} and {text!r}.")
                said[key] = text
        if not said:
            raise DataError(f"{self.beside} holds no rows.")
        return pa.array(list(said), pa.string()), pa.array(list(said.values()), pa.string())


def _keys(history: Source, outcomes: Source, target: str, where: str, beside: str) -> list[str]:
    """The columns that both have and that say whose row it is, and when."""
    both = [name for name in history.names if name in outcomes.names and name != target]
    if not both:
        raise DataError(
            f"{where} and {beside} have no column in common: {', '.join(history.names[:15])}; and "
            f"{', '.join(outcomes.names[:15])}. Call the id the same in both."
        )
    named = [name for name in both if ids.is_id_named(name) or guess.is_date_named(name)]
    return named or both


def _key_column(table: pa.Table, keys: Sequence[str]) -> pa.Array:
    """Each row's key as text, null where a part of it is missing."""
    parts = [_texts(table[key]) for key in keys]
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, _BETWEEN)


def _texts(column: pa.ChunkedArray) -> pa.Array:
    encoded = codes_table(column)
    said = ["" if value is None or value != value else level_text(value) for value in encoded.dictionary.to_pylist()]
    texts = [None if is_missing(text) else text for text in said]
    codes = codes_of(encoded)
    codes = pa.array(codes, mask=codes < 0)
    return pa.array(texts, pa.string()).take(codes)


def named_history(portfolio: PortfolioSettings, folder: Path) -> Path | str | Joined | None:
    """The history that the settings name, from their folder on, with its outcomes; None where they name none."""
    if portfolio.history is None:
        return None
    history, outcomes = (
        name if name is None or address_of(name) else folder / name for name in (portfolio.history, portfolio.outcomes)
    )
    return history if outcomes is None or history is None else Joined(history, outcomes)
