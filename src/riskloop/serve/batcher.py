"""Group commit: what waits together is scored in one call and committed in one transaction.

With SQLite everything happens in the event loop's thread. A thread of its own for the commits was measured and is
slower: the two fight over the interpreter, while the commit of a whole group takes less than the requests that it
serves. A server's answer takes longer, and may take very long, so a remote log is asked in a thread.
There is no artificial delay: a group is whatever arrived while the last one was being committed.

Before a group is scored, the ledger is asked whether the champion is still the one that is loaded. If not, the group
waits for the new one: once a promotion has returned, no request that comes after it is answered by the old model.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np

from riskloop.core.errors import Overloaded, RiskloopError, StorageError
from riskloop.core.exploration import explore
from riskloop.core.types import Bools, Decisions, Ints, Reason
from riskloop.serve.champion import Answer, Champion, Explain, moment_text
from riskloop.serve.metrics import Metrics
from riskloop.serve.reload import Reloader
from riskloop.store.appender import Appender, Logged

log = logging.getLogger("riskloop.serve")

FIRST_RETRY: Final = 0.0005  # seconds until the write lock is tried again; doubles up to …
LAST_RETRY: Final = 0.02
PATIENCE: Final = 5.0  # seconds that a request waits for the write lock before it gets 503


class Waiting:
    """One request on its way into the log."""

    __slots__ = ("answer", "body", "champion", "explain", "parsed")

    def __init__(self, champion: Champion, body: bytes, explain: Explain, answer: "asyncio.Future[bytes]") -> None:
        self.body = body
        self.explain = explain
        self.answer = answer
        self.read_by(champion)

    def read_by(self, champion: Champion) -> None:
        """Check the row by a model's schema; raises DataError."""
        self.parsed = champion.decoder.row(self.body, time.time_ns() // 1000)
        self.champion = champion


@dataclass(slots=True)
class Group:
    """Requests of one champion, scored and not yet committed."""

    champion: Champion
    waiting: Sequence[Waiting]
    scored: Decisions
    reasons: dict[int, list[Reason]]
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Takes rows, gives back encoded answers after their commit. One per worker process, in its event loop."""

    def __init__(self, appender: Appender, reloader: Reloader, max_waiting: int, metrics: Metrics) -> None:
        self._appender = appender  # must not block: opened with waits=False
        self._reloader = reloader
        self._max_waiting = max_waiting
        self._metrics = metrics
        self._waiting: list[Waiting] = []
        self._scored: list[Group] = []
        self._count = 0
        self._scheduled = False
        self._retry = FIRST_RETRY
        self.failure: str | None = None  # why the last commit failed; None when it did not
        self._encode = msgspec.json.Encoder().encode
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="riskloop-log")  # makes its thread when it is used
        self._task: asyncio.Task[None]

    @property
    def depth(self) -> int:
        """Requests that wait for their commit."""
        return self._count

    def submit(self, body: bytes, explain: Explain) -> "asyncio.Future[bytes]":
        """The answer's JSON to a row's, once the decision is committed.

        Raises Overloaded when too many wait already, DataError, NotReady.
        """
        if self._count >= self._max_waiting:
            raise Overloaded(
                f"{self._count} requests are waiting, which is the limit ([serve] max_waiting). "
                "Nothing was logged; send it again in a second."
            )
        answer = self._loop.create_future()
        self._waiting.append(Waiting(self._reloader.champion, body, explain, answer))
        self._count += 1
        if not self._scheduled:
            self._scheduled = True
            if self._appender.remote:
                self._task = self._loop.create_task(self._flush_remotely())
            else:
                self._loop.call_soon(self._flush)
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
        if self._waiting and not in_vain and not self._is_current():
            self._scheduled = True
            self._task = self._loop.create_task(self._catch_up())
            return
        self._score_waiting()
        if self._scored:
            self._commit()

    async def _flush_remotely(self) -> None:
        """As `_flush`, with a thread that waits for the network; whoever comes meanwhile is in the next group."""
        while self._waiting or self._scored:
            try:
                if self._waiting and not await self._loop.run_in_executor(self._thread, self._is_current):
                    await self._read_anew()
                self._score_waiting()
                if self._scored:
                    await self._commit_remotely()
            except Exception as error:  # noqa: BLE001 - the next group must not wait for ever
                self._fail([*self._waiting, *(w for g in self._scored for w in g.waiting)], error)
                self._waiting, self._scored = [], []
        self._scheduled = False

    def _score_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for champion in {id(w.champion): w.champion for w in waiting}.values():
            self._score(champion, [w for w in waiting if w.champion is champion])

    def _is_current(self) -> bool:
        try:
            return self._reloader.is_current(self._appender.promoted())
        except StorageError:  # the commit fails in a moment, and says so
            return True

    async def _catch_up(self) -> None:
        await self._read_anew()
        self._flush(in_vain=self._reloader.problem is not None)

    async def _read_anew(self) -> None:
        """Load the promoted model, and read by its schema what waits. While that fails the old one goes on serving."""
        await asyncio.to_thread(self._reloader.look)
        champion = self._reloader.champion
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            try:
                if request.champion is not champion:
                    request.read_by(champion)
            except RiskloopError as error:
                self._fail([request], error)
            else:
                self._waiting.append(request)

    def _score(self, champion: Champion, waiting: list[Waiting]) -> None:
        try:
            self._scored.append(_scored(champion, waiting))
        except Exception as error:  # noqa: BLE001 - one bad model call must not leave its requests without an answer
            self._fail(waiting, error)

    def _commit(self) -> None:
        groups, started = self._scored, time.perf_counter()
        try:
            logged = self._appender.append([g.scored for g in groups])
        except Exception as error:  # noqa: BLE001 - whatever the log says, the requests are answered
            self._scored = []
            self._refuse(groups, error)
            return
        if logged is not None:
            self._committed(groups, logged, started)
        elif self._keep_patient() and not self._scheduled:
            self._scheduled = True
            self._loop.call_later(self._retry, self._flush)
            self._retry = min(2 * self._retry, LAST_RETRY)

    async def _commit_remotely(self) -> None:
        groups, started = self._scored, time.perf_counter()
        work = partial(self._appender.append, [g.scored for g in groups])
        try:
            logged = await self._loop.run_in_executor(self._thread, work)
        except Exception as error:  # noqa: BLE001 - as above
            self._scored = []
            self._refuse(groups, error)
            return
        if logged is not None:
            self._committed(groups, logged, started)
        else:
            self._keep_patient()

    def _committed(self, groups: Sequence[Group], logged: Sequence[Logged], started: float) -> None:
        self._scored = []
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
        late = [g for g in self._scored if now - g.since > PATIENCE]
        self._scored = [g for g in self._scored if now - g.since <= PATIENCE]
        if late:
            self._refuse(late, self._appender.busy())
        return bool(self._scored)

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
        champion, scored = group.champion, group.scored
        model, version, scored_at = champion.model, champion.version, moment_text(scored.scored_at)
        probabilities = scored.probabilities.tolist()
        defaults = scored.defaults.tolist()
        self._metrics.scored(version, scored.probabilities)
        self._count -= len(group.waiting)
        for i, request in enumerate(group.waiting):
            if request.answer.done():  # the client went away; the decision is logged all the same
                continue
            answer = Answer(
                str(first_id + i),
                scored.customer_ids[i] or None,
                defaults[i],
                probabilities[i],
                model.risk_level(probabilities[i]),
                model.threshold,
                version,
                group.reasons.get(i, []),
                scored_at,
            )
            if scored.flags is not None and (flags := scored.flags[i]) is not None:
                answer.flags = msgspec.Raw(flags.encode())
            request.answer.set_result(self._encode(answer))


def _scored(champion: Champion, waiting: list[Waiting]) -> Group:
    parsed = [w.parsed for w in waiting]
    features = champion.matrix(b"".join([p.features for p in parsed]))
    probabilities = champion.model.probabilities(features)
    defaults = probabilities >= champion.model.threshold
    customer_ids, flags = [p.customer_id for p in parsed], [p.flags for p in parsed]
    if champion.exploration:
        defaults, flags = explore(defaults, customer_ids, features, champion.version, champion.exploration, flags)
    chosen = explained(defaults, [w.explain for w in waiting])
    now = time.time_ns() // 1000
    scored = Decisions(
        customer_ids=customer_ids,
        times=[now if p.time is None else p.time for p in parsed],
        scored_at=now,
        model_version=champion.version,
        probabilities=probabilities,
        defaults=defaults,
        features=features,
        flags=flag_texts(flags),
    )
    return Group(champion, waiting, scored, champion.reasons(features, chosen))


def explained(defaults: Bools, wanted: Sequence[Explain]) -> Ints:
    """The rows whose reasons were asked for."""
    if all(explain == "default" for explain in wanted):
        return np.flatnonzero(defaults)
    chosen = [w == "all" or (w == "default" and d) for w, d in zip(wanted, defaults.tolist(), strict=True)]
    return np.flatnonzero(chosen)


def flag_texts(flags: Sequence[dict[str, Any] | None]) -> list[str | None] | None:
    """The flags as they are stored; None when no row has any."""
    if not any(flags):
        return None
    return [json.dumps(flag) if flag else None for flag in flags]
