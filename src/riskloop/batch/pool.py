"""Threads that score blocks side by side: Arrow, NumPy and LightGBM let go of the interpreter while they work.

Processes would use the cores better, and would have to hand blocks and models over as pickles, which are never read.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from riskloop.batch.scorer import Done, Scorer, Todo


class ScorerPool:
    """As many threads as asked for, each with one block at a time and a scorer of its own."""

    def __init__(self, scorer: Scorer, threads: int) -> None:
        self._count = max(1, threads)
        self._idle: SimpleQueue[Scorer] = SimpleQueue()
        for _ in range(self._count):
            self._idle.put(replace(scorer))  # with a model and a reader of its own
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="riskloop-score")

    def __enter__(self) -> "ScorerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def each(self, blocks: Iterable[tuple[Any, Todo]]) -> Iterator[tuple[Any, Done]]:
        """What became of each block, in order; what came with it comes back with it."""
        under_way: deque[tuple[Any, Future[Done]]] = deque()
        for own, todo in blocks:
            under_way.append((own, self._threads.submit(self._call, todo)))
            if len(under_way) > 2 * self._count:
                first, done = under_way.popleft()
                yield first, done.result()
        while under_way:
            first, done = under_way.popleft()
            yield first, done.result()

    def _call(self, todo: Todo) -> Done:
        scorer = self._idle.get()
        try:
            return scorer(todo)
        finally:
            self._idle.put(scorer)
