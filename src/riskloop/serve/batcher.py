"""Group commit: what waits together is scored in one call and committed in one transaction.

With SQLite everything happens in the event loop's thread. A thread of its own for the commits was measured and is
slower: the two fight over the interpreter, while the commit of a whole group takes less than the requests that it
serves. A server's answer takes longer, and may take very long, so a remote log is asked in a thread.
There is no artificial delay: a group is whatever arrived while the last one was being committed.

The transaction that logs a group asks the ledger whether the champion is still the one that decided. If not, nothing
is logged and the group is decided again by the new one: once a promotion has returned, no request that comes after it
is answered by the old model.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from riskloop.core.errors import Overloaded, RiskloopError
from riskloop.core.settings import Settings
from riskloop.core.types import Decisions, Reason
from riskloop.scoring.answers import Answers
from riskloop.scoring.decide import Explain, decide, reasons
from riskloop.scoring.model import Model
from riskloop.serve.metrics import ServingMetrics
from riskloop.serve.reload import Reloader
from riskloop.store.appender import Appender, Logged
from riskloop.tracing import Trace

log = logging.getLogger("riskloop.serve")

FIRST_RETRY: Final = 0.0005  # seconds until the write lock is tried again; doubles up to …
LAST_RETRY: Final = 0.02
PATIENCE: Final = 5.0  # seconds that a request waits for the write lock before it gets 503


class Waiting:
    """One request on its way into the log."""

    __slots__ = ("answer", "body", "explain", "model", "parsed", "trace")

    def __init__(
        self, model: Model, body: bytes, explain: Explain, answer: "asyncio.Future[bytes]", trace: Trace | None
    ) -> None:
        self.body = body
        self.explain = explain
        self.answer = answer
        self.trace = trace
        self.read_by(model)

    def read_by(self, model: Model) -> None:
        """Check the row by a model's schema; raises DataError."""
        started = time.time_ns()
        self.parsed = model.decoder.row(self.body, started // 1000)
        self.model = model
        if self.trace is not None:
            self.trace.part("decode", started, time.time_ns())


@dataclass(slots=True)
class Group:
    """Requests that one model decided on, not yet committed."""

    model: Model
    waiting: Sequence[Waiting]
    decisions: Decisions
    reasons: dict[int, list[Reason]]
    scored: tuple[int, int]  # from and to, in nanoseconds since 1970
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Takes rows, gives back encoded answers after their commit. One per worker process, in its event loop."""

    def __init__(self, appender: Appender, reloader: Reloader, settings: Settings, metrics: ServingMetrics) -> None:
        self._appender = appender  # must not block: opened with waits=False
        self._reloader = reloader
        self._max_waiting = settings.serve.max_waiting
        self._max_reasons = settings.serve.max_reasons
        self._exploration = settings.exploration.rate
        self._metrics = metrics
        self._waiting: list[Waiting] = []
        self._decided: list[Group] = []
        self._count = 0
        self._scheduled = False
        self._retry = FIRST_RETRY
        self.failure: str | None = None  # why the last commit failed; None when it did not
        self._encode = msgspec.json.Encoder().encode
        self._loop = asyncio.get_running_loop()
        self._context = Context()  # a group is nobody's: its lines in the log name no request's trace
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="riskloop-log")  # makes its thread when it is used
        self._task: asyncio.Task[None]

    @property
    def depth(self) -> int:
        """Requests that wait for their commit."""
        return self._count

    def submit(self, body: bytes, explain: Explain, trace: Trace | None = None) -> "asyncio.Future[bytes]":
        """The answer's JSON to a row's, once the decision is committed.

        Raises Overloaded when too many wait already, DataError, NotReady.
        """
        if self._count >= self._max_waiting:
            raise Overloaded(
                f"{self._count} requests are waiting, which is the limit ([serve] max_waiting). "
                "Nothing was logged; send it again in a second."
            )
        answer = self._loop.create_future()
        self._waiting.append(Waiting(self._reloader.model, body, explain, answer, trace))
        self._count += 1
        if not self._scheduled:
            self._scheduled = True
            if self._appender.remote:
                self._task = self._loop.create_task(self._flush_remotely(), context=self._context)
            else:
                self._loop.call_soon(self._flush, context=self._context)
        return answer

    async def drain(self, patience: float = PATIENCE) -> None:
        """Wait until everything that was accepted is answered."""
        until = time.monotonic() + patience
        while self._count and time.monotonic() < until:
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Let go of the log; nothing can be submitted any more."""
        await asyncio.to_thread(self._thread.shutdown)
        self._appender.close()

    def _flush(self, *, in_vain: bool = False) -> None:
        self._scheduled = False
        self._decide_waiting()
        if self._decided:
            self._commit(in_vain)

    async def _flush_remotely(self) -> None:
        """As `_flush`, with a thread that waits for the network; whoever comes meanwhile is in the next group."""
        in_vain = False
        while self._waiting or self._decided:
            try:
                self._decide_waiting()
                if self._decided and not await self._commit_remotely(in_vain):
                    await self._read_anew()
                    in_vain = self._reloader.problem is not None
                else:
                    in_vain = False
            except Exception as error:  # noqa: BLE001 - the next group must not wait for ever
                self._fail([*self._waiting, *(w for g in self._decided for w in g.waiting)], error)
                self._waiting, self._decided = [], []
        self._scheduled = False

    def _decide_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for model in {id(w.model): w.model for w in waiting}.values():
            self._decide(model, [w for w in waiting if w.model is model])

    async def _catch_up(self) -> None:
        await self._read_anew()
        self._flush(in_vain=self._reloader.problem is not None)

    async def _read_anew(self) -> None:
        """Load the promoted model, and read by its schema what waits. While that fails the old one goes on serving."""
        await asyncio.to_thread(self._reloader.look)
        model = self._reloader.model
        waiting, self._waiting = [*(w for g in self._decided for w in g.waiting), *self._waiting], []
        self._decided = []
        for request in waiting:
            try:
                if request.model is not model:
                    request.read_by(model)
            except RiskloopError as error:
                self._fail([request], error)
            else:
                self._waiting.append(request)

    def _decide(self, model: Model, waiting: list[Waiting]) -> None:
        try:
            started = time.time_ns()
            rows = model.decoder.rows([w.parsed for w in waiting])
            decisions = decide(model, rows, time.time_ns() // 1000, self._exploration)
            explained = reasons(model, decisions, [w.explain for w in waiting], self._max_reasons)
            self._decided.append(Group(model, waiting, decisions, explained, (started, time.time_ns())))
        except Exception as error:  # noqa: BLE001 - one bad model call must not leave its requests without an answer
            self._fail(waiting, error)

    def _commit(self, in_vain: bool) -> None:
        groups, started = self._decided, time.perf_counter()
        try:
            logged = self._appender.append([g.decisions for g in groups], seq=self._seq(in_vain))
        except Exception as error:  # noqa: BLE001 - whatever the log says, the requests are answered
            self._decided = []
            self._refuse(groups, error)
            return
        if logged:
            self._committed(groups, logged, started)
        elif logged is not None:
            self._scheduled = True
            self._task = self._loop.create_task(self._catch_up())
        elif self._keep_patient() and not self._scheduled:
            self._scheduled = True
            self._loop.call_later(self._retry, self._flush)
            self._retry = min(2 * self._retry, LAST_RETRY)

    async def _commit_remotely(self, in_vain: bool) -> bool:
        """Whether the ledger still ended at the promotion that the groups were decided under."""
        groups, started = self._decided, time.perf_counter()
        work = partial(self._appender.append, [g.decisions for g in groups], seq=self._seq(in_vain))
        try:
            logged = await self._loop.run_in_executor(self._thread, work)
        except Exception as error:  # noqa: BLE001 - as above
            self._decided = []
            self._refuse(groups, error)
            return True
        if logged:
            self._committed(groups, logged, started)
        elif logged is None:
            self._keep_patient()
        return logged != []

    def _seq(self, in_vain: bool) -> int | None:
        """The promotion that the log has to agree with; none after the ledger was looked at in vain."""
        return None if in_vain else self._reloader.newest

    def _committed(self, groups: Sequence[Group], logged: Sequence[Logged], started: float) -> None:
        self._decided = []
        if self.failure is not None:
            log.info("Decisions are logged again", extra={"action": "log_recovered"})
            self.failure = None
        self._retry = FIRST_RETRY
        self._metrics.committed(time.perf_counter() - started, [len(g.waiting) for g in groups])
        for group, place in zip(groups, logged, strict=True):
            self._answer(group, place.first_id)

    def _keep_patient(self) -> bool:
        """Refuse the groups that have waited for too long; whether any still wait."""
        now = time.monotonic()
        late = [g for g in self._decided if now - g.since > PATIENCE]
        self._decided = [g for g in self._decided if now - g.since <= PATIENCE]
        if late:
            self._refuse(late, self._appender.busy())
        return bool(self._decided)

    def _refuse(self, groups: Sequence[Group], error: Exception) -> None:
        self._metrics.commit_failed()
        if str(error) != self.failure:
            log.error("Decisions cannot be logged: %s", error, extra={"action": "log_failed"})
        self.failure = str(error)
        for group in groups:
            self._fail(group.waiting, error)

    def _fail(self, waiting: Sequence[Waiting], error: Exception) -> None:
        self._count -= len(waiting)
        for request in waiting:
            if not request.answer.done():
                request.answer.set_exception(error)

    def _answer(self, group: Group, first_id: int) -> None:
        self._metrics.scored(group.model.version, group.decisions.probabilities)
        self._count -= len(group.waiting)
        answers, committed = Answers(group.model, group.decisions, first_id, group.reasons), time.time_ns()
        for number, (request, answer) in enumerate(zip(group.waiting, answers.each(), strict=True)):
            if request.trace is not None:
                self._trace(request.trace, group, first_id + number, committed)
            if not request.answer.done():  # else the client went away; the decision is logged all the same
                request.answer.set_result(self._encode(answer))

    def _trace(self, trace: Trace, group: Group, decision: int, committed: int) -> None:
        """A request was scored and committed with its whole group; to commit is also to wait for the write lock."""
        rows = len(group.waiting)
        trace.part("score", *group.scored, group_rows=rows)
        trace.part("commit", group.scored[1], committed, group_rows=rows)
        trace.decided(decision, 1, group.model.version)
