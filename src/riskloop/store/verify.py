"""Everything on record is recomputed and held against the chain: what was changed, where, and the first broken link.

Links are read once, in their order. Decisions stream beside them; of other kinds there are few, or few links, and
they are compared when all links are known. Nothing is taken from the database on trust but its newest link; that one
is held against signed checkpoints.
"""

import itertools
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Table, select

from riskloop.core import chain as canonical
from riskloop.core.chain import Link
from riskloop.core.errors import ArtefactError
from riskloop.store import chain
from riskloop.store.archive import AUDIT, DECISIONS, FEATURES, Archive, Archived, entries, horizon, rows_of
from riskloop.store.database import Database
from riskloop.store.erased import Gone, is_blank
from riskloop.store.pieces import ERASED_FLAGS
from riskloop.store.tables import audit, decisions, segments

BEFORE: Final = "before"  # the link behind what was on record before the chain
MOST: Final = 1000  # findings that are told one by one
_DECISION: Final = (
    decisions.c.id,
    decisions.c.customer_id,
    decisions.c.time,
    decisions.c.scored_at,
    decisions.c.model_version,
    decisions.c.probability,
    decisions.c.is_default,
    decisions.c.features,
    decisions.c.flags,
)
Numbered = tuple[int, Any]  # the number of a row, and what its group's digest is made of
Digest = Callable[[list[Any]], bytes]
Tick = Callable[[int], None]  # links done


@dataclass(frozen=True, slots=True)
class Breach:
    """One place where the record is not what was committed."""

    kind: str  # a table's name, or "links" or "checkpoints"
    what: str  # "changed", "missing", "added", "relinked", "broken", "cut"
    first_id: int
    last_id: int
    link: int | None  # number of the link that says so
    sentence: str


@dataclass(slots=True)
class Verification:
    """What was recomputed, and what was found."""

    links: int = 0
    first_link: int = 1
    rows: dict[str, int] = field(default_factory=dict)
    before: int = 0  # links about what was on record before the chain
    breaches: list[Breach] = field(default_factory=list)
    uncounted: int = 0  # further breaches beyond `MOST`
    head: Link | None = None
    archived: int = 0  # rows that were recomputed from the archive
    away: list[Archived] = field(default_factory=list)  # what was taken out, and is nowhere to be looked at

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.breaches

    def found(self, kind: str, what: str, first: int, last: int, link: int | None, sentence: str) -> None:
        """Keep a breach."""
        if len(self.breaches) < MOST:
            self.breaches.append(Breach(kind, what, first, last, link, sentence))
        else:
            self.uncounted += 1

    def count(self, kind: str, rows: int) -> None:
        """Keep how many rows were compared."""
        self.rows[kind] = self.rows.get(kind, 0) + rows


def recompute(
    database: Database, after: int = 0, tick: Tick = lambda _done: None, archive: Archive | None = None
) -> Verification:
    """Verify what the links after a number are about; 0 is everything. Reads one moment.

    What retention took out is recomputed from the ``archive``, as far as its files are there.
    """
    result = Verification(first_link=after + 1)
    with database.read() as connection:
        taken = _Taken(connection, archive or Archive(None), result)
        later = _follow(connection, result, after, tick, taken)
        for kind, table in chain.APPENDED.items():
            if kind != decisions.name:
                links = sorted(later.pop(kind, []), key=lambda link: link.first_id)
                before = chain.last_id(connection, kind, after)
                rows = _looked_at(connection, table, links, before, taken.put_back(audit) if kind == AUDIT else 0)
                if kind == AUDIT:
                    rows = itertools.chain(taken.events(before or 0), rows)
                appended = _Appended(result, kind, rows, canonical.rows_digest, taken.away(kind))
                for link in links:
                    appended.compare(link)
                appended.end()
        for kind, table in chain.REVISED.items():
            _revised(result, kind, later.pop(kind, []), chain.digests(connection, table), after)
        for kind, table in chain.WHOLE.items():
            _whole(result, kind, later.pop(kind, []), chain.whole(connection, table), after)
    for kind, links in later.items():
        _strange(result, kind, links)
    return result


