"""Metrics of all workers, whichever of them is asked: each leaves its own in a folder that they share."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

FOLDER_VARIABLE: Final = "RISKLOOP_WORKERS"  # unset when there is one worker
PARENT_VARIABLE: Final = "RISKLOOP_WORKERS_PARENT"  # id of the process that started the workers
STALE: Final = 15.0  # seconds after which a worker that left nothing new is gone


class Workers:
    """This worker's place among the others that serve the portfolio ``name``; one process may serve several."""

    def __init__(self, name: str) -> None:
        folder = os.environ.get(FOLDER_VARIABLE)
        self._ending = f".{hashlib.sha256(name.encode()).hexdigest()[:16]}.prom"
        self._own = Path(folder) / f"{os.getpid()}{self._ending}" if folder else None
        # Told, not asked for: a parent that was killed while its workers were starting is another one by now.
        self._parent = int(os.environ.get(PARENT_VARIABLE, os.getppid()))

    def orphaned(self) -> bool:
        """Whether the process that started the workers was killed: nobody would stop them, and they hold the port."""
        return self._own is not None and os.getppid() != self._parent

    def leave(self, exposition: bytes) -> None:
        """Put this worker's metrics where the others find them."""
        if self._own is not None:
            written = self._own.with_suffix(".new")
            written.write_bytes(exposition)
            written.replace(self._own)

    def together(self, exposition: bytes) -> bytes:
        """This worker's metrics now, and what the others left last."""
        others = list(self._others())
        if not others:
            return exposition
        families: dict[str, Metric] = {}
        for text in (exposition.decode(), *others):
            for family in text_string_to_metric_families(text):
                known = families.setdefault(family.name, family)
                if known is not family:
                    known.samples += family.samples
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Families(list(families.values())))
        return generate_latest(registry)

    def _others(self) -> Iterator[str]:
        if self._own is None:
            return
        for path in sorted(self._own.parent.glob(f"*{self._ending}")):
            if path != self._own and time.time() - path.stat().st_mtime < STALE:
                yield path.read_text(encoding="utf-8")


class Families:
    """Metrics that are there already, as a registry collects them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        yield from self._families
