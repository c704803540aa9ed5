"""One worker's parts, put together: they start and stop with the server."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from riskloop.core.errors import NotReady, Overloaded, RiskloopError, StorageError, TooManyTries, Unauthorised
from riskloop.core.schema import Schema
from riskloop.core.types import Json, iso
from riskloop.identity.access import Access
from riskloop.identity.logins import Logins
from riskloop.identity.oidc import Provider, sso_secret
from riskloop.identity.refused import RefusedKeyLog
from riskloop.serve.batcher import Batcher
from riskloop.serve.bulk import Bulk
from riskloop.serve.metrics import ServingMetrics
from riskloop.serve.portfolio_metrics import PortfolioMetrics
from riskloop.serve.refusals import Refusals
from riskloop.serve.reload import Reloader
from riskloop.serve.soundness import Soundness
from riskloop.serve.workers import Workers
from riskloop.store.appender import Appender
from riskloop.store.cycles import LoopState, loop_state
from riskloop.store.home import Home
from riskloop.store.keys import Keys
from riskloop.store.sessions import Sessions
from riskloop.store.trust import TrustState
from riskloop.tracing import span_count
from riskloop.views import checkpoint

log = logging.getLogger("riskloop.serve")

BULK_THREADS: Final = 2
MAX_BATCHES: Final = 16  # under way at once
TIDY_EVERY: Final = 1.0  # seconds
LOG_EVERY: Final = 1.0  # seconds
FLUSH_EVERY: Final = 5.0  # seconds
SIGN_EVERY: Final = 5.0  # seconds between two looks at the last checkpoint
PATIENT: Final = 1.1  # times `trust.every` that the worker is given to make the next one

T = TypeVar("T")
HeaderList = list[tuple[bytes, bytes]]


class Service:
    """Everything that a request needs. Built without I/O; `start` and `stop` do it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.metrics = ServingMetrics()
        self.metrics.spans = lambda: span_count(home.settings.portfolio.name)
        self.portfolio_metrics = PortfolioMetrics(home)
        settings = home.settings.access
        sessions = Sessions(home.database, idle=settings.idle, longest=settings.longest)
        self.refused_keys = RefusedKeyLog(home.database)
        self.provider = None if home.settings.sso.issuer is None else Provider(home.settings.sso, sso_secret())
        ring = Keys(home.database).ring()
        self.access = Access(ring, settings, sessions, refused=self.refused_keys, issuer=self.provider)
        self.logins = Logins(home.database, settings, sessions, self.access)
        self.reloader = Reloader(home, self.metrics, self.access)
        self.refusals = Refusals(home.database)
        self.workers = Workers(str(home.config))
        self.bulk = Bulk(home.decisions, self.reloader, home.settings, self.metrics)
        self.bulk_threads = ThreadPoolExecutor(BULK_THREADS, thread_name_prefix="riskloop-bulk")
        self.soundness = Soundness(home.database, self.metrics)
        self.loop: LoopState | None = None
        self.trust: TrustState | None = None
        self._batches = 0  # requests of /predict/batch and /outcomes under way
        self.batcher: Batcher
        self._keeper: Appender
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load the champion and begin to follow the ledger."""
        appender = self.home.decisions.appender(waits=False, checkpoints=False)
        self._keeper = self.home.decisions.appender()
        self.batcher = Batcher(appender, self.reloader, self.home.settings, self.metrics)
        self.metrics.depth = lambda: self.batcher.depth
        self.metrics.batches = lambda: self._batches
        await asyncio.to_thread(self.reloader.look)
        await asyncio.to_thread(self._look_at_loop)
        await asyncio.to_thread(self._look_at_trust)
        gc.collect()
        gc.freeze()  # what was loaded stays for good; looking through it again would stop requests for 100 ms
        works = (self.reloader.follow(), self._housekeeping(), self._watch_log(), self._keep_checkpoints())
        self._tasks = [asyncio.create_task(work) for work in works]

    async def stop(self) -> None:
        """Finish what was accepted, then let go of everything."""
        await self.batcher.drain()
        for task in self._tasks:
            task.cancel()
        self.home.database.stop_examining()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.bulk_threads.shutdown)
        self.bulk.close()
        await asyncio.to_thread(self._flush)
        await self.batcher.close()
        self._keeper.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Count a request with many rows in and out; raises Overloaded when too many are under way, StorageError."""
        self.soundness.require()
        if self._batches >= MAX_BATCHES:
            raise Overloaded(
                f"{self._batches} requests with many rows are under way, which is the limit. Nothing was logged; "
                "send it again in a second."
            )
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1

    async def in_bulk(self, work: Callable[[], T]) -> T:
        """Run a batch's work in the threads meant for it."""
        return await asyncio.get_running_loop().run_in_executor(self.bulk_threads, work)

    @property
    def documented_schema(self) -> Schema:
        """The champion's schema; before there is a champion, what riskloop.toml says."""
        return self.reloader.model.schema if self.metrics.champion_version else self.home.schema

    def refuse(self, error: Exception) -> tuple[int, bytes, HeaderList]:
        """Count and word a failed request: its status, body and headers."""
        if not isinstance(error, RiskloopError):
            log.error("A request failed: %r", error, exc_info=error, extra={"action": "internal_error"})
            error = RiskloopError("The server failed on this request; its log has the details. Nothing was logged.")
        self.metrics.refused(error.code)
        self.refusals.count(error)
        body = msgspec.json.encode(error.as_json())
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if isinstance(error, NotReady | StorageError):
            headers.append((b"retry-after", b"1"))
        if isinstance(error, TooManyTries):
            headers.append((b"retry-after", b"%d" % error.seconds))
        if isinstance(error, Unauthorised) and error.status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="riskloop"'))
        return error.status, body, headers

    def broke_off(self, error: RiskloopError) -> None:
        """Count and log what ended a batch whose answer had begun."""
        self.metrics.refused(error.code)
        log.error("The answer to a batch broke off: %s", error.message, extra={"action": "batch_broke_off"})

    def exposition(self) -> bytes:
        """What `GET /metrics` answers: the measurements of every worker, and those of the portfolio once."""
        return self.workers.together(self.metrics.exposition()) + self.portfolio_metrics.exposition()

    def readiness(self) -> tuple[bool, Json]:
        """Whether requests can be served, and what speaks against it or deserves a look."""
        version = self.metrics.champion_version or None
        ready = version is not None and self.soundness.problem is None
        doubt = None if self.trust is None else self.trust.problem
        problems = (self.soundness.problem, self.reloader.problem, self.batcher.failure, self.loop_trouble, doubt)
        document: Json = {
            "ready": ready,
            "champion": version,
            "problems": [text for text in problems if text],
            "waiting": self.batcher.depth,
            "last_cycle": None if self.loop is None or self.loop.finished_at is None else iso(self.loop.finished_at),
            "checkpoint": None if self.trust is None else checkpoint(self.trust.checkpoint),
        }
        return ready, document

    @property
    def loop_trouble(self) -> str | None:
        """What is wrong with the loop's worker, as far as this process can see it."""
        return None if self.loop is None else self.loop.trouble(self.home.settings.watch.late)

    def _look_at_loop(self) -> None:
        """Read how the loop stands; where that is impossible, what was known gets older."""
        try:
            found = loop_state(self.home.database)
        except RiskloopError as error:
            log.warning("%s", error.message, extra={"action": "loop_unknown"})
            return
        self.loop = self.metrics.loop = found
        self.metrics.loop_seen = time.monotonic()

    def _look_at_trust(self) -> None:
        """Hold the record against its last checkpoint; where that is impossible, what was known stays."""
        try:
            found = self.home.trust.state()
        except RiskloopError as error:
            found = TrustState(None, None, error.message)
        if found.problem is not None and (self.trust is None or found.problem != self.trust.problem):
            log.error("%s", found.problem, extra={"action": "record_doubtful"})
        self.trust = found

    async def _keep_checkpoints(self) -> None:
        """Sign the record when the loop's worker, which does so after its cycles, has not for too long."""
        while True:
            await asyncio.sleep(SIGN_EVERY)
            state = self.trust
            late = self.home.settings.trust.every * PATIENT
            if state is None or state.age is None or state.age > late:
                await asyncio.to_thread(self.home.trust.keep)
            await asyncio.to_thread(self._look_at_trust)

    def _flush(self) -> None:
        self.refusals.flush()
        try:
            self.refused_keys.flush(datetime.now(UTC))
        except RiskloopError as error:
            log.warning("The record of refused keys waits: %s", error.message, extra={"action": "refusals_wait"})

    async def _watch_log(self) -> None:
        while True:
            await asyncio.to_thread(self.soundness.look)
            await asyncio.sleep(LOG_EVERY)

    async def _housekeeping(self) -> None:
        flushed = time.monotonic()
        while True:
            await asyncio.sleep(TIDY_EVERY)
            if self.workers.orphaned():
                log.error("The server's first process is gone; this worker stops", extra={"action": "orphaned"})
                signal.raise_signal(signal.SIGTERM)
                return
            try:
                await asyncio.to_thread(self._keeper.tidy)
                await asyncio.to_thread(self.workers.leave, self.metrics.exposition())
                if time.monotonic() - flushed >= FLUSH_EVERY:
                    flushed = time.monotonic()
                    await asyncio.to_thread(self._flush)
                    await asyncio.to_thread(self._look_at_loop)
            except StorageError as error:
                log.warning("%s", error.message, extra={"action": "checkpoint_failed"})
            except OSError as error:
                log.warning(
                    "The other workers do not see this one's metrics: %s", error, extra={"action": "metrics_wait"}
                )
            except Exception as error:
                log.error("Housekeeping failed: %r", error, exc_info=error, extra={"action": "internal_error"})
