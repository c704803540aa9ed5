"""Reading what happened: a file or frame of outcomes, by decision or by customer."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.types import Problem, as_utc
from riskloop.data.read import Source, table_of
from riskloop.store.outcomes import Outcome

VALUES: Final = {
    "1": True,
    "0": False,
    "1.0": True,
    "0.0": False,
    "true": True,
    "false": False,
    "yes": True,
    "no": False,
}
SHOWN: Final = 10  # problems named one by one


def read_watermark(given: str | date | datetime) -> datetime:
    """The moment before which every outcome is reported; a date means that day included. UTC where no zone is named.

    Raises DataError for a text that is neither date nor time.
    """
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
        day = len(given) <= len("2025-06-30") if isinstance(given, str) else not isinstance(given, datetime)
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        return as_utc(moment) + (timedelta(days=1) if day else timedelta(0))
    except ValueError:
        raise DataError(
            f"The outcomes are complete until '{given}', which is no date; write 2025-06-30 or 2025-06-30T12:00Z.",
            [Problem("complete_until", "is no date", str(given))],
        ) from None


def read_outcomes(source: Source, schema: Schema, *, default_known_at: datetime, empty: bool = False) -> list[Outcome]:
    """Outcomes of a CSV or Parquet file, an open CSV, or a frame.

    Needs a column `decision_id`, or the schema's id column (`customer_id` is understood too); the schema's target
    or `default` with 0/1, true/false or yes/no; and may have `known_at` (ISO 8601, UTC when it names no zone).
    Other columns are not read. Raises DataError naming rows, columns and values; then nothing is returned. Two rows
    that contradict each other at the same moment are refused; of later knowledge the latest counts. ``empty``: no rows
    is no error, as where a watermark says that nothing more will come.
    """
    columns = _columns(source, empty)
    if empty and not any(columns.values()):
        return []
    names = [name for name in (schema.id, "customer_id") if name]
    decision = _first(columns, ["decision_id"])
    customer = _first(columns, names)
    defaulted = _first(columns, [schema.target, "default"])
    if defaulted is None or (decision is None and customer is None):
        wanted = ["decision_id", names[0]] if defaulted is not None else [schema.target, "default"]
        needed = " or ".join(f"'{name}'" for name in dict.fromkeys(wanted))
        raise DataError(
            f"The outcomes need a column {needed}; they have {', '.join(columns)}.", [Problem(needed, "is missing")]
        )
    known = _first(columns, ["known_at"])
    problems: list[Problem] = []
    found: list[Outcome] = []
    said: dict[tuple[int | str | None, datetime], tuple[bool, int]] = {}
    for position in range(len(defaulted)):
        outcome = _outcome(position, decision, customer, defaulted, known, default_known_at, problems)
        if outcome is None:
            continue
        about = outcome.customer_id if outcome.decision_id is None else outcome.decision_id
        value, row = said.setdefault((about, outcome.known_at), (outcome.defaulted, position + 1))
        if value != outcome.defaulted:
            problems.append(Problem(f"row {position + 1}", f"contradicts row {row}", str(about)))
        found.append(outcome)
    if problems:
        first, more = problems[0], f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise DataError(
            f"The outcomes cannot be used: {first.field} {first.problem}{more}. Nothing was recorded.",
            problems[:SHOWN],
        )
    return found


def _columns(source: Source, empty: bool) -> dict[str, list[str]]:
    """Every column as text without white space around it, a missing value as empty text."""
    table = table_of(source, where="The outcomes")
    if not table.num_rows and not empty:
        raise DataError("The outcomes hold no rows.")
    return {
        name: ["" if value is None else str(value).strip() for value in column.to_pylist()]
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _first(columns: Mapping[str, list[str]], names: list[str]) -> list[str] | None:
    return next((columns[name] for name in names if name in columns), None)


def _outcome(
    position: int,
    decision: list[str] | None,
    customer: list[str] | None,
    defaulted: list[str],
    known: list[str] | None,
    default_known_at: datetime,
    problems: list[Problem],
) -> Outcome | None:
    row = f"row {position + 1}"
    before = len(problems)
    value = VALUES.get(defaulted[position].lower())
    if value is None:
        problems.append(Problem(row, "needs 0 or 1 as its outcome", defaulted[position]))
    number = _number(decision[position]) if decision is not None else None
    if decision is not None and number is None:
        problems.append(Problem(row, "has a decision_id that is not a whole number", decision[position]))
    if decision is None and customer is not None and not customer[position]:
        problems.append(Problem(row, "names no customer", ""))
    at = default_known_at
    if known is not None and known[position]:
        moment = _moment(known[position])
        if moment is None or moment > default_known_at:
            problems.append(
                Problem(row, "needs an ISO 8601 time that is not in the future as known_at", known[position])
            )
        else:
            at = moment
    if len(problems) > before or value is None:
        return None
    return Outcome(value, at, number, None if customer is None or number is not None else customer[position])


def _number(text: str) -> int | None:
    digits = text.removesuffix(".0")
    return int(digits) if digits.isdecimal() and len(digits) < 19 else None  # 18 digits always fit into 64 bits


def _moment(text: str) -> datetime | None:
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError:
        return None
