"""What a worker measures, kept as plain counters: adding to one costs a tenth of a library's locked histogram."""

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from riskloop.core.types import Floats
from riskloop.store.cycles import LoopState
from riskloop.tracing import SpanCount

SECONDS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 10_000.0, 100_000.0)
SCORES: Final = tuple(round(0.05 * k, 2) for k in range(1, 21))


class Histogram:
    """Counts per bucket, and the sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values: Floats) -> None:
        """Many observations, of shape (n,)."""
        places = np.searchsorted(self.bounds, values)  # as bisect_left
        found = np.bincount(places, minlength=len(self.counts)).tolist()
        self.counts = [count + more for count, more in zip(self.counts, found, strict=True)]
        self.total += float(values.sum())

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts as Prometheus wants them."""
        running, buckets = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        return buckets


class ServingMetrics:
    """All measurements of one worker process."""

    def __init__(self) -> None:
        self.latency = Histogram(SECONDS)
        self.commit_seconds = Histogram(SECONDS)
        self.commit_rows = Histogram(SIZES)
        self.decisions: Counter[tuple[int, str]] = Counter()  # by model version and path
        self.errors: Counter[str] = Counter()  # by code
        self.scores: dict[int, Histogram] = {}
        self._lock = Lock()
        self.commit_failures = 0
        self.champion_version = 0
        self.reload_failures = 0
        self.reload_failing = False
        self.log_trusted = True
        self.log_distrusted = 0  # times
        self.loop: LoopState | None = None
        self.loop_seen = 0.0  # when that was read, by the monotonic clock
        self.depth: Callable[[], int] = int
        self.batches: Callable[[], int] = int
        self.spans: Callable[[], SpanCount | None] = lambda: None

    def answered(self, seconds: float) -> None:
        """One request of /predict got its decision."""
        self.latency.add(seconds)

    def refused(self, code: str) -> None:
        """One request got an error."""
        self.errors[code] += 1

    def committed(self, seconds: float, sizes: Sequence[int]) -> None:
        """One group commit returned."""
        self.commit_seconds.add(seconds)
        self.commit_rows.add(float(sum(sizes)))

    def commit_failed(self) -> None:
        """The log refused a commit."""
        self.commit_failures += 1

    def scored(self, version: int, probabilities: Floats, path: str = "predict") -> None:
        """Decisions were logged."""
        with self._lock:  # batches are scored in threads
            histogram = self.scores.setdefault(version, Histogram(SCORES))
            histogram.add_all(probabilities)
            self.decisions[version, path] += len(probabilities)

    def exposition(self) -> bytes:
        """Everything as Prometheus text."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """Everything as Prometheus families, labelled with the worker's process id."""
        worker = str(os.getpid())
        yield _histogram("riskloop_request_seconds", "Time from a request to its answer.", worker, self.latency)
        yield _histogram("riskloop_commit_seconds", "Time of one group commit.", worker, self.commit_seconds)
        yield _histogram("riskloop_commit_rows", "Decisions in one group commit.", worker, self.commit_rows)
        yield from self._counters(worker)
        yield from self._gauges(worker)
        yield from self._cycles(worker)
        scores = HistogramMetricFamily(
            "riskloop_probability", "Probabilities of default that were answered.", labels=("worker", "version")
        )
        for version, histogram in self.scores.items():
            scores.add_metric((worker, str(version)), histogram.buckets(), histogram.total)
        yield scores

    def _counters(self, worker: str) -> Iterator[Metric]:
        decisions = CounterMetricFamily(
            "riskloop_decisions", "Decisions logged and answered.", labels=("worker", "version", "path")
        )
        for (version, path), count in self.decisions.items():
            decisions.add_metric((worker, str(version), path), count)
        yield decisions
        errors = CounterMetricFamily("riskloop_errors", "Requests refused, by code.", labels=("worker", "code"))
        for code, count in self.errors.items():
            errors.add_metric((worker, code), count)
        yield errors
        spans = self.spans()
        for name, text, count in (
            *(() if spans is None else _span_counters(spans)),
            ("riskloop_commit_failures", "Commits that the log refused.", self.commit_failures),
            ("riskloop_log_distrusted", "Times that the log could not be trusted any more.", self.log_distrusted),
            ("riskloop_reload_failures", "Champions that could not be loaded.", self.reload_failures),
        ):
            family = CounterMetricFamily(name, text, labels=("worker",))
            family.add_metric((worker,), count)
            yield family

    def _gauges(self, worker: str) -> Iterator[Metric]:
        for name, text, value in (
            ("riskloop_champion_version", "The model version that serves, 0 for none.", self.champion_version),
            ("riskloop_reload_failing", "1 while the ledger's champion cannot be loaded.", self.reload_failing),
            ("riskloop_log_trusted", "0 while the log is damaged or lost, and nothing is answered.", self.log_trusted),
            ("riskloop_waiting_requests", "Requests that wait for their commit.", self.depth()),
            ("riskloop_batches", "Requests of /predict/batch under way.", self.batches()),
        ):
            family = GaugeMetricFamily(name, text, labels=("worker",))
            family.add_metric((worker,), float(value))
            yield family

    def _cycles(self, worker: str) -> Iterator[Metric]:
        """How the loop stands; the age goes on while the database cannot be asked."""
        found: list[tuple[str, str, float]] = []
        if self.loop is not None:
            found.append(("riskloop_cycle_failures", "Cycles that failed since the last good one.", self.loop.failures))
            if self.loop.age is not None and self.loop.finished_at is not None:
                age = self.loop.age.total_seconds() + time.monotonic() - self.loop_seen
                found.append(("riskloop_cycle_age_seconds", "Time since the last cycle that went well.", age))
                finished = self.loop.finished_at.timestamp()
                found.append(("riskloop_cycle_finished_timestamp_seconds", "When that cycle finished.", finished))
        for name, text, value in found:
            family = GaugeMetricFamily(name, text, labels=("worker",))
            family.add_metric((worker,), value)
            yield family


def _span_counters(spans: SpanCount) -> Iterator[tuple[str, str, int]]:
    yield "riskloop_spans_ended", "Spans that were recorded.", spans.ended
    yield "riskloop_spans_sent", "Spans that the collector took.", spans.sent
    yield "riskloop_spans_failed", "Spans that could not be delivered, and are lost.", spans.failed


def _histogram(name: str, text: str, worker: str, histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text, labels=("worker",))
    family.add_metric((worker,), histogram.buckets(), histogram.total)
    return family
