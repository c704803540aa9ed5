"""Processes that score blocks side by side. They are started as commands, so that no notebook has to guard its main."""

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, BinaryIO, Final

from riskloop.batch.scorer import Done, Scorer, Todo
from riskloop.core.errors import RiskloopError

# What these processes tell each other was made by this program a moment ago: pickles of anybody else are never read.
_LENGTH: Final = 8
_SEED: Final = "20251128"  # of hashes, which all of them have to share


class ScorerPool:
    """As many processes as cores, each with one block at a time; with one core, this very process."""

    def __init__(self, scorer: Scorer, processes: int) -> None:
        self.processes = processes
        self._idle: SimpleQueue[Callable[[Todo], Done]] = SimpleQueue()
        self._workers = [_Worker(scorer) for _ in range(processes if processes > 1 else 0)]
        idle: Sequence[Callable[[Todo], Done]] = self._workers or [scorer]
        for worker in idle:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="riskloop-score")

    def __enter__(self) -> "ScorerPool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def each(self, blocks: Iterable[tuple[Any, Todo]]) -> Iterator[tuple[Any, Done]]:
        """What became of each block, in order; what came with it comes back with it."""
        under_way: deque[tuple[Any, Future[Done]]] = deque()
        for own, todo in blocks:
            under_way.append((own, self._threads.submit(self._call, todo)))
            if len(under_way) > 2 * self.processes:
                first, done = under_way.popleft()
                yield first, done.result()
        while under_way:
            first, done = under_way.popleft()
            yield first, done.result()

    def _call(self, todo: Todo) -> Done:
        worker = self._idle.get()
        try:
            return worker(todo)
        finally:
            self._idle.put(worker)


class _Worker:
    def __init__(self, scorer: Scorer) -> None:
        environment = {**os.environ, "PYTHONHASHSEED": _SEED, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "riskloop.batch.pool"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603
        _send(self._in, scorer)

    @property
    def _in(self) -> BinaryIO:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        return self._process.stdin  # type: ignore[return-value]

    def __call__(self, todo: Todo) -> Done:
        try:
            _send(self._in, todo)
            answer = _receive(self._process.stdout)
        except (OSError, EOFError) as error:
            code = self._process.poll()
            raise RiskloopError(
                f"A process that scores has ended (exit code {code}), perhaps for lack of memory; nothing of this run "
                "was logged. Run it again."
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        done: Done = answer
        return done

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # what was to be sent has nobody to read it
                    continue


def _send(out: Any, message: Any) -> None:
    content = pickle.dumps(message, protocol=5)
    out.write(len(content).to_bytes(_LENGTH, "little"))
    out.write(content)
    out.flush()


def _receive(file: Any) -> Any:
    head = file.read(_LENGTH)
    if len(head) < _LENGTH:
        raise EOFError("the other process has ended")
    return pickle.loads(file.read(int.from_bytes(head, "little")))  # noqa: S301 - see above


def serve(source: BinaryIO, answers: BinaryIO) -> None:
    """Score what comes until nothing comes any more."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    score: Callable[[Todo], Done] = _receive(source)
    while True:
        try:
            todo = _receive(source)
        except EOFError:
            return
        answer: Done | Exception
        try:
            answer = score(todo)
        except Exception as error:  # noqa: BLE001 - it is raised where somebody can tell of it
            answer = error
        _send(answers, answer)


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one says when it ends
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may write between two messages
    serve(sys.stdin.buffer, answers)