class _Taken:
    """What retention took out: read from its files where they are, else named."""

    def __init__(self, connection: Connection, archive: Archive, result: Verification) -> None:
        self._connection = connection
        self._archive = archive
        self._result = result
        self._there: list[Archived] = []
        self._away: list[Archived] = []
        self._gone = Gone(connection)
        # A segment's file is proven by its hash, which stays on record with the segment.
        files = set(connection.execute(select(segments.c.first_id)).scalars())
        for entry in entries(connection, DECISIONS, FEATURES, AUDIT):
            there = self._is_there(entry)
            if not there and (entry.kind != FEATURES or entry.path is not None):
                result.away.append(entry)
            if entry.kind != FEATURES and not (entry.kind == DECISIONS and entry.first_id in files):
                (self._there if there else self._away).append(entry)

    def _is_there(self, entry: Archived) -> bool:
        try:
            return self._archive.is_there(entry)
        except ArtefactError as error:
            self._result.found("archives", "changed", entry.first_id, entry.last_id, None, error.message)
            return False

    def away(self, kind: str) -> list[Archived]:
        """The runs of a kind that cannot be looked at."""
        return [entry for entry in self._away if entry.kind == kind]

    def put_back(self, table: Table) -> int:
        """The number up to which the rows of a table were taken out. Those that are there are somebody's work."""
        last = horizon(self._connection, table.name)
        if last:
            query = select(chain.key(table)).where(chain.key(table) <= last).order_by(chain.key(table)).limit(MOST)
            for run in chain.runs(list(self._connection.execute(query).scalars())):
                _tell(self._result, table.name, "added", run[0], run[-1], None)
        return last

    def decisions(self, before: int) -> Iterator[Numbered]:
        """The records of archived decisions with ids above ``before``."""
        for entry in self._there:
            if entry.kind == DECISIONS and entry.last_id > before:
                for row in rows_of(entry, self._archive.read(entry)):
                    if row[0] > before:
                        self._result.archived += 1
                        yield row[0], record_of(row, self._gone)

    def events(self, before: int) -> Iterator[Numbered]:
        """The digests of archived audit events with ids above ``before``."""
        for entry in self._there:
            if entry.kind == AUDIT and entry.last_id > before:
                for row in self._archive.read(entry).to_pylist():
                    if row["id"] > before:
                        self._result.archived += 1
                        yield row["id"], canonical.row(row)


def record_of(row: Sequence[Any], gone: Gone) -> bytes:
    """The record of a decision, given as the table has it; of one whose personal part is gone with its digest."""
    number, customer, time, scored_at, version, probability, declined, features, flags = row
    personal = None
    # Where something stands in the place of what was erased, it was filled in again.
    if flags == ERASED_FLAGS and not customer and is_blank(features):
        personal = gone.personal(number)
    if personal is None:
        personal = canonical.personal_part(customer, features, flags)
    return canonical.decision(time, scored_at, version, probability, declined, personal)


def _follow(
    connection: Connection, result: Verification, after: int, tick: Tick, taken: _Taken
) -> dict[str, list[Link]]:
    """Walk along the chain, with the decisions beside it; returns the links of the other kinds."""
    later: dict[str, list[Link]] = {}
    previous = chain.link_of(connection, after) if after else canonical.GENESIS
    before = chain.last_id(connection, decisions.name, after)
    past = taken.put_back(decisions)
    left = _decisions(connection, max(before or 0, past) if past else before)
    rows = itertools.chain(taken.decisions(before or 0), left)
    stream = _Appended(result, decisions.name, rows, canonical.rows_digest, taken.away(decisions.name))
    number = after
    for link in chain.read(connection, after):
        if link.number != number + 1:
            result.found(
                "links", "missing", number + 1, link.number - 1, link.number, _gap(number + 1, link.number - 1)
            )
        elif previous is None or not link.follows(previous):
            sentence = (
                f"Link {link.number} ({link.kind}) does not follow from the one before: it, or its place, was changed."
            )
            result.found("links", "broken", link.first_id, link.last_id, link.number, sentence)
        number, previous = link.number, link.link
        result.links += 1
        result.head = link
        if link.kind == decisions.name:
            stream.compare(link)
        elif link.kind == BEFORE:
            result.before = link.last_id
        else:
            later.setdefault(link.kind, []).append(link)
        if result.links % 10_000 == 0:
            tick(result.links)
    stream.end()
    return later


class _Appended:
    """Holds rows that are written once against the links that say so, both by number."""

    def __init__(
        self, result: Verification, kind: str, rows: Iterator[Numbered], digest: Digest, away: Sequence[Archived] = ()
    ) -> None:
        self._result = result
        self._kind = kind
        self._rows = rows
        self._digest = digest
        self._away = sorted((entry.first_id, entry.last_id) for entry in away)
        self._last: int | None = None
        self._next: Numbered | None = next(rows, None)

    def compare(self, link: Link) -> None:
        """The rows of one link."""
        if self._last is not None and link.first_id <= self._last:
            self._found("relinked", link.first_id, link.last_id, link)
            return
        added = self._take(link.first_id - 1)
        self._added([number for number, _ in added])
        rows = self._take(link.last_id)
        self._last = link.last_id
        if self._is_away(link):
            return
        self._result.count(self._kind, len(rows))
        if rows and self._digest([content for _, content in rows]) == link.digest:
            return
        there = {number for number, _ in rows}
        missing = [n for n in range(link.first_id, link.last_id + 1) if n not in there]
        if not missing:
            self._found("changed", link.first_id, link.last_id, link)
        for run in chain.runs(missing):
            self._found("missing", run[0], run[-1], link)

    def _is_away(self, link: Link) -> bool:
        place = bisect_right(self._away, (link.first_id, sys.maxsize)) - 1
        return place >= 0 and link.last_id <= self._away[place][1]

    def end(self) -> None:
        """What is left belongs to no link."""
        left = []
        while self._next is not None:
            left.append(self._next[0])
            self._next = next(self._rows, None)
        self._added(left)

    def _take(self, last: int) -> list[Numbered]:
        taken = []
        while self._next is not None and self._next[0] <= last:
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken

    def _added(self, numbers: Sequence[int]) -> None:
        for run in chain.runs(numbers):
            self._found("added", run[0], run[-1], None)

    def _found(self, what: str, first: int, last: int, link: Link | None) -> None:
        _tell(self._result, self._kind, what, first, last, link)


