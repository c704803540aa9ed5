"""What the server holds while it reads one large body: memory above its memory at rest, by kind of body.

    python -m benchmarks.bodies [--quick] [--rows N]

Rows to decide on go to `POST /predict/batch`, what happened to their customers to `POST /outcomes`, a quarter of the
rows first and then all of them. Every body has a server of its own, since a process keeps what it once held. It is
looked at fifty times a second; pages of files, which the kernel can let go, are left out. The answer is read as it
comes.
"""

import argparse
import io
import json
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests

from benchmarks._processor import family
from benchmarks.serving import prepare, running
from riskloop.simulation import embedded as simulate

if TYPE_CHECKING:
    import pandas as pd

ROWS: Final = 100_000
QUICK_ROWS: Final = 4_000
EVERY: Final = 0.02  # seconds between two looks


def _json(frame: "pd.DataFrame") -> bytes:
    return json.dumps(frame.to_dict("records")).encode()


def _ndjson(frame: "pd.DataFrame") -> bytes:
    return "".join(json.dumps(row) + "\n" for row in frame.to_dict("records")).encode()


def _csv(frame: "pd.DataFrame") -> bytes:
    return frame.to_csv(index=False).encode()


def _arrow(frame: "pd.DataFrame") -> bytes:
    import pyarrow as pa

    table, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=10_000)
    return sink.getvalue()


def _parquet(frame: "pd.DataFrame") -> bytes:
    return bytes(frame.to_parquet(index=False))


KINDS: Final[Mapping[str, Mapping[str, Callable[[Any], bytes]]]] = {
    "/predict/batch": {
        "application/json": _json,
        "application/x-ndjson": _ndjson,
        "text/csv": _csv,
        "application/vnd.apache.arrow.stream": _arrow,
    },
    "/outcomes": {"application/json": _json, "text/csv": _csv, "application/vnd.apache.parquet": _parquet},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows")
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    rows = QUICK_ROWS if given.quick else given.rows
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = prepare(folder, usual=False)
        home.close()
        people = simulate.simulate(simulate.month_starts(date(2024, 7, 1), 10), rows // 10, seed=5)
        people[simulate.ID] = [f"b{number}" for number in range(len(people))]
        print(f"{'body':<52} {'rows':>8} {'size':>9} {'seconds':>8} {'memory':>9}")
        for path, kinds in KINDS.items():
            columns = [simulate.ID, simulate.TARGET] if path == "/outcomes" else people.columns.drop(simulate.TARGET)
            for kind, written in kinds.items():
                for part in (people[: rows // 4], people):
                    body = written(part[columns])
                    seconds, held = sent(folder, path, kind, body)
                    size = f"{len(part):>8,} {len(body) / 1e6:>6.1f} MB {seconds:>8.1f}"
                    print(f"{path + ' ' + kind:<52} {size} {held / 1e6:>6,.0f} MB", flush=True)


def sent(folder: Path, path: str, kind: str, body: bytes) -> tuple[float, float]:
    """Seconds until a body is answered whole, and the most bytes that its server held above what it did before."""
    with running("riskloop", folder) as server:
        looks, done = [family(server.process.pid)["own"]], threading.Event()

        def look() -> None:
            while not done.wait(EVERY):
                looks.append(family(server.process.pid)["own"])

        watching = threading.Thread(target=look)
        watching.start()
        started = time.perf_counter()
        try:
            with requests.post(
                server.url + path, body, headers={"Content-Type": kind}, stream=True, timeout=600
            ) as answer:
                for _ in answer.iter_content(1 << 20):
                    pass
            seconds = time.perf_counter() - started
        finally:
            done.set()
            watching.join()
    answer.raise_for_status()
    return seconds, max(looks) - looks[0]


if __name__ == "__main__":
    main()
