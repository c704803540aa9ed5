"""The clean-up of a data fault: the decisions that were made on faulty rows, scored again on corrected ones."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from riskloop.cases import Case
from riskloop.core.errors import Conflict, DataError
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings
from riskloop.core.types import Bools, DecisionFrame, Floats, Ints, Json, Rows
from riskloop.data.read import read_rows
from riskloop.scoring.model import Model
from riskloop.store.decisions import DecisionLog
from riskloop.store.windows import Window, Windows

if TYPE_CHECKING:
    import pandas as pd


def faulty_windows(windows: Windows, case: Case) -> list[Window]:
    """The windows of a case that hold faulty rows. Raises Conflict when it has none."""
    found = [window for window in windows.of_case(case.id) if window.quarantined and window.rows]
    if not found:
        raise Conflict(f"Case {case.id} holds no quarantined window, so there are no decisions on faulty rows.")
    return found


def read_corrected(source: Any, schema: Schema, where: str, dialect: DataSettings) -> Rows:
    """The corrected rows of a file or a frame. Raises DataError where they cannot be read, or name no customers."""
    if schema.id is None:
        raise DataError("Without an id column nobody can say which decision a corrected row belongs to.")
    return read_rows(source, schema, target="absent", where=where, dialect=dialect).rows


def rescore(
    log: DecisionLog, windows: Sequence[Window], rows: Rows, model_of: Callable[[int], Model]
) -> "tuple[Json, pd.DataFrame]":
    """The decisions of faulty windows on corrected ``rows``, by the version that made them.

    A customer's rows belong to his decisions in their order. Nothing is decided anew: the log stays as it is. Returns
    a summary and one line for each decision, with the old and the new. Raises DataError for rows of strangers.
    """
    frames = [log.frame(window.span) for window in windows]
    used: dict[str, int] = defaultdict(int)
    paired = [(frame, *_paired(frame, rows, used)) for frame in frames]
    if not any(places.size for _, places, _ in paired):
        raise DataError("The corrected rows are of none of the customers who were decided on in this case.")
    table = _beside([(frame.take(places), rows.features[matched]) for frame, places, matched in paired], model_of)
    decided, changed = sum(len(frame) for frame in frames), table["new_decision"] != table["decision"]
    summary: Json = {
        "decisions": decided,
        "rescored": len(table),
        "changed": int(changed.sum()),
        "approved_wrongly": int((changed & (table["decision"] == "approve")).sum()),
        "declined_wrongly": int((changed & (table["decision"] == "decline")).sum()),
    }
    summary["sentence"] = (
        f"{len(table):,} of {decided:,} decisions were scored again on corrected rows. {summary['changed']:,} turn out "
        f"otherwise: {summary['approved_wrongly']:,} were approved and would be declined, "
        f"{summary['declined_wrongly']:,} were declined and would be approved."
    )
    return summary, table


def _paired(frame: DecisionFrame, rows: Rows, used: dict[str, int]) -> tuple[Ints, Ints]:
    """Which decisions have a corrected row, and which row it is; ``used`` counts the rows of each customer so far."""
    by_customer: dict[str, list[int]] = defaultdict(list)
    for place, customer in enumerate(rows.ids):
        by_customer[customer].append(place)
    places, matched = [], []
    for place, customer in enumerate(frame.customer_ids):
        found = by_customer.get(customer, [])
        if used[customer] < len(found):
            places.append(place)
            matched.append(found[used[customer]])
            used[customer] += 1
    return np.array(places, dtype=np.int64), np.array(matched, dtype=np.int64)


def _beside(parts: list[tuple[DecisionFrame, Floats]], model_of: Callable[[int], Model]) -> "pd.DataFrame":
    import pandas as pd

    tables = []
    for frame, features in parts:
        probabilities, thresholds = np.zeros(len(frame)), np.zeros(len(frame))
        for version in np.unique(frame.model_versions).tolist():
            model, of = model_of(version), frame.model_versions == version
            probabilities[of], thresholds[of] = model.probabilities(features[of]), model.threshold
        declined = ~frame.approved
        table = {
            "decision_id": frame.ids,
            "customer_id": list(frame.customer_ids),
            "model_version": frame.model_versions,
            "probability": frame.probabilities,
            "decision": _words(declined),
            "new_probability": probabilities,
            "new_decision": _words(probabilities >= thresholds),
        }
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def _words(declined: Bools) -> Any:
    return np.where(declined, "decline", "approve")
