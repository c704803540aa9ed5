"""`portfolio.frames`: what is on record as tables, for pandas, Arrow and whatever reads the Arrow C stream."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import select

from riskloop.core.errors import NotFound
from riskloop.core.types import Finding, from_micros
from riskloop.results import TableResult
from riskloop.store import audit
from riskloop.store.home import Home
from riskloop.store.ledger import current_user
from riskloop.store.listing import Place, Sought
from riskloop.store.tables import outcomes
from riskloop.store.windows import Window
from riskloop.web import search

PART: Final = 5_000  # decisions that are read at once
EVERY: Final = 10**9  # windows, cases: more than there ever are


class Frames:
    """The tables of one portfolio; each call reads what is on record now."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def decisions(
        self,
        *,
        customer: str | None = None,
        since: date | str | None = None,
        until: date | str | None = None,
        low: float | None = None,
        high: float | None = None,
        window: int | str | None = None,
        version: int | None = None,
        decision: Literal["approve", "decline"] | None = None,
        outcome: Literal["defaulted", "paid", "unknown"] | None = None,
        grade: Literal["low", "medium", "high", "very_high"] | None = None,
        flag: Literal["yes", "no"] | None = None,
        segment: str | None = None,
        order: Literal["newest", "oldest"] = "oldest",
        limit: int | None = None,
        reasons: bool = False,
    ) -> TableResult:
        """The decisions that are looked for, all of them unless there is a ``limit``.

        The filters are those of the page: ``since`` and ``until`` are days, both included; ``low`` and ``high`` are
        probabilities, both included; ``window`` is its number or its name; ``segment`` is FEATURE=VALUE. With
        ``reasons`` a last column holds each decision's, strongest first, as JSON text in the words of `reasons.texts`,
        however it was scored; None where its features are gone. That they were read is on
        record. Raises DataError for what cannot be asked for, NotFound for a window that is not there.
        """
        asked = {
            "customer": customer, "since": since, "until": until, "window": self._number(window), "version": version,
            "decision": decision, "outcome": outcome, "grade": grade, "flag": flag, "segment": segment, "order": order,
        }  # fmt: skip
        home = self._home
        desk = search.Desk(home.decisions, home.windows, home.schema, home.settings.risk_levels)
        told = {name: str(value) for name, value in asked.items() if value is not None}
        wanted = search.sought(desk, told)
        if low is not None:
            wanted = wanted._replace(low=max(low, wanted.low or 0.0))
        if high is not None:
            wanted = wanted._replace(high=min(high, 1.0 if wanted.high is None else wanted.high))
        document = {"asked": told | {k: str(v) for k, v in (("low", low), ("high", high)) if v is not None}}
        audit.write(home.database, by=current_user(), action="export", subject="decisions", document=document)
        rows = [
            (f.row.id, f.row.customer_id, from_micros(f.row.time), f.row.probability, f.row.is_default,
             f.row.model_version, f.defaulted, f.row.flags)
            for f in _found(desk, wanted, limit)
        ]  # fmt: skip
        names = ("decision_id", "customer_id", "time", "probability", "declined", "model_version", "defaulted", "flags")
        if not reasons:
            return _table("decisions", names, rows)
        why = self._reasons([row[0] for row in rows])
        return _table("decisions", (*names, "reasons"), [(*row, why.get(row[0])) for row in rows])

    def _reasons(self, ids: Sequence[int]) -> dict[int, str]:
        """Why each was decided as it was, as JSON text by id; in the portfolio's words."""
        from riskloop.scoring.model import Model, load_model
        from riskloop.scoring.replay import reasons_of

        home, told = self._home, dict[int, str]()

        @cache
        def model_of(version: int) -> Model:
            return load_model(home.artefact(version), version, spoken=home.settings.spoken)

        known = home.feed.maturity(datetime.now(UTC))
        for start in range(0, len(ids), PART):
            found = home.decisions.chosen(ids[start : start + PART], known)
            each = reasons_of(found, model_of, home.settings.serve.max_reasons)
            told |= {number: msgspec.json.encode(said).decode() for number, said in each.items()}
        return told

    def _number(self, window: int | str | None) -> int | None:
        if not isinstance(window, str):
            return window
        named = [one.id for one in self._windows() if one.name == window]
        if not named:
            raise NotFound(f"There is no window named '{window}'; `riskloop drift` lists them.")
        return named[-1]

    def outcomes(self) -> TableResult:
        """Every outcome that was handed in, in order; a later one about the same decision corrects an earlier one."""
        names = ("id", "decision_id", "defaulted", "known_at", "recorded_at")
        query = select(*(outcomes.c[name] for name in names)).order_by(outcomes.c.id)
        with self._home.database.read() as connection:
            rows = [
                (row.id, row.decision_id, bool(row.defaulted), from_micros(row.known_at), from_micros(row.recorded_at))
                for row in connection.execute(query)
            ]
        return _table("outcomes", names, rows)

    def windows(self) -> TableResult:
        """The closed windows, oldest first."""
        names = (
            "id", "name", "first_time", "end_time", "decisions", "model_version", "diagnosis", "confirmed", "action",
            "mature", "quarantined", "case", "sentence",
        )  # fmt: skip
        rows = [
            (w.id, w.name, w.first_time, w.end_time, w.rows, w.model_version, w.diagnosis.value, w.confirmed,
             w.action.value, w.matured_at is not None, w.quarantined, w.case_id, w.sentence)
            for w in self._windows()
        ]  # fmt: skip
        return _table("windows", names, rows)

    def findings(self, window: int | str | None = None) -> TableResult:
        """The findings of every window, or of one: a check about a subject, with its statistic and verdict."""
        names = (
            "window_id", "name", "check", "subject", "severity", "statistic", "critical", "rows", "reference_rows",
            "sentence",
        )  # fmt: skip
        wanted = self._number(window)
        rows = [
            (one.id, one.name, *_finding(found))
            for one in self._windows()
            if wanted in (None, one.id)
            for found in self._home.windows.findings(one.id)
        ]
        return _table("findings", names, rows)

    def cases(self) -> TableResult:
        """Every case, oldest first."""
        names = (
            "id", "diagnosis", "state", "open", "unresolved", "window_id", "challenger", "tries", "opened_at",
            "closed_at", "closed_by", "sentence",
        )  # fmt: skip
        rows = [
            (c.id, c.diagnosis.value, c.state.value, c.is_open, c.unresolved, c.window_id, c.challenger, c.tries,
             c.opened_at, c.closed_at, c.closed_by, c.sentence)
            for c in reversed(self._home.cases.latest(EVERY))
        ]  # fmt: skip
        return _table("cases", names, rows)

    def models(self) -> TableResult:
        """Every version, oldest first."""
        names = ("version", "champion", "learner", "origin", "auc", "created_at", "parent", "case", "sha256")
        champion = self._home.ledger.champion()
        rows = [
            (m.version, champion is not None and champion.version == m.version, m.learner, m.origin, m.auc,
             m.created_at, m.parent, m.case_id, m.sha256)
            for m in self._home.ledger.models()
        ]  # fmt: skip
        return _table("models", names, rows)

    def _windows(self) -> list[Window]:
        return self._home.windows.latest(EVERY)


def _finding(found: Finding) -> tuple[Any, ...]:
    sizes = (found.n, found.m)
    return (found.check, found.subject, found.severity.value, found.statistic, found.critical, *sizes, found.sentence)


def _found(desk: search.Desk, wanted: Sought, limit: int | None) -> Iterator[search.Found]:
    """Part by part, so that the database is never asked for all at once."""
    after: Place | None = None
    left = limit
    while left is None or left > 0:
        rows, after = search.part(desk, wanted, after, PART if left is None else min(PART, left))
        yield from rows
        left = None if left is None else left - len(rows)
        if after is None:
            return


def _table(of: str, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> TableResult:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    return TableResult(of, dict(zip(names, columns, strict=True)))
