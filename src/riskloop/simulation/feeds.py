"""Outcome feeds as lenders have them: late, in files, for the approved only, of defaults only, corrected, or broken.

A feed knows what became of every customer and hands it in as such a feed does. Everything is drawn from its seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np

from riskloop.core.types import Bools, Floats, Ints, from_micros, to_micros
from riskloop.store.outcomes import Outcome

DAY: Final = timedelta(days=1)
FILE_DAY: Final = 5  # of the month
KEPT: Final = 0.6  # of the defaults, under another definition
WRONG: Final = 0.02  # of the reports, where they are corrected

Labels = Literal["sound", "corrected", "definition", "inverted", "goods_late"]


@dataclass(frozen=True, slots=True)
class FeedKind:
    """How a feed behaves, and the contract in riskloop.toml that fits it."""

    name: str
    sentence: str
    delay: timedelta = timedelta(0)  # between the end of the outcome window and the report
    monthly: bool = False  # in one file, on the 5th of the month
    watermark: bool = False  # whether each file says how far it is complete
    approved_only: bool = False
    defaults_only: bool = False
    labels: Labels = "sound"
    wrong: float = WRONG  # share of the reports, where they are corrected
    settings: Mapping[str, Any] = field(default_factory=dict)  # of [outcomes]


def _kinds(*kinds: FeedKind) -> Mapping[str, FeedKind]:
    return MappingProxyType({kind.name: kind for kind in kinds})


FEEDS: Final = _kinds(
    FeedKind("on_time", "Every outcome is reported on the day on which it is final."),
    FeedKind("monthly", "A file on the 5th brings what is final by then.", monthly=True),
    FeedKind(
        "watermark",
        "A file on the 5th says that it is complete up to then.",
        monthly=True,
        watermark=True,
        settings={"due": "month"},
    ),
    FeedKind("late", "Every outcome is reported ten days after it is final.", delay=10 * DAY),
    FeedKind("corrected", "One report of fifty is wrong, and is corrected a month later.", labels="corrected"),
    FeedKind("approved", "Who was declined has no outcome.", approved_only=True, monthly=True),
    FeedKind(
        "defaults",
        "A file on the 5th names the approved who defaulted, and says up to when.",
        monthly=True,
        watermark=True,
        approved_only=True,
        defaults_only=True,
        settings={"reported": "defaults", "due": "month"},
    ),
    FeedKind("definition", "From a day on 40% fewer customers count as defaults.", labels="definition"),
    FeedKind("inverted", "From a day on good and bad are exchanged.", labels="inverted"),
    FeedKind("goods_late", "From a day on half of the good customers are reported ten days late.", labels="goods_late"),
)


@dataclass(frozen=True, slots=True)
class FeedFile:
    """What comes at one moment."""

    at: datetime
    outcomes: list[Outcome]
    complete_until: datetime | None


class SimulatedFeed:
    """One feed in time: told who was decided on, it hands in what became of them when such a feed would.

    ``since`` is the day on which a fault of its labels begins, by the date of the report.
    """

    def __init__(self, kind: FeedKind, outcome_window: timedelta, seed: int, since: datetime | None = None) -> None:
        self.kind = kind
        self._window = outcome_window // timedelta(microseconds=1)
        self._rng = np.random.default_rng(seed)
        self._since = None if since is None else to_micros(since)
        self._waiting: list[tuple[int, Outcome]] = []  # when it is handed in
        self._until: datetime | None = None

    def decided(self, first_id: int, times: Ints, target: Floats | Ints, declined: Bools) -> None:
        """Customers with ids from ``first_id`` on were decided on at ``times`` (n,), microseconds.

        Of whom the ``target`` is NaN, nothing is ever reported.
        """
        final = np.asarray(times, dtype=np.int64) + self._window
        defaulted = np.asarray(target) == 1
        at, labels = self._reported(final, defaulted)
        spoken = ~np.isnan(np.asarray(target, dtype=np.float64))
        if self.kind.approved_only:
            spoken &= ~declined
        if self.kind.defaults_only:
            spoken &= labels
        for row in np.flatnonzero(spoken).tolist():
            known_at = from_micros(int(final[row]))
            self._wait(int(at[row]), Outcome(bool(labels[row]), known_at, decision_id=first_id + row))
        if self.kind.labels == "corrected":
            for row in np.flatnonzero(spoken & (labels != defaulted)).tolist():
                later = int(at[row]) + 30 * DAY // timedelta(microseconds=1)
                outcome = Outcome(bool(defaulted[row]), from_micros(later), decision_id=first_id + row)
                self._wait(later, outcome)

    def due(self, now: datetime) -> list[FeedFile]:
        """What is handed in until ``now``, in order; each is returned once."""
        limit = to_micros(now)
        coming = sorted((one for one in self._waiting if one[0] <= limit), key=lambda one: one[0])
        self._waiting = [one for one in self._waiting if one[0] > limit]
        by_time: dict[int, list[Outcome]] = {}
        for at, outcome in coming:
            by_time.setdefault(at, []).append(outcome)
        if self.kind.watermark:  # a file with nothing new in it says how far it is complete, too
            for day in self._file_days(now):
                by_time.setdefault(to_micros(day), [])
        self._until = now
        said = self.kind.watermark
        return [
            FeedFile(from_micros(at), found, from_micros(at) if said else None) for at, found in sorted(by_time.items())
        ]

    def _wait(self, at: int, outcome: Outcome) -> None:
        self._waiting.append((at, outcome))

    def _reported(self, final: Ints, defaulted: Bools) -> tuple[Ints, Bools]:
        """When each outcome is handed in, in microseconds, and what is said of it then."""
        day = DAY // timedelta(microseconds=1)
        at = -(-(final + self.kind.delay // timedelta(microseconds=1)) // day) * day
        draw = self._rng.random(len(final))
        faulty = np.zeros(len(final), dtype=np.bool_) if self._since is None else self._file(at) >= self._since
        labels = defaulted.copy()
        if self.kind.labels == "goods_late":
            at = np.where(faulty & ~defaulted & (draw < 0.5), at + 10 * day, at)
        elif self.kind.labels == "definition":
            labels &= ~(faulty & (draw >= KEPT))
        elif self.kind.labels == "inverted":
            labels ^= faulty
        elif self.kind.labels == "corrected":
            labels ^= draw < self.kind.wrong
        return self._file(at), labels

    def _file(self, at: Ints) -> Ints:
        """The file in which a report comes: itself, or that of the next 5th."""
        if not self.kind.monthly:
            return at
        days, position = np.unique(at, return_inverse=True)
        files = np.array([to_micros(_next_file(from_micros(int(one)))) for one in days.tolist()], dtype=np.int64)
        return files[position] if len(days) else at

    def _file_days(self, now: datetime) -> list[datetime]:
        found, at = [], _next_file((self._until or now - 31 * DAY) + timedelta(microseconds=1))
        while at <= now:
            found.append(at)
            at = _next_file(at + timedelta(microseconds=1))
        return found


def _next_file(moment: datetime) -> datetime:
    """The first file day at or after a moment."""
    file = moment.replace(day=FILE_DAY, hour=0, minute=0, second=0, microsecond=0)
    return file if file >= moment else _month_later(file)


def _month_later(file: datetime) -> datetime:
    """The same day of the next month."""
    return (file.replace(day=1) + 32 * DAY).replace(day=FILE_DAY)
