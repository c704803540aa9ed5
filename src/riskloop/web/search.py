"""The search for decisions: a page of them, and the whole as a file. No page reads more than a fixed number of rows."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlencode

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.settings import RiskLevelSettings
from riskloop.core.types import Json, from_micros, iso, to_micros
from riskloop.store import listing
from riskloop.store.decisions import DecisionLog
from riskloop.store.listing import Happened, ListedDecision, Place, Sought, SoughtLevel
from riskloop.store.windows import Window, Windows
from riskloop.web.queries import window_of
from riskloop.web.words import OUTCOMES, RISK_LEVELS, decided

SIZE: Final = 50
WINDOWS: Final = 60  # that can be chosen from
LEVELS: Final = 60  # of a category, for a choice
DAY: Final = 86_400_000_000  # microseconds
PART: Final = 5_000  # decisions of a file that are in memory at once
ADDRESS: Final = "/dashboard/decisions"
DECIDED: Final = ("approve", "decline")
FIELDS: Final = (
    "customer",
    "since",
    "until",
    "low",
    "high",
    "window",
    "version",
    "decision",
    "outcome",
    "grade",
    "flag",
    "segment",
    "order",
)
COLUMNS: Final = ("decision_id", "customer_id", "time", "probability", "decision", "model_version", "outcome", "flags")
T = TypeVar("T")
Format = Literal["csv", "parquet"]


@dataclass(frozen=True, slots=True)
class Found:
    """A decision in the list, with what became of it."""

    row: ListedDecision
    defaulted: bool | None  # None: not known

    @property
    def outcome(self) -> str:
        """In words; empty where it is not known."""
        return "" if self.defaulted is None else OUTCOMES["defaulted" if self.defaulted else "paid"]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a search needs of the portfolio."""

    log: DecisionLog
    windows: Windows
    schema: Schema
    grades: RiskLevelSettings


def sought(desk: Desk, asked: Mapping[str, str]) -> Sought:
    """What the store looks for, from the fields of the form; DataError for what cannot be read."""
    low, high = _pds(desk.grades, asked)
    first, end = _day(asked, "since"), _day(asked, "until")
    wanted = Sought(
        customer=asked.get("customer", "").strip() or None,
        start=None if first is None else _micros(first),
        end=None if end is None else _micros(end) + DAY,
        low=low,
        high=high,
        version=_number(asked, "version"),
        declined=_one_of(asked, "decision", {"approve": False, "decline": True}),
        flagged=_one_of(asked, "flag", {"yes": True, "no": False}),
        outcome=_happened(asked),
        level=_level(desk.schema, asked),
        oldest=_one_of(asked, "order", {"newest": False, "oldest": True}) or False,
    )
    number = _number(asked, "window")
    return wanted if number is None else _within(wanted, window_of(desk.windows, number))


def _within(wanted: Sought, window: Window) -> Sought:
    """The search in one window, which has ids or times."""
    span = window.span
    starts = [value for value in (wanted.start, span.start) if value is not None]
    ends = [value for value in (wanted.end, span.end) if value is not None]
    return wanted._replace(
        start=max(starts, default=None), end=min(ends, default=None), first_id=span.first_id, last_id=span.last_id
    )


def _pds(grades: RiskLevelSettings, asked: Mapping[str, str]) -> tuple[float | None, float | None]:
    """The range of PDs, both ends included, from the percents and the grade that are asked for."""
    low, high = _percent(asked, "low"), _percent(asked, "high")
    ends = dict(zip(RISK_LEVELS, ((0.0, grades.low), (grades.low, grades.medium), (grades.medium, grades.high)),
                    strict=False))  # fmt: skip
    grade = _one_of(asked, "grade", {**ends, "very_high": (grades.high, 2.0)})
    if grade is None:
        return low, high
    top = float(np.nextafter(grade[1], 0.0))  # a grade's upper bound belongs to the next one
    return max(low or 0.0, grade[0]), top if high is None else min(high, top)


def _happened(asked: Mapping[str, str]) -> Happened | None:
    known: dict[str, Happened] = {"defaulted": "defaulted", "paid": "paid", "unknown": "unknown"}
    return _one_of(asked, "outcome", known)


def _level(schema: Schema, asked: Mapping[str, str]) -> SoughtLevel | None:
    text = asked.get("segment", "").strip()
    if not text:
        return None
    name, _, value = text.partition("=")
    if name not in schema.positions or value not in schema.feature(name).codes:
        raise DataError(f"'{text[:80]}' is no segment; write it as FEATURE=VALUE with a value of a category.")
    return SoughtLevel(schema.positions[name], float(schema.feature(name).codes[value]))


def _one_of(asked: Mapping[str, str], field: str, known: Mapping[str, T]) -> T | None:
    text = asked.get(field, "").strip()
    if text and text not in known:
        raise DataError(f"'{text[:80]}' cannot be asked for as {field}; there are {', '.join(known)}.")
    return known[text] if text else None


def _number(asked: Mapping[str, str], field: str) -> int | None:
    text = asked.get(field, "").strip()
    if text and re.fullmatch(r"\d{1,9}", text) is None:
        raise DataError(f"'{text[:40]}' is not the number of a {field}; it is a whole number.")
    return int(text) if text else None


