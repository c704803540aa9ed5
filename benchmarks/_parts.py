"""What each part of the local engine costs: microseconds of processor a row, all of it in one process."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from riskloop.batch import blocks, scorer
from riskloop.batch.local import LocalEngine
from riskloop.data.read import BlockReader
from riskloop.monitor.profile import Profiler
from riskloop.portfolio import Portfolio
from riskloop.scoring.model import Model
from riskloop.store.segment_files import SegmentFiles

# Outer parts first: what an inner one takes is not counted twice.
PARTS: Final[dict[str, tuple[Any, str]]] = {
    "rows with predictions, encoded": (blocks, "rendered"),
    "decisions": (scorer, "decide"),
    "… of which trees": (Model, "probabilities"),
    "profile": (Profiler, "__call__"),
    "segment's file": (SegmentFiles, "write"),
    "parsing and checking": (BlockReader, "read"),
}


@contextmanager
def watched(spent: dict[str, float]) -> Iterator[None]:
    """Processor time of each part, by the thread that does it."""

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **options: Any) -> Any:
            begun = time.thread_time()
            try:
                return call(*args, **options)
            finally:
                spent[name] += time.thread_time() - begun

        return measured

    patches = [patch.object(owner, name, timed(part, getattr(owner, name))) for part, (owner, name) in PARTS.items()]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def parts(folder: Path, source: Path, rows: int) -> dict[str, float]:
    """Microseconds a row of each part, of everything, and of what is left: reading, writing, handing on."""
    portfolio = Portfolio.open(folder)
    home = portfolio.home
    engine = LocalEngine(home.segments, 0.0, portfolio.champion_now, home.packed, home.artefact, processes=1)
    spent = dict.fromkeys(PARTS, 0.0)
    with watched(spent):
        begun = time.process_time()
        engine.score(source, folder / f"parts{source.suffix}", home.settings.data, None, f"parts-{source.name}", None)
        whole = time.process_time() - begun
    home.close()
    spent["the rest: files read and written, rows handed on"] = whole - sum(
        seconds for part, seconds in spent.items() if not part.startswith("…")
    )
    return {part: 1e6 * seconds / rows for part, seconds in {**spent, "everything": whole}.items()}
