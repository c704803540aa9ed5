"""What versions that do not serve would have said of logged decisions: apart from the log, and proven like it.

A row holds a run of consecutive decisions, eight bytes each. Where a decision's personal part goes, its shadow's score
goes with it; what was counted stays, as it does in the log.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, func, insert, select, update

from riskloop.core.english import counted
from riskloop.core.stats.intervals import wilson_interval
from riskloop.core.types import Floats, Ints, Json, from_micros, iso, to_micros
from riskloop.store import chain, counters
from riskloop.store.archive import DECISIONS, FEATURES, horizon
from riskloop.store.database import Database
from riskloop.store.tables import archives, erasures, shadow_scores

_COUNTED: Final = ("scored", "both_decline", "only_shadow_declines", "only_champion_declines")
_C: Final = shadow_scores.c
_ENDS: Final = ((func.min, _C.at), (func.min, _C.first_id), (func.max, _C.last_id))
_SUMMED: Final = ("total", "champion_total")


@dataclass(frozen=True, slots=True)
class ShadowRun:
    """One version's scores of the decisions ``first_id`` to ``last_id``."""

    version: int
    first_id: int
    last_id: int
    both_decline: int
    only_shadow_declines: int
    only_champion_declines: int
    champion_total: float  # sum of the logged probabilities of those that were scored
    probabilities: Floats  # (last_id - first_id + 1,); NaN: not scored


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """Everything that a version has scored beside the champions."""

    version: int
    begun_at: datetime
    first_id: int
    last_id: int  # first_id - 1: nothing yet
    scored: int
    both_decline: int
    only_shadow_declines: int
    only_champion_declines: int
    total: float
    champion_total: float

    @property
    def decisions(self) -> int:
        """Those that were looked at."""
        return self.last_id - self.first_id + 1

    @property
    def agreed(self) -> int:
        """Decisions that both would have made alike."""
        return self.scored - self.only_shadow_declines - self.only_champion_declines


class ShadowScores:
    """Reads and appends the scores."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def begin(self, version: int, after: int, at: datetime) -> None:
        """The version scores decisions after this one."""
        self.keep(ShadowRun(version, after + 1, after, 0, 0, 0, 0.0, np.empty(0)), at)

    def keep(self, run: ShadowRun, at: datetime) -> None:
        """Append a run, without the scores of who was erased since it was read."""
        with self.database.write() as connection:
            counters.lock(connection, archives)  # keeps erasures and retention out
            inside = erasures.c.decision_id.between(run.first_id, run.last_id)
            gone = np.array(connection.execute(select(erasures.c.decision_id).where(inside)).scalars().all(), np.int64)
            kept = run.probabilities.copy()
            kept[gone - run.first_id] = np.nan
            kept[: max(0, horizon(connection, DECISIONS, FEATURES) - run.first_id + 1)] = np.nan
            scored = ~np.isnan(run.probabilities)
            made = insert(shadow_scores).values(
                version=run.version,
                first_id=run.first_id,
                last_id=run.last_id,
                at=to_micros(at),
                scored=int(scored.sum()),
                both_decline=run.both_decline,
                only_shadow_declines=run.only_shadow_declines,
                only_champion_declines=run.only_champion_declines,
                total=float(run.probabilities[scored].sum()),
                champion_total=run.champion_total,
                probabilities=_bytes(kept),
            )
            number = connection.execute(made.returning(shadow_scores.c.id)).scalar_one()
            chain.note(connection, shadow_scores, int(number))

    def counts(self) -> list[ShadowCount]:
        """What each version has scored so far, by version."""
        ends = [how(column).label(column.name) for how, column in _ENDS]
        sums = [func.sum(_C[name]).label(name) for name in (*_COUNTED, *_SUMMED)]
        query = select(_C.version, *ends, *sums).group_by(_C.version).order_by(_C.version)
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [_count(dict(row)) for row in rows]

    def count(self, version: int) -> ShadowCount | None:
        """What a version has scored so far; None where it never was a shadow."""
        return next((one for one in self.counts() if one.version == version), None)

    def scores(self, version: int, ids: Ints) -> Floats:
        """A version's probabilities of these decisions, shape (n,); NaN where there is none."""
        found = np.full(len(ids), np.nan)
        if not len(ids):
            return found
        touching = (_C.version == version, _C.last_id >= int(ids.min()), _C.first_id <= int(ids.max()))
        query = select(_C.first_id, _C.last_id, _C.probabilities).where(*touching)
        with self.database.read() as connection, connection.execute(query.execution_options(yield_per=100)) as rows:
            for first, last, content in rows:
                inside = np.flatnonzero((ids >= first) & (ids <= last))
                found[inside] = _floats(content)[ids[inside] - first]
        return found

    def of(self, decision_id: int) -> dict[int, float]:
        """What each shadow said of one decision, by version."""
        query = select(_C.version, _C.first_id, _C.probabilities).where(
            _C.last_id >= decision_id, _C.first_id <= decision_id
        )
        with self.database.read() as connection:
            rows = connection.execute(query.order_by(_C.version)).all()
        said = {int(version): float(_floats(content)[decision_id - first]) for version, first, content in rows}
        return {version: p for version, p in said.items() if not np.isnan(p)}