def _revised(
    result: Verification, kind: str, links: Sequence[Link], rows: Iterator[tuple[int, bytes]], after: int
) -> None:
    """Each row must be as the newest link about it says."""
    newest = {link.first_id: link for link in links}
    for number, digest in rows:
        link = newest.pop(number, None)
        if link is not None:
            result.count(kind, 1)
            if canonical.rows_digest([digest]) != link.digest:
                _tell(result, kind, "changed", number, number, link)
        elif after == 0:
            _tell(result, kind, "added", number, number, None)
    for number, link in newest.items():
        _tell(result, kind, "missing", number, number, link)


def _whole(result: Verification, kind: str, links: Sequence[Link], found: tuple[int, int, bytes], after: int) -> None:
    """A small table must be as its newest link says."""
    first, last, digest = found
    result.count(kind, last)
    if not links:
        if last and after == 0:
            _tell(result, kind, "added", first, last, None)
    elif (first, last, digest) != (links[-1].first_id, links[-1].last_id, links[-1].digest):
        where = f"as it was committed (link {links[-1].number})"
        sentence = f"The table {kind} is not {where}: rows were added, changed or removed."
        result.found(kind, "changed", first, last, links[-1].number, sentence)


def _strange(result: Verification, kind: str, links: Sequence[Link]) -> None:
    for link in links:
        sentence = f"Link {link.number} is of a kind '{kind}' that this version of riskloop does not know."
        result.found("links", "broken", link.first_id, link.last_id, link.number, sentence)


def _tell(result: Verification, kind: str, what: str, first: int, last: int, link: Link | None) -> None:
    one, several = _NOUNS.get(kind, (kind, kind))
    alone, together = _WORDS[what]
    where = "" if link is None else f" (link {link.number})"
    sentence = f"{one} {first} {alone}{where}." if first == last else f"{several} {first} to {last} {together}{where}."
    result.found(kind, what, first, last, None if link is None else link.number, sentence)


_NOUNS: Final = {
    "decisions": ("Decision", "Decisions"),
    "segments": ("The segment from decision", "The segments from decisions"),
    "erasures": ("Erasure", "Erasures"),
    "outcomes": ("Outcome", "Outcomes"),
    "models": ("Model version", "Model versions"),
    "promotions": ("Promotion", "Promotions"),
    "gate_tries": ("Try of the gate", "Tries of the gate"),
    "case_events": ("Step of a case", "Steps of cases"),
    "case_notes": ("Note on a case", "Notes on cases"),
    "audit": ("Audit event", "Audit events"),
    "deliveries": ("Delivery", "Deliveries"),
    "archives": ("Entry of the archive", "Entries of the archive"),
    "windows": ("Window", "Windows"),
    "cases": ("Case", "Cases"),
    "probations": ("Probation", "Probations"),
    "shadow_scores": ("Run of shadow scores", "Runs of shadow scores"),
    "keys": ("Key", "Keys"),
    "users": ("User", "Users"),
}
_WORDS: Final = {  # of one row, and of several
    "changed": ("is not what was committed", "are not what was committed"),
    "missing": ("was committed and is gone", "were committed and are gone"),
    "added": (
        "belongs to no commit of riskloop: somebody wrote it",
        "belong to no commit of riskloop: somebody wrote them",
    ),
    "relinked": ("was linked a second time, as another row", "were linked a second time, as other rows"),
}


def _gap(first: int, last: int) -> str:
    return f"Link {first} is gone." if first == last else f"The links {first} to {last} are gone."


def _looked_at(
    connection: Connection, table: Table, links: Sequence[Link], before: int | None, above: int
) -> Iterator[Numbered]:
    """The rows that links are about, and those behind all others; ``before`` is the last one that was linked earlier.

    Rows up to number ``above`` were taken out.

    Numbers that the database gives itself are not in the order of the commits, so links are about some among others.
    """
    if before is None:
        yield from chain.digests(connection, table, chain.key(table) > above if above else None)
        return
    least = max(above, min([before, *(link.first_id - 1 for link in links)]))
    wanted = {number for link in links for number in range(link.first_id, link.last_id + 1)}
    for number, digest in chain.digests(connection, table, chain.key(table) > least):
        if number > before or number in wanted:
            yield number, digest


def _decisions(connection: Connection, before: int | None) -> Iterator[Numbered]:
    """The records of decisions by id; of an erased one with the digest that its personal part had."""
    gone = Gone(connection)
    query = select(*_DECISION).order_by(decisions.c.id).execution_options(yield_per=5000)
    if before is not None:
        query = query.where(decisions.c.id > before)
    with connection.execute(query) as found:
        for row in found:
            yield row[0], record_of(row, gone)
