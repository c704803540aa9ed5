"""What reads a body of many rows holds a block of them, however many there are."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from tests.serve.conftest import CONFIG, ROW, add_model

from riskloop.scoring import bodies
from riskloop.scoring.bodies import READERS
from riskloop.scoring.model import Model, load_model
from riskloop.store.home import Home

BLOCK = 100


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Model]:
    (tmp_path / "riskloop.toml").write_text(CONFIG)
    home = Home.open(tmp_path)
    yield load_model(home.artefact(add_model(home)), 1)
    home.close()


def body(kind: str, rows: int) -> bytes:
    people: list[Any] = [{**ROW, "id": f"c{i:06}"} for i in range(rows)]
    if kind == "application/json":
        return json.dumps(people).encode()
    if kind == "application/x-ndjson":
        return "\n".join(json.dumps(row) for row in people).encode()
    frame = pd.DataFrame(people).astype({"sex": str})
    if kind == "text/csv":
        return frame.to_csv(index=False).encode()
    sink = io.BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=BLOCK)
    return sink.getvalue()


def held(kind: str, rows: int, model: Model) -> int:
    """The most bytes that are held while the blocks of a body come and go."""
    file, most, before = io.BytesIO(body(kind, rows)), 0, pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        read = 0
        for block in READERS[kind](file, model, 1):
            read += len(block)
            most = max(most, pa.total_allocated_bytes() - before)
        assert read == rows
        return most + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", READERS)
def test_a_body_is_never_held_as_a_whole(kind: str, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(bodies, "PIECE_BYTES", 2**13)
    monkeypatch.setattr("riskloop.data.records._READ", 2**13)
    held(kind, BLOCK, model)  # what is imported and kept once
    few, many = held(kind, 5 * BLOCK, model), held(kind, 40 * BLOCK, model)
    assert many < 1.5 * few + 50_000, (few, many)
