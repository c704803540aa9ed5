"""Reading what happened: a file or frame of outcomes, by decision or by customer."""

from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from riskloop.core.errors import DataError, MalformedBody, NotFound
from riskloop.core.schema import Schema
from riskloop.core.types import Problem
from riskloop.store.outcomes import Outcome

if TYPE_CHECKING:
    import pandas as pd

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


def read_outcomes(
    source: "Path | str | IO[bytes] | pd.DataFrame", schema: Schema, *, default_known_at: datetime
) -> list[Outcome]:
    """Outcomes of a CSV or Parquet file, an open CSV, or a frame.

    Needs a column `decision_id`, or the schema's id column (`customer_id` is understood too); the schema's target
    or `default` with 0/1, true/false or yes/no; and may have `known_at` (ISO 8601, UTC when it names no zone).
    Other columns are not read. Raises DataError naming rows, columns and values; then nothing is returned.
    """
    frame = _frame(source)
    if not len(frame):
        raise DataError("The outcomes hold no rows.")
    names = [name for name in (schema.id, "customer_id") if name]
    decision = _column(frame, ["decision_id"])
    customer = _column(frame, names)
    defaulted = _column(frame, [schema.target, "default"])
    if defaulted is None or (decision is None and customer is None):
        needed = f"'decision_id' or '{names[0]}'" if defaulted is not None else f"'{schema.target}' or 'default'"
        raise DataError(
            f"The outcomes need a column {needed}; they have {', '.join(map(str, frame.columns))}.",
            [Problem(needed, "is missing")],
        )
    known = _column(frame, ["known_at"])
    problems: list[Problem] = []
    found = []
    for position in range(len(frame)):
        outcome = _outcome(position, decision, customer, defaulted, known, default_known_at, problems)
        if outcome is not None:
            found.append(outcome)
    if problems:
        first = problems[0]
        raise DataError(
            f"The outcomes have {len(problems)} bad cells; the first: {first.field} {first.problem}. "
            "Nothing was recorded.",
            problems[:SHOWN],
        )
    return found


def _frame(source: "Path | str | IO[bytes] | pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source.astype(object).where(source.notna(), "").astype(str)
    try:
        if isinstance(source, str | Path) and Path(source).suffix == ".parquet":
            return _frame(pd.read_parquet(source))
        return pd.read_csv(source, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise NotFound(f"The file {source} does not exist.") from None
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise MalformedBody(f"The outcomes cannot be read as a table: {error}.") from None


def _column(frame: "pd.DataFrame", names: list[str]) -> list[str] | None:
    for name in names:
        if name in frame.columns:
            return [str(value).strip() for value in frame[name].tolist()]
    return None


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
    return int(digits) if digits.isdecimal() else None


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