def _day(asked: Mapping[str, str], field: str) -> date | None:
    text = asked.get(field, "").strip()
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise DataError(f"'{text}' is not a day; write it as 2025-05-31.") from None


def _percent(asked: Mapping[str, str], field: str) -> float | None:
    """A probability from percent; None where none is asked for."""
    text = asked.get(field, "").strip().rstrip("%")
    try:
        value = float(text) if text else None
    except ValueError:
        raise DataError(f"'{text}' is not a probability; write it in percent, as 12.5.") from None
    if value is not None and not 0.0 <= value <= 100.0:
        raise DataError(f"A probability lies between 0 and 100 percent, not at {text}.")
    return None if value is None else value / 100.0


def _micros(day: date) -> int:
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _place(text: str | None) -> Place | None:
    """Where the page before ended, from a link; DataError for anything else."""
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,18})\.(-?\d{1,18})", text)
    if found is None:
        raise DataError(f"'{text}' is not a position in the list of decisions; search again.")
    return Place(int(found[1]), int(found[2]))


# --------------------------------------------------------------------------- a page


def search(desk: Desk, asked: Mapping[str, str]) -> Json:
    """A page of decisions after the key in ``after``."""
    rows, after, stopped = desk.log.page(sought(desk, asked), _place(asked.get("after")), SIZE)
    fields = fields_of(asked)
    return {
        "found": _with_outcomes(desk.log, rows),
        "asked": asked,
        "searched": bool(fields),
        "stopped": stopped,
        "looked_at": listing.LOOKED_AT,
        "first": _address(fields) if asked.get("after") else None,
        "older": None if after is None else _address({**fields, "after": f"{after.id}.{after.time}"}),
        "exports": {name: _address({**fields, "format": name}, "/export") for name in ("csv", "parquet")},
        "total": desk.log.last_id(),
        "from_micros": from_micros,
        "choices": _choices(desk),
    }


def fields_of(asked: Mapping[str, str]) -> dict[str, str]:
    """What is asked for, without what is empty or of no meaning."""
    return {name: asked[name] for name in FIELDS if asked.get(name)}


def _address(fields: Mapping[str, str], under: str = "") -> str:
    return f"{ADDRESS}{under}?{urlencode(fields)}" if fields else f"{ADDRESS}{under}"


def _choices(desk: Desk) -> Json:
    """What can be chosen in the form: value and title, by field."""
    segments = [
        (feature.name, [(f"{feature.name}={level}", level) for level in feature.categories[:LEVELS]])
        for feature in desk.schema.features
        if feature.kind == "category"
    ]
    return {
        "window": [(str(window.id), window.name) for window in reversed(desk.windows.latest(WINDOWS))],
        "decision": [(name, decided(name == "decline")) for name in DECIDED],
        "outcome": [*OUTCOMES.items()],
        "grade": [*RISK_LEVELS.items()],
        "flag": [("yes", "flagged"), ("no", "not flagged")],
        "order": [("newest", "newest first"), ("oldest", "oldest first")],
        "segments": segments,
    }


def _with_outcomes(log: DecisionLog, rows: list[ListedDecision]) -> list[Found]:
    happened = log.happened([row.id for row in rows])
    return [Found(row, happened.get(row.id)) for row in rows]


# --------------------------------------------------------------------------- the whole as a file


def format_of(asked: Mapping[str, str]) -> Format:
    """The kind of file that is asked for; DataError for another."""
    known: dict[str, Format] = {"csv": "csv", "parquet": "parquet"}
    return _one_of(asked, "format", known) or "csv"


def export(desk: Desk, asked: Mapping[str, str], form: Format) -> Iterator[bytes]:
    """All decisions that are looked for, as the bytes of a CSV or Parquet file, part by part."""
    wanted = sought(desk, asked)  # refused before the first byte
    return _csv(_parts(desk.log, wanted)) if form == "csv" else _parquet(_parts(desk.log, wanted))


def part(desk: Desk, wanted: Sought, after: Place | None, size: int) -> tuple[list[Found], Place | None]:
    """The next decisions after a place with their outcomes, and where the part after them begins."""
    rows, beyond, _ = desk.log.page(wanted, after, size)
    return _with_outcomes(desk.log, rows), beyond


def _parts(log: DecisionLog, wanted: Sought) -> Iterator[list[tuple[Any, ...]]]:
    after: Place | None = None
    while True:
        rows, after, _ = log.page(wanted, after, PART)
        yield [_cells(found) for found in _with_outcomes(log, rows)]
        if after is None:
            return


def _cells(found: Found) -> tuple[Any, ...]:
    row = found.row
    at = iso(from_micros(row.time))
    declined = decided(row.is_default)
    return (row.id, row.customer_id, at, row.probability, declined, row.model_version, found.outcome, row.flags or "")


def _csv(parts: Iterator[list[tuple[Any, ...]]]) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rows in parts:
        writer.writerows(rows)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _parquet(parts: Iterator[list[tuple[Any, ...]]]) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = (pa.int64(), pa.string(), pa.string(), pa.float64(), pa.string(), pa.int32(), pa.string(), pa.string())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    out = io.BytesIO()
    with pq.ParquetWriter(out, schema) as writer:
        for rows in parts:
            columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in COLUMNS]
            writer.write_table(pa.table(columns, schema=schema))
    yield out.getvalue()
