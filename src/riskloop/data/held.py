"""The coded rows of a history as they come, block by block: only those that are used, and of too many a sample."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.types import Bools, Floats, Ints

SLACK: Final = 1.1  # times the rows of a sample that are held before some are let go again
GROWTH: Final = 2**14  # rows by which an array grows: its memory is moved by its addresses, which costs nothing

Keys = npt.NDArray[np.uint64]


class Held:
    """Coded rows, of at most ``most`` of them; 0: of all.

    A sample is one of customers: their ids are hashed with the seed, and the lowest hashes stay. So it depends on
    nothing but the rows, the seed and the number, and a customer is in it with all rows or with none.

    Of more rows than ``fits`` none are held: they are counted, for what is said of them.
    """

    def __init__(
        self, most: int = 0, seed: int = 0, *, fits: int | None = None, refuse: Callable[[int], DataError] | None = None
    ) -> None:
        self._most, self._seed, self._fits, self._refuse = most, seed, fits, refuse
        self._counted: int | None = None  # all rows that should be held, once they are more than fit
        self._rows: Any = None
        self._numbers: list[Ints] = []
        self._keys: list[Keys] = []
        self._held = 0
        self._below: int | None = None  # hashes from here on are not in the sample
        self._unnamed = np.random.default_rng(seed)
        self.left_out = 0  # rows that are not in the sample

    def __len__(self) -> int:
        return self._held

    def add(self, features: Floats, first: int, used: Bools, ids: Sequence[str]) -> None:
        """Rows (n, k), the first of which is number ``first``, those that are ``used`` (n,); no ``ids``: nobody's."""
        keys = self._hashed(ids, len(features)) if self._most else np.empty(0, dtype=np.uint64)
        if self._below is not None:
            inside = keys < np.uint64(self._below)
            self.left_out += int(np.count_nonzero(used & ~inside))
            used = used & inside
        if self._counted is not None:
            self._counted += int(np.count_nonzero(used))
            return
        self._append(features if used.all() else features[used])
        self._numbers.append(first + np.flatnonzero(used))
        if self._most:
            self._keys.append(keys[used])
            if self._held > SLACK * self._most:
                self._thin()
        if self._fits is not None and self._held > self._fits:
            self._counted = self._held
            self.let_go()

    def _append(self, part: Floats) -> None:
        """One array that grows where it lies: parts and their whole would be there twice while it is put together."""
        if self._rows is None:
            self._rows = np.empty((len(part), part.shape[1]))
        needed = self._held + len(part)
        if needed > len(self._rows):
            self._rows.resize((max(needed, len(self._rows) + GROWTH), part.shape[1]), refcheck=False)
        self._rows[self._held : needed] = part
        self._held = needed

    def _hashed(self, ids: Sequence[str], rows: int) -> Keys:
        if not ids:
            return self._unnamed.integers(0, 2**64, rows, dtype=np.uint64)
        salt = self._seed.to_bytes(8, "little")
        digests = b"".join(blake2b(name.encode(), digest_size=8, salt=salt).digest() for name in ids)
        return np.frombuffer(digests, dtype="<u8").astype(np.uint64)

    def _thin(self) -> None:
        """Let go of the customers with the highest hashes until no more than ``most`` rows are left."""
        if self._held <= self._most:
            return
        keys, numbers = np.concatenate(self._keys), np.concatenate(self._numbers)
        self._below = int(np.sort(keys)[self._most])  # this one is too many, and so is whoever has the same hash
        inside = keys < np.uint64(self._below)
        place = 0
        for start in range(0, self._held, GROWTH):
            part = self._rows[start : min(start + GROWTH, self._held)][inside[start : start + GROWTH]]
            self._rows[place : place + len(part)] = part
            place += len(part)
        self.left_out += self._held - place
        self._held, self._keys, self._numbers = place, [keys[inside]], [numbers[inside]]

    def let_go(self) -> None:
        """Forget all rows."""
        self._rows, self._held, self._numbers, self._keys = None, 0, [], []

    def whole(self) -> tuple[Floats, Ints]:
        """The rows and their numbers; they are no longer here then. Raises ``refuse(rows)`` where they did not fit."""
        if self._counted is not None and self._refuse is not None:
            raise self._refuse(self._counted)
        if self._most:
            self._thin()
        rows, numbers = self._rows, np.concatenate(self._numbers)
        if self._held < len(rows):
            rows.resize((self._held, rows.shape[1]), refcheck=False)
        self.let_go()
        return rows, numbers
