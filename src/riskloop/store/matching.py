"""Which decisions reported outcomes are about: a million of them at once, by id or by customer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from riskloop.core.span import Span
from riskloop.core.types import DAY, Bools, Ints, from_micros, to_micros
from riskloop.core.values import without_zeros
from riskloop.store import counters
from riskloop.store.archive import DECISIONS, horizon
from riskloop.store.pieces import Named
from riskloop.store.reported import DENSE, PART, integers, ranged
from riskloop.store.segments import Segments, last_decision
from riskloop.store.spans import where
from riskloop.store.tables import decisions

BY_CUSTOMER: Final = -1  # in the place of a decision's id
UNDATED: Final = np.iinfo(np.int64).min
LOOKED_UP: Final = 100  # unknown customers whose id is looked for with other leading zeros
LONGEST: Final = 20  # digits of such an id


@dataclass(frozen=True)
class Outcome:
    """One reported outcome, by decision or by customer."""

    defaulted: bool
    known_at: datetime
    decision_id: int | None = None  # wins over customer_id
    customer_id: str | None = None  # means that customer's latest decision before `known_at`
    decided: datetime | None = None  # with customer_id: the decision of that moment or day, where they have several
    place: str = field(default="", compare=False)  # where it stands in what was handed in: "line 3"


@dataclass(frozen=True)
class Labels:
    """Reported outcomes, column by column."""

    decision_ids: Ints  # (n,); BY_CUSTOMER where a customer is named
    customers: Sequence[str]  # n; empty texts where a decision is named
    defaulted: Bools  # (n,)
    known_at: Ints  # (n,) microseconds
    places: Callable[[Sequence[int]], list[str]]  # where rows stand in what was handed in
    decided: Ints | None = None  # (n,) microseconds of the decision that is meant, UNDATED where nothing says so

    @classmethod
    def of(cls, reported: Sequence[Outcome]) -> "Labels":
        """The same, given one by one."""
        n = len(reported)
        return cls(
            decision_ids=np.fromiter(
                (BY_CUSTOMER if o.decision_id is None else o.decision_id for o in reported), np.int64, n
            ),
            customers=["" if o.decision_id is not None else o.customer_id or "" for o in reported],
            defaulted=np.fromiter((o.defaulted for o in reported), np.bool_, n),
            known_at=np.fromiter((to_micros(o.known_at) for o in reported), np.int64, n),
            places=lambda rows: [reported[row].place for row in rows],
            decided=np.fromiter(
                (UNDATED if o.decided is None else to_micros(o.decided) for o in reported), np.int64, n
            ),
        )

    def __len__(self) -> int:
        return len(self.decision_ids)


class Matches(NamedTuple):
    """What became of labels."""

    rows: Ints  # (m,) the label that counts for each decision, in the order in which decisions are first named
    decisions: Ints  # (m,)
    unmatched: list[str]  # ids that belong to no decision
    reasons: list[str]  # why, each with its place


def match(connection: Connection, segments: Segments, labels: Labels) -> Matches:
    """The decision of each label. Of several on one decision the one that was known last counts, then the later one."""
    about = np.zeros(len(labels), dtype=np.int64)
    by_id = labels.decision_ids != BY_CUSTOMER
    wanted, member = np.unique(labels.decision_ids[by_id], return_inverse=True)
    about[by_id] = np.where(_existing(connection, segments, wanted)[member], labels.decision_ids[by_id], 0)
    named = np.flatnonzero(~by_id)
    found, first_of = _latest_before(
        connection,
        segments,
        [labels.customers[i] for i in named.tolist()],
        labels.known_at[named],
        None if labels.decided is None else labels.decided[named],
    )
    about[named] = found
    rows = np.flatnonzero(about)
    order = rows[np.lexsort((rows, labels.known_at[rows], about[rows]))]
    last = np.append(about[order[1:]] != about[order[:-1]], True)[: len(order)]
    chosen = order[last]  # by decision
    _, first = np.unique(about[rows], return_index=True)
    chosen = chosen[np.argsort(first, kind="stable")]
    missing = np.flatnonzero(about == 0)
    archived = horizon(connection, DECISIONS)
    theirs = dict(zip(named.tolist(), first_of.tolist(), strict=True))
    strangers = [labels.customers[row] for row in missing.tolist() if row in theirs and not theirs[row]]
    zeros = _with_other_zeros(connection, segments, strangers)
    reasons = [
        _reason(labels, row, theirs.get(row, 0), place, archived, zeros)
        for row, place in zip(missing.tolist(), labels.places(missing.tolist()) if len(missing) else [], strict=True)
    ]
    ids = labels.decision_ids
    unmatched = [labels.customers[row] if ids[row] == BY_CUSTOMER else str(ids[row]) for row in missing.tolist()]
    return Matches(chosen, about[chosen], unmatched, reasons)


def example(connection: Connection, segments: Segments) -> str:
    """A sentence that shows how decisions are named on record."""
    last = last_decision(connection)
    newest = Span(first_id=last)
    found = [*connection.execute(select(decisions.c.customer_id).where(where(newest))).scalars()]
    for piece in segments.pieces(connection, newest, ["customer_id"]):
        found += piece.column("customer_id").tolist()
    names = [name for name in found if name]
    if names:
        return f"Decisions are on record for such as '{names[-1]}'."
    return f"The newest decision is {last}." if last else "No decision is on record."


def _existing(connection: Connection, segments: Segments, ids: Ints) -> Bools:
    """Which decisions there are, of distinct ascending ids."""
    there = np.zeros(len(ids), dtype=np.bool_)
    for _, held in segments.holding(connection, ids):
        there[np.searchsorted(ids, held)] = True
    for condition in ranged(decisions.c.id, ids[~there]):
        (found,) = integers(connection, select(decisions.c.id).where(condition), 1)
        there[np.isin(ids, found)] = True
    return there


def _latest_before(
    connection: Connection, segments: Segments, customers: Sequence[str], limits: Ints, decided: Ints | None
) -> tuple[Ints, Ints]:
    """The latest decision on each customer until a moment, 0 without one; and the time of the first one, or 0.

    Of customers with several decisions, ``decided`` says which is meant. ``customers``, ``limits`` and ``decided`` (n,)
    in microseconds; both answers (n,).
    """
    index: dict[str, int] = {}
    code = np.fromiter((index.setdefault(name, len(index)) for name in customers), np.int64, len(customers))
    parts = list(_decisions_on(connection, segments, index))
    who, times, ids = np.concatenate(parts, axis=1) if parts else np.empty((3, 0), dtype=np.int64)
    n, known = len(customers), len(ids)
    # Decisions and moments in one order, a moment behind the decisions that are not later than it.
    order = np.lexsort(
        (
            np.concatenate((ids, np.zeros(n, dtype=np.int64))),
            np.repeat([0, 1], (known, n)),
            np.concatenate((times, limits)),
            np.concatenate((who, code)),
        )
    )
    is_moment = order >= known
    before = np.maximum.accumulate(np.where(is_moment, -1, np.arange(len(order))))
    latest = order[np.maximum(before, 0)]
    moments = order[is_moment] - known
    found, first = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    fits = (before[is_moment] >= 0) & (latest[is_moment] < known)
    chosen = np.where(fits, latest[is_moment], 0)
    if known:
        fits &= who[chosen] == code[moments]
        found[moments] = np.where(fits, ids[chosen], 0)
        earliest = np.full(len(index), np.iinfo(np.int64).max)
        np.minimum.at(earliest, who, times)
        first = np.where(np.isin(code, who), earliest[code], 0)
        if decided is not None:
            dated = np.flatnonzero((decided != UNDATED) & (np.bincount(who, minlength=len(index))[code] > 1))
            found[dated] = _of_their_dates(who, times, ids, code[dated], decided[dated])
    return found, first


def _of_their_dates(who: Ints, times: Ints, ids: Ints, code: Ints, decided: Ints) -> Ints:
    """The decision of each moment, else of its day, the latest of several; 0 without one. The last two are (n,)."""
    order = np.lexsort((ids, times))
    exact, daily = dict[tuple[int, int], int](), dict[tuple[int, int], int]()
    wanted = {*code.tolist()}
    for customer, time, number in zip(who[order].tolist(), times[order].tolist(), ids[order].tolist(), strict=True):
        if customer in wanted:
            exact[customer, time] = daily[customer, time // DAY] = number
    pairs = zip(code.tolist(), decided.tolist(), strict=True)
    found = [exact.get((c, t)) or daily.get((c, t // DAY), 0) for c, t in pairs]
    return np.array(found, dtype=np.int64)


def _decisions_on(connection: Connection, segments: Segments, index: dict[str, int]) -> Iterator[Ints]:
    """The decisions on customers, who are named by their number in ``index``: who, time and id; each (3, m)."""
    if not index:
        return
    columns = decisions.c.customer_id, decisions.c.time, decisions.c.id
    held = sum(segment.rows for segment in segments.within(connection))
    names = [name for name in index if name]
    if counters.last(connection, decisions) - held < DENSE * len(names):
        queries = [select(*columns)]
    else:
        parts = [names[start : start + PART] for start in range(0, len(names), PART)]
        queries = [select(*columns).where(decisions.c.customer_id.in_(part)) for part in parts]
    for query in queries:
        with connection.execute(query.execution_options(yield_per=10_000)) as found:
            for part in found.partitions():  # as arrays at once: objects take several times the memory
                rows = [(index[name], time, number) for name, time, number in part if name in index]
                yield np.array(rows, dtype=np.int64).reshape(-1, 3).T
    yield from segments.each(segments.within(connection), Named(index), columns=["customer_id", "time"])


def _with_other_zeros(connection: Connection, segments: Segments, strangers: Sequence[str]) -> dict[str, list[str]]:
    """Customers on record whose ids differ from those of the first strangers in leading zeros only, by stranger.

    Programs take such zeros for nothing. Nobody is matched by that: '007' may be another customer than '7'.
    """
    first = list(dict.fromkeys(strangers))[:LOOKED_UP]
    bare = {name: digits for name in first if len(name) <= LONGEST and (digits := without_zeros(name)) is not None}
    names = dict.fromkeys(digits.zfill(width) for digits in bare.values() for width in range(1, LONGEST + 1))
    index = {name: number for number, name in enumerate(names)}
    parts = list(_decisions_on(connection, segments, index))
    spelled = [*index]
    known: dict[str, list[str]] = {}
    for number in np.unique(np.concatenate([part[0] for part in parts])).tolist() if parts else []:
        known.setdefault(without_zeros(spelled[number]) or "", []).append(spelled[number])
    return {name: known[digits] for name, digits in bare.items() if digits in known}


def _reason(labels: Labels, row: int, first: int, place: str, archived: int, zeros: Mapping[str, Sequence[str]]) -> str:
    """Why an outcome belongs to no decision; ``first`` is the time of the customer's first one.

    Decisions up to the id ``archived`` left the log. ``zeros`` are the customers with the same digits.
    """
    place, number = f"{place}: " if place else "", int(labels.decision_ids[row])
    if 1 <= number <= archived:
        return f"{place}decision {number} is archived ([retention])"
    if number != BY_CUSTOMER:
        return f"{place}there is no decision {number}"
    customer = labels.customers[row]
    if not first:
        hint = ""
        if same := zeros.get(customer):
            hint = f", but on {' and '.join(map(repr, same))}; export ids as text, with the zeros they were scored with"
        return f"{place}no decision on customer '{customer}' is on record{hint}"
    if labels.decided is not None and labels.decided[row] != UNDATED and first <= labels.known_at[row]:
        return f"{place}no decision on customer '{customer}' is of {from_micros(labels.decided[row]):%Y-%m-%d}"
    return (
        f"{place}the outcome of customer '{customer}' was known at {from_micros(labels.known_at[row]):%Y-%m-%d %H:%M}, "
        f"before the first decision, of {from_micros(first):%Y-%m-%d %H:%M}"
    )
