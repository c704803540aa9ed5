"""What retention took out of the log: files in an archive, and what is known of them without the files.

Decisions leave in the order of their ids, so that one number says which are gone: `horizon`. A run that was in the
table is a Parquet file with the table's columns and `features` as a list of doubles; a segment's file moves as it is.
Whether a file is still there is its keeper's business: the links of what it holds stay on record.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import Connection, Row, func, select

from riskloop.core.chain import personal_part
from riskloop.core.errors import ArtefactError
from riskloop.core.types import Decision, Decisions, from_micros
from riskloop.store.erased import blank, is_erased
from riskloop.store.pieces import ERASED_FLAGS
from riskloop.store.segment_files import MARK, SegmentFiles, encode
from riskloop.store.tables import archives, audit

if TYPE_CHECKING:
    import pyarrow as pa

DECISIONS: Final = "decisions"  # whole decisions left the log
FEATURES: Final = "features"  # what they were made on and about whom; the decisions stay
AUDIT: Final = "audit"
NAMES: Final = b"features"  # key of the file's metadata: the features' names by model version, as JSON
_ROW: Final = [column for column in archives.c if column.name != "personal"]


@dataclass(frozen=True, slots=True)
class Archived:
    """One run of rows that was taken out, and its file."""

    id: int
    kind: str
    first_id: int
    last_id: int
    rows: int
    at: int  # microseconds
    by: str
    path: str | None  # below the archive's root; None: kept nowhere
    sha256: str | None
    link: int | None  # the last link whose decisions are all archived with these

    @property
    def what(self) -> str:
        """The rows, as a sentence begins with them."""
        noun = {AUDIT: "Audit events", FEATURES: "The features of decisions"}.get(self.kind, "Decisions")
        return f"{noun} {self.first_id:,} to {self.last_id:,}"


def horizon(connection: Connection, *kinds: str) -> int:
    """Up to this number rows of these kinds were taken out; 0: none."""
    return int(connection.execute(select(last_of(*kinds))).scalar_one())


def last_of(*kinds: str) -> Any:
    """`horizon` as a part of a query."""
    return select(func.coalesce(func.max(archives.c.last_id), 0)).where(archives.c.kind.in_(kinds)).scalar_subquery()


def entries(connection: Connection, *kinds: str) -> list[Archived]:
    """What was taken out, in the order in which it was."""
    query = select(*_ROW).where(archives.c.kind.in_(kinds)).order_by(archives.c.id)
    return [Archived(**row._mapping) for row in connection.execute(query)]


def covering(connection: Connection, decision_id: int) -> list[Archived]:
    """What was taken out of one decision, in the order in which it was."""
    about = archives.c.first_id <= decision_id, archives.c.last_id >= decision_id, archives.c.kind != AUDIT
    return [Archived(**row._mapping) for row in connection.execute(select(*_ROW).where(*about).order_by(archives.c.id))]


class Archive:
    """Reads the files, wherever they lie; ``root`` is a folder or an object store, None: nothing is kept."""

    def __init__(self, root: str | Path | None) -> None:
        self._files = None if root is None else SegmentFiles(root)

    @property
    def files(self) -> SegmentFiles | None:
        """Where the files lie."""
        return self._files

    def place(self, entry: Archived) -> str:
        """Where a file should be, for people."""
        root = "" if self._files is None else f"{self._files.root}/"
        return "nowhere" if entry.path is None else f"{root}{entry.path}"

    def is_there(self, entry: Archived) -> bool:
        """Whether its file can be read; ArtefactError when it was altered."""
        if self._files is None or entry.path is None or entry.sha256 is None or not self._files.exists(entry.path):
            return False
        self._files.check(entry.path, entry.sha256)
        return True

    def read(self, entry: Archived, columns: Sequence[str] | None = None, rows: slice | None = None) -> "pa.Table":
        """Columns of its file, by default all; ArtefactError when it is missing or altered."""
        if self._files is None or entry.path is None or entry.sha256 is None:
            raise ArtefactError(f"{entry.what} were kept nowhere.")
        return self._files.read(entry.path, entry.sha256, columns, rows)

    def places_of(self, entry: Archived, customer_id: str) -> list[int]:
        """Which rows of a file, from 0, are about a customer."""
        import pyarrow.compute as pc

        found = pc.equal(self.read(entry, ["customer_id"])["customer_id"], customer_id)
        return [int(place) for place in np.flatnonzero(found.to_numpy())]

    def without(
        self, entry: Archived, wanted: Callable[[int, bytes], bool], places: Iterable[int]
    ) -> tuple[Archived, list[tuple[int, bytes]]]:
        """The file written anew without what is personal in rows at ``places``, where ``wanted`` says so.

        It gets the decision's id and the digest of its personal part. Returns the entry with the new file (it is not
        on record yet), and id and digest of each row that was emptied; the former file stays.
        """
        table = self.read(entry)
        rows, gone = list(rows_of(entry, table)), []
        for place in places:
            number, customer, *public, features, flags = rows[place]
            personal = personal_part(customer, features, flags)
            if wanted(number, personal):
                rows[place] = (number, "", *public, blank(features), ERASED_FLAGS)
                gone.append((number, personal))
        if not gone or self._files is None:
            return entry, []
        encoded = _like(table, rows)
        path, sha256 = self._files.keep(str(entry.path).partition("/")[0], encoded)
        return replace(entry, path=path, sha256=sha256), gone

    def decision(self, entry: Archived, decision_id: int) -> Decision | None:
        """One decision as its file has it; None where it was erased there, too."""
        place = decision_id - entry.first_id
        table = self.read(entry, None, slice(place, place + 1))
        ((_, customer, time, scored_at, version, probability, declined, features, flags),) = rows_of(entry, table)
        if is_erased(flags):
            return None
        return Decision(
            decision_id=decision_id,
            customer_id=customer,
            time=from_micros(time),
            scored_at=from_micros(scored_at),
            model_version=version,
            probability=probability,
            default=bool(declined),
            features=np.frombuffer(features, dtype="<f8").astype(np.float64),
            flags=json.loads(flags) if flags else {},
        )


def rows_of(entry: Archived, table: "pa.Table") -> Iterator[tuple[Any, ...]]:
    """Decisions of a file as rows of the table `decisions`, in the order of `appender.DECISION_COLUMNS`."""
    names = ("customer_id", "time", "probability", "declined", "flags")
    customers, times, probabilities, declined, flags = (table[name].to_pylist() for name in names)
    if "id" in table.column_names:
        ids, scored, versions = (table[name].to_pylist() for name in ("id", "scored_at", "model_version"))
    else:  # a segment's
        said = table.schema.metadata
        ids = list(range(entry.first_id, entry.first_id + len(times)))
        scored, versions = ([int(said[name])] * len(times) for name in (b"scored_at", b"model_version"))
    columns = (ids, customers, times, scored, versions, probabilities, map(int, declined), vectors(table), flags)
    yield from zip(*columns, strict=True)


def vectors(table: "pa.Table") -> Iterator[bytes]:
    """The features of each row, as the table `decisions` stores them."""
    import pyarrow as pa

    whole = table["features"].combine_chunks()
    if pa.types.is_struct(whole.type):
        matrix = np.stack([column.to_numpy() for column in whole.flatten()], axis=1)
        yield from (row.astype("<f8").tobytes() for row in matrix)
        return
    values, ends = whole.values.to_numpy().astype("<f8", copy=False), whole.offsets.to_numpy()
    yield from (values[start:end].tobytes() for start, end in pairwise(ends))


def encode_decisions(rows: Sequence[tuple[Any, ...]], names_of: Callable[[int], Sequence[str]]) -> Any:
    """Rows of the table `decisions` as a file."""
    import pyarrow as pa

    ids, customers, times, scored, versions, probabilities, declined, features, flags = zip(*rows, strict=True)
    ends = np.cumsum([0, *(len(vector) // 8 for vector in features)]).astype(np.int32)
    values = pa.array(np.frombuffer(b"".join(features), dtype="<f8"))
    named = {str(version): list(names_of(version)) for version in sorted(set(versions))}
    return _encoded(
        {
            "id": pa.array(ids, pa.int64()),
            "customer_id": pa.array(customers, pa.string()),
            "time": pa.array(times, pa.int64()),
            "scored_at": pa.array(scored, pa.int64()),
            "model_version": pa.array(versions, pa.int32()),
            "probability": pa.array(probabilities, pa.float64()),
            "declined": pa.array([bool(value) for value in declined]),
            "flags": pa.array(flags, pa.string()),
            "features": pa.ListArray.from_arrays(pa.array(ends), values),
        },
        {NAMES: json.dumps(named).encode()},
    )


def encode_audit(rows: Iterable[Row[Any]]) -> Any:
    """Rows of the audit trail as a file."""
    import pyarrow as pa

    kept = list(rows)
    columns = {column.name: [row._mapping[column.name] for row in kept] for column in audit.columns}
    numbers = {"id", "at"}
    typed = {name: pa.array(values, pa.int64() if name in numbers else pa.string()) for name, values in columns.items()}
    return _encoded(typed, {})


def _like(table: "pa.Table", rows: Sequence[tuple[Any, ...]]) -> Any:
    """Rows as a file of the same layout as the one that they come from."""
    if "id" in table.column_names:
        named = json.loads(table.schema.metadata[NAMES])
        return encode_decisions(rows, lambda version: named[str(version)])
    _, customers, times, scored, versions, probabilities, declined, features, flags = zip(*rows, strict=True)
    group = Decisions(
        customer_ids=list(customers),
        times=list(times),
        scored_at=scored[0],
        model_version=versions[0],
        probabilities=np.array(probabilities),
        defaults=np.array(declined, dtype=np.bool_),
        features=np.frombuffer(b"".join(features), dtype="<f8").reshape(len(rows), -1),
        flags=list(flags),
    )
    return encode(group, [field.name for field in table.schema.field("features").type])


def day_of(at: datetime) -> str:
    """The folder of what is taken out at a moment."""
    return f"{at:%Y-%m-%d}"


def _encoded(columns: dict[str, Any], metadata: dict[bytes, bytes]) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    table = pa.table(columns, metadata={**MARK, **metadata})
    parquet.write_table(table, sink, compression="zstd", compression_level=3, use_dictionary=False)
    return sink.getvalue()
