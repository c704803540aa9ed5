"""Processes that decide on blocks side by side: children of this one, started as commands, each with two pipes.

Threads would share one interpreter, and Python's part of a block is as long as the trees' on many cores.
"""

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO, Final

from riskloop.batch import wire
from riskloop.batch.blocks import BlockWorker, Numbered
from riskloop.batch.outputs import Form
from riskloop.batch.scorer import Done, ProfilerOf, Scorer, Todo
from riskloop.batch.wire import Begin, Failed, Finish, Received, Score, Scored, Tell, Told
from riskloop.core.errors import RiskloopError

MODULE: Final = "riskloop.loop.engines"  # what a child runs: it knows `monitor`, too
_PATIENCE: Final = 10.0  # seconds for the block that a child is at, when a run has failed


class Asked:
    """A block that was handed to a child."""

    def __init__(self, child: "_Child | _Here", number: int, todo: Todo) -> None:
        self._child, self._number = child, number
        self._done: Future[Done] = child.submit(child.score, number, todo)

    def done(self) -> Done:
        """What became of it; waits for it."""
        return self._done.result()

    def tell(self, parts: list[Numbered]) -> "Future[Any]":
        """Its rows with their predictions, as the output takes them, once they are made."""
        return self._child.submit(self._child.tell, self._number, parts)


class ScorerPool:
    """As many children as asked for; for one, this process does the work itself."""

    def __init__(self, scorer: Scorer, processes: int, form: Form | None = None) -> None:
        self.count = max(1, processes)
        self._number = 0
        if self.count == 1:
            self._children: list[_Child | _Here] = [_Here(scorer, form)]
            return
        # Each child hashes ids, and equal ids have to get equal hashes.
        environment = {**os.environ, "PYTHONHASHSEED": str(secrets.randbelow(2**32)), "OMP_NUM_THREADS": "1"}
        self._children = []
        try:
            for _ in range(self.count):
                self._children.append(_Child(environment, scorer, form))
        except BaseException:
            self.__exit__(RiskloopError)
            raise

    def __enter__(self) -> "ScorerPool":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for child in self._children:
            child.stop(failed=kind is not None)

    def ask(self, todo: Todo) -> Asked:
        """Hand a block to the child that has least to do."""
        self._number += 1
        return Asked(min(self._children, key=lambda child: child.waiting), self._number, todo)


class _Queue:
    """One thing after the other, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="riskloop-score")
        self._futures: list[Future[Any]] = []

    def submit(self, call: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Have it done."""
        self._futures = [future for future in self._futures if not future.done()]
        self._futures.append(self._thread.submit(call, *args))
        return self._futures[-1]

    @property
    def waiting(self) -> int:
        """How much there is to do."""
        return sum(not future.done() for future in self._futures)


class _Here(_Queue):
    """No child: the work is done in a thread of this process."""

    def __init__(self, scorer: Scorer, form: Form | None) -> None:
        super().__init__()
        self._worker = BlockWorker(scorer, form)
        self.score, self.tell = self._worker.score, self._worker.tell

    def stop(self, *, failed: bool) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        if failed:
            self._worker.remove()


_OUT_OF_TURN: Final = "A process that scores answered out of turn; nothing of this run was logged. Run it again."


class _Child(_Queue):
    def __init__(self, environment: dict[str, str], scorer: Scorer, form: Form | None) -> None:
        super().__init__()
        command = [sys.executable, "-P", "-m", MODULE]
        self._process = subprocess.Popen(  # noqa: S603 - our own
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.submit(self._send, wire.begin(scorer, form))  # others start meanwhile

    def score(self, number: int, todo: Todo) -> Done:
        message, buffers = wire.score(number, todo)
        self._send(message, *buffers)
        answer = self._receive()
        if not isinstance(answer.message, Scored):
            raise RiskloopError(_OUT_OF_TURN)
        return wire.done_of(answer.message, answer.buffers)

    def tell(self, number: int, parts: list[Numbered]) -> Any:
        message, buffers = wire.tell(number, parts)
        self._send(message, *buffers)
        answer = self._receive()
        if not isinstance(answer.message, Told):
            raise RiskloopError(_OUT_OF_TURN)
        return wire.of_stream(answer.buffers[0]) if answer.message.is_table else answer.buffers[0]

    def stop(self, *, failed: bool) -> None:
        """End the child; after a failure it removes the files that it has written, which nobody will register."""
        self._thread.shutdown(wait=not failed, cancel_futures=True)
        late = threading.Timer(_PATIENCE, self._process.kill)
        late.start()
        try:
            if not failed:
                self._send(Finish())
            elif self._process.stdin is not None:
                self._process.stdin.close()
        except (OSError, RiskloopError):  # it has ended already
            self._process.kill()
        finally:
            self._process.wait()
            late.cancel()
            self._thread.shutdown(wait=True)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what was to be sent has nobody to read it
                        pipe.close()

    def _send(self, message: wire.Message, *buffers: Any) -> None:
        pipe: Any = self._process.stdin
        try:
            wire.send(pipe, message, *buffers)
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def _receive(self) -> Received:
        pipe: Any = self._process.stdout
        try:
            answer = wire.receive(pipe)
        except (OSError, EOFError, ValueError) as error:
            raise self._ended() from error
        if isinstance(answer.message, Failed):
            raise wire.error_of(answer.message)
        return answer

    def _ended(self) -> RiskloopError:
        code = self._process.poll()
        how = "" if code is None else f" with exit code {code}"
        return RiskloopError(
            f"A process that scores has ended{how}, perhaps for lack of memory; nothing of this run was logged. "
            "Run it again."
        )


def serve(source: BinaryIO, out: BinaryIO, profiler_of: ProfilerOf) -> None:
    """What a child does: decide on the blocks that come, until none comes any more."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    worker, is_finished = None, False
    try:
        while not is_finished:
            message, buffers = wire.receive(source)
            try:
                if isinstance(message, Begin):
                    profiler = None if message.profiler is None else profiler_of(message.profiler)
                    worker = BlockWorker(wire.scorer_of(message, profiler), message.form)
                elif isinstance(message, Score) and worker is not None:
                    found, arrays = wire.found(worker.score(message.number, wire.todo_of(message, buffers)))
                    wire.send(out, found, *arrays)
                elif isinstance(message, Tell) and worker is not None:
                    rows = worker.tell(message.number, wire.parts_of(message, buffers))
                    is_table = isinstance(rows, pa.Table)
                    wire.send(out, Told(is_table), wire.as_stream(rows) if is_table else rows)
                else:
                    is_finished = isinstance(message, Finish)
            except Exception as error:  # noqa: BLE001 - it is raised where somebody can tell of it
                wire.send(out, wire.failed(error))
    except (EOFError, OSError):  # the parent has failed, or is gone
        pass
    finally:
        if worker is not None and not is_finished:
            worker.remove()


def run_child(profiler_of: ProfilerOf) -> None:
    """Serve over the pipes that this process was started with."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the process that started this one says when it ends
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may write between two messages
    serve(sys.stdin.buffer, out, profiler_of)
