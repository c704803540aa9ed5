"""What happened to the customers who were decided on, and when that became known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, insert, select

from riskloop.core.chain import integer_rows_digest
from riskloop.core.errors import DataError
from riskloop.core.maturity import LATEST, Maturity
from riskloop.core.progress import silent
from riskloop.core.span import EVERYTHING, Span
from riskloop.core.types import Floats, Ints, Problem, to_micros
from riskloop.store import chain, counters
from riskloop.store.database import Database
from riskloop.store.matching import Labels, Matches, Outcome, example, match
from riskloop.store.pieces import Piece
from riskloop.store.reported import counted, has_report, integers, is_reported, reported_on
from riskloop.store.segments import Segments
from riskloop.store.spans import where
from riskloop.store.tables import decisions, deliveries, outcomes
from riskloop.store.watermark import place, refuse_future

SHOWN: Final = 10  # reasons named one by one


@dataclass(frozen=True)
class Recorded:
    """What became of the reported outcomes."""

    recorded: int
    repeated: int  # already known with the same value
    corrected: int  # a different value was known before; both are kept, the later one counts
    unmatched: tuple[str, ...]  # ids that belong to no decision; nothing was recorded for them
    complete_until: datetime | None = None  # the watermark that was handed in
    reasons: tuple[str, ...] = ()  # why, for each of the unmatched, with its place
    refused: tuple[str, ...] = ()  # rows that could not be read, with place and problem
    waiting: int = 0  # rows that say that nothing is decided yet
    notes: tuple[str, ...] = ()  # what a person should know of how they were read


class Report(NamedTuple):
    """One report, with what is known of the decision that it is about."""

    id: int
    decision_id: int
    defaulted: int
    probability: float
    decided: int  # microseconds
    reported: int  # microseconds: when it was handed in


class Outcomes:
    """The append-only table of outcomes."""

    def __init__(self, database: Database, segments: Segments | None = None) -> None:
        self.database = database
        self.segments = segments or Segments(database)

    def record(
        self,
        reported: Sequence[Outcome] | Labels,
        recorded_at: datetime,
        *,
        by: str = "riskloop",
        complete_until: datetime | None = None,
        reason: str | None = None,
        definition: str = "1",
        undecided: Labels | None = None,
        aside: Callable[[Sequence[str]], None] = silent,
    ) -> Recorded:
        """Store outcomes in one transaction. The same file handed in twice changes nothing.

        ``complete_until`` is the feed's watermark: every outcome that was final before it is reported by now. With a
        ``reason`` it goes back to that. ``undecided`` are rows that say that nothing is decided yet. Where they are
        given, be it none, a row has to belong to a decision: else DataError, and ``aside`` hears the reason of each. It
        is raised too for a watermark after ``recorded_at``, or one that takes nothing back. Then nothing is recorded.
        """
        refuse_future(complete_until, recorded_at)
        labels = reported if isinstance(reported, Labels) else Labels.of(reported)
        with self.database.write() as connection:
            counters.lock(connection, outcomes)
            found = match(connection, self.segments, labels)
            if undecided is not None and not len(found.rows):
                self._refuse_strangers(connection, found, undecided, aside)
            before = _latest(connection, found.decisions)
            reason, notes = place(connection, complete_until, reason, recorded_at, by)
            values = labels.defaulted[found.rows].astype(np.int64)
            new = before != values
            repeated, corrected = int(np.count_nonzero(~new)), int(np.count_nonzero(new & ~np.isnan(before)))
            count = int(np.count_nonzero(new))
            first = counters.take(connection, outcomes, count) if count else None
            if first is not None:
                rows = {
                    "id": np.arange(first, first + count),
                    "decision_id": found.decisions[new],
                    "defaulted": values[new],
                    "known_at": labels.known_at[found.rows[new]],
                    "recorded_at": np.full(count, to_micros(recorded_at)),
                }
                self.database.fill(connection, outcomes, rows)
                chain.note_group(connection, outcomes, first, first + count - 1, integer_rows_digest(rows))
            made = connection.execute(
                insert(deliveries).values(
                    at=to_micros(recorded_at),
                    by=by,
                    first_id=first,
                    last_id=None if first is None else first + count - 1,
                    recorded=count,
                    repeated=repeated,
                    corrected=corrected,
                    unmatched=len(found.unmatched),
                    complete_until=None if complete_until is None else to_micros(complete_until),
                    reason=reason,
                    definition=definition,
                    examined=False,
                    held=False,
                    findings="[]",
                )
            )
            chain.note(connection, deliveries, *(made.inserted_primary_key or ()))
        unmatched, reasons = tuple(found.unmatched), tuple(found.reasons)
        return Recorded(count, repeated, corrected, unmatched, complete_until, reasons, notes=notes)

    def _refuse_strangers(
        self, connection: Connection, found: Matches, undecided: Labels, aside: Callable[[Sequence[str]], None]
    ) -> None:
        asked = match(connection, self.segments, undecided)
        ids, reasons = found.unmatched + asked.unmatched, found.reasons + asked.reasons
        if len(asked.rows) or not reasons:
            return
        aside(reasons)
        parts = (reason.rpartition(": ")[::2] for reason in reasons[:SHOWN])
        raise DataError(
            f"None of the {len(reasons):,} outcomes belongs to a decision, and nothing was recorded: {reasons[0]}. "
            f"{example(connection, self.segments)}",
            [Problem(place, problem, who) for (place, problem), who in zip(parts, ids, strict=False)],
        )

    def last_id(self) -> int:
        """The id of the newest outcome, 0 when there is none: what was known at a moment, in one number."""
        with self.database.read() as connection:
            return _last_id(connection)

    def matured(self, start: int, known: Maturity, without: Sequence[Span] = ()) -> int:
        """How many decisions with time from ``start`` on, microseconds, have an outcome that counts; none of
        ``without``."""
        query = (
            select(func.count())
            .select_from(decisions)
            .where(decisions.c.time >= start, decisions.c.time <= known.until)
            .where(*(~where(span) for span in without))
        )
        if known.silence == "unknown":
            query = query.where(is_reported(known))
        elif not known.silent_declined:
            query = query.where(decisions.c.is_default == 0)
        with self.database.read() as connection:
            total = int(connection.execute(query).scalar_one())
            span = Span(start=start, end=known.until + 1)
            for piece in self.segments.pieces(connection, span, ["time", "declined"]):
                total += _matured(connection, piece, known, without)
        return total

    def reports(self, known: Maturity, *, after: int = 0, span: Span = EVERYTHING) -> list[Report]:
        """The reports with ids above ``after`` on decisions of a span, as far as they count, in order."""
        query = (
            select(
                outcomes.c.id,
                outcomes.c.decision_id,
                outcomes.c.defaulted,
                decisions.c.probability,
                decisions.c.time,
                outcomes.c.recorded_at,
            )
            .join(decisions, decisions.c.id == outcomes.c.decision_id)
            .where(outcomes.c.id > after, counted(known), where(span), decisions.c.time <= known.until)
            .order_by(outcomes.c.id)
        )
        new = outcomes.c.id > after, counted(known)
        with self.database.read() as connection:
            found = [Report(*row) for row in connection.execute(query)]
            for piece, rows in self._about(connection, span, new, ["time", "probability"]):
                times, probabilities = piece.column("time"), piece.column("probability")
                for number, about, defaulted, reported, place in rows.tolist():
                    if times[place] <= known.until:
                        one = float(probabilities[place]), int(times[place]), reported
                        found.append(Report(number, about, defaulted, *one))
        return sorted(found)

    def reported_for(self, after: int) -> tuple[Ints, Ints, Ints]:
        """The outcomes with an id above ``after``: their ids, decision ids and decision times in microseconds, (n,)."""
        new = outcomes.c.id > after
        query = select(outcomes.c.id, decisions.c.id, decisions.c.time).join(
            decisions, outcomes.c.decision_id == decisions.c.id
        )
        with self.database.read() as connection:
            found = [np.stack(integers(connection, query.where(new), 3), axis=1)]
            for piece, rows in self._about(connection, EVERYTHING, (new,), ["time"]):
                found.append(np.stack((rows[:, 0], rows[:, 1], piece.column("time")[rows[:, 4]]), axis=1))
        whole = np.concatenate(found)
        whole = whole[np.argsort(whole[:, 0], kind="stable")]
        return whole[:, 0], whole[:, 1], whole[:, 2]

    def _about(
        self, connection: Connection, span: Span, which: Sequence[ColumnElement[bool]], columns: Sequence[str]
    ) -> Iterator[tuple[Piece, Ints]]:
        """The segments' decisions in a span that outcomes are about, with those outcomes.

        These have a row each: id, decision, whether it defaulted, when it was handed in, and its decision's place in
        the piece; (n, 5).
        """
        query = select(outcomes.c.id, outcomes.c.decision_id, outcomes.c.defaulted, outcomes.c.recorded_at)
        for segment in self.segments.within(connection, span):
            inside = outcomes.c.decision_id.between(segment.first_id, segment.last_id)
            rows = np.stack(integers(connection, query.where(inside, *which), 4), axis=1)
            if not len(rows):
                continue
            piece = self.segments.piece(segment, span, columns)
            places = np.searchsorted(piece.ids, rows[:, 1])
            there = places < len(piece.ids)
            there[there] = piece.ids[places[there]] == rows[there, 1]
            yield piece, np.column_stack((rows, places))[there]


def _matured(connection: Connection, piece: Piece, known: Maturity, without: Sequence[Span]) -> int:
    times, chosen = piece.column("time"), np.ones(len(piece.ids), dtype=np.bool_)
    for span in without:
        chosen &= ~span.mask(times, piece.ids)
    if known.silence == "unknown":
        chosen &= has_report(connection, piece.ids, known)
    elif not known.silent_declined:
        chosen &= ~piece.column("declined")
    return int(np.count_nonzero(chosen))


def _last_id(connection: Connection) -> int:
    return int(connection.execute(select(func.coalesce(func.max(outcomes.c.id), 0))).scalar_one())


def _latest(connection: Connection, ids: Ints) -> Floats:
    """What is known of each decision, distinct ids (n,), NaN where nothing is."""
    held = select(deliveries.c.first_id, deliveries.c.last_id).where(deliveries.c.held)
    # What is in quarantine is not known: the same value in another file has to be recorded.
    spans = [(first, last) for first, last in connection.execute(held) if first is not None]
    order, known = np.argsort(ids), np.full(len(ids), np.nan)
    known[order] = reported_on(connection, ids[order], Maturity(LATEST, held=tuple(spans)))
    return known


__all__ = ["Labels", "Outcome", "Outcomes", "Recorded", "Report"]