def blank_scores(connection: Connection, numbers: Ints) -> None:
    """Take out what shadows said of these decisions (sorted ids), in the caller's transaction."""
    if not len(numbers):
        return
    touching = (_C.last_id >= int(numbers[0]), _C.first_id <= int(numbers[-1]), _C.last_id >= _C.first_id)
    for row, first, last in connection.execute(select(_C.id, _C.first_id, _C.last_id).where(*touching)).all():
        mine = numbers[(numbers >= first) & (numbers <= last)] - first
        if not len(mine):
            continue
        left = _floats(connection.execute(select(_C.probabilities).where(_C.id == row)).scalar_one()).copy()
        if np.isnan(left[mine]).all():
            continue
        left[mine] = np.nan
        connection.execute(update(shadow_scores).where(_C.id == row).values(probabilities=_bytes(left)))
        chain.note(connection, shadow_scores, row)


def summary(count: ShadowCount | None, version: int, newest: int, *, active: bool) -> Json:
    """How far a shadow has come and how often it agrees with the champions; plain JSON.

    ``newest`` is the last decision of the log, ``active`` whether the version still is a shadow.
    """
    if count is None:
        none = dict.fromkeys(("begun_at", "agreement", "swapped_in", "swapped_out", "mean_pd", "champion_mean_pd"))
        sentence = f"Version {version} becomes a shadow with the next cycle."
        done = {"decisions": 0, "scored": 0, "behind": 0}
        return {"version": version, "active": active, **done, **none, "sentence": sentence}
    scored, behind = count.scored, newest - count.last_id
    agreement = _share(count.agreed, scored)
    return {
        "version": version,
        "active": active,
        "decisions": count.decisions,
        "scored": scored,
        "behind": behind,
        "begun_at": iso(count.begun_at, "auto"),
        "agreement": agreement,
        "swapped_in": _share(count.only_champion_declines, scored),
        "swapped_out": _share(count.only_shadow_declines, scored),
        "mean_pd": count.total / scored if scored else None,
        "champion_mean_pd": count.champion_total / scored if scored else None,
        "sentence": " ".join(_told(count, agreement, behind if active else 0)),
    }


def _told(count: ShadowCount, agreement: Json | None, behind: int) -> Iterator[str]:
    since, left = f"since {count.begun_at:%Y-%m-%d %H:%M} UTC", count.decisions - count.scored
    if agreement is None:
        yield f"Version {count.version} is a shadow {since}; nothing was scored yet."
    else:
        yield (
            f"Version {count.version} agrees with the champion on {agreement['share']:.1%} ({agreement['low']:.1%} to "
            f"{agreement['high']:.1%}) of {count.scored:,} decisions {since}; it alone would approve "
            f"{count.only_champion_declines:,} and alone decline {count.only_shadow_declines:,}."
        )
    if behind:
        yield f"{counted(behind, 'decision')} wait for it."
    if left:
        yield f"Not scored: {left:,}, which were erased, or made on other columns."


def _share(count: int, total: int) -> Json | None:
    if not total:
        return None
    interval = wilson_interval(count, total)
    return {"rows": count, "share": interval.estimate, "low": interval.lower, "high": interval.upper}


def _count(row: Mapping[str, Any]) -> ShadowCount:
    """A row of `counts`; databases give sums of integers as their own kinds of numbers."""
    numbers: dict[str, Any] = {name: int(row[name]) for name in ("version", "first_id", "last_id", *_COUNTED)}
    numbers |= {name: float(row[name]) for name in _SUMMED}
    return ShadowCount(begun_at=from_micros(row["at"]), **numbers)


def _bytes(values: Floats) -> bytes:
    return values.astype("<f8").tobytes()


def _floats(content: bytes) -> Floats:
    return np.frombuffer(bytes(content), dtype="<f8").astype(np.float64)
