"""Which files of a portfolio, or of a backup of one, still hold a customer."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

IDS: Final = "ids.json"  # of a stored history


def files_holding(folder: Path, customer_id: str) -> Iterator[Path]:
    """The databases, segments, archive files and training histories below a folder that name the customer.

    Reads all of them; what cannot be read is named, too, since nobody knows what it holds.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in _LOOK and path.is_file() and (path.suffix != ".json" or path.name == IDS):
            try:
                if _LOOK[path.suffix](path, customer_id):
                    yield path
            except (OSError, ValueError, sqlite3.Error):
                yield path


def _in_database(path: Path, customer_id: str) -> bool:
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        query = "SELECT 1 FROM decisions WHERE customer_id = ? LIMIT 1"
        return connection.execute(query, (customer_id,)).fetchone() is not None


def _in_history(path: Path, customer_id: str) -> bool:
    return customer_id in json.loads(path.read_text(encoding="utf-8"))


def _in_table(path: Path, customer_id: str) -> bool:
    import pyarrow.compute as pc
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        if "customer_id" not in file.schema_arrow.names:
            return False
        return bool(pc.any(pc.equal(file.read(columns=["customer_id"])["customer_id"], customer_id)).as_py())


_LOOK: Final = {".db": _in_database, ".json": _in_history, ".parquet": _in_table}
