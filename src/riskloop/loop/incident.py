"""The clean-up of a data fault: the decisions that were made on faulty rows, scored again on corrected ones."""

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from riskloop.cases import Case
from riskloop.core.errors import Conflict, DataError
from riskloop.core.types import Bools, DecisionFrame, Floats, Ints, Json, Rows
from riskloop.data.read import read_rows
from riskloop.scoring.model import load_model
from riskloop.store import audit
from riskloop.store.home import Home
from riskloop.store.windows import Window, Windows

if TYPE_CHECKING:
    import pandas as pd


def faulty_windows(windows: Windows, case: Case) -> list[Window]:
    """The windows of a case that hold faulty rows. Raises Conflict when it has none."""
    found = [window for window in windows.of_case(case.id) if window.quarantined and window.rows]
    if not found:
        raise Conflict(f"Case {case.id} holds no quarantined window, so there are no decisions on faulty rows.")
    return found


def rescore(home: Home, case: Case, source: Any, where: str, *, by: str, now: datetime) -> "tuple[Json, pd.DataFrame]":
    """The decisions of a case's faulty windows on corrected rows, by the version that made them.

    ``source`` is a file or a frame with the customers' ids; a customer's rows belong to his decisions in their order.
    Nothing is decided anew: the log stays as it is, and what the comparison found is on record. Returns a summary and
    one line for each decision, with the old and the new. Raises DataError for rows of none of these customers.
    """
    schema = home.schema
    if schema.id is None:
        raise DataError("Without an id column nobody can say which decision a corrected row belongs to.")
    windows = faulty_windows(home.windows, case)
    rows = read_rows(source, schema, target="absent", where=where, dialect=home.settings.data).rows
    frames = [home.decisions.frame(window.span) for window in windows]
    used: dict[str, int] = defaultdict(int)
    paired = [(frame, *_paired(frame, rows, used)) for frame in frames]
    if not any(places.size for _, places, _ in paired):
        raise DataError(f"{where} holds none of the customers who were decided on in case {case.id}.")
    table = _beside(home, [(frame.take(places), rows.features[matched]) for frame, places, matched in paired])
    decided, changed = sum(len(frame) for frame in frames), table["new_decision"] != table["decision"]
    summary: Json = {
        "case": case.id,
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
    with home.database.write() as connection:
        audit.record(connection, at=now, by=by, action="rescore", subject=f"case {case.id}", document=summary)
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


def _beside(home: Home, parts: list[tuple[DecisionFrame, Floats]]) -> "pd.DataFrame":
    import pandas as pd

    tables = []
    for frame, features in parts:
        probabilities, thresholds = np.zeros(len(frame)), np.zeros(len(frame))
        for version in np.unique(frame.model_versions).tolist():
            model, of = load_model(home.artefact(version), version), frame.model_versions == version
            probabilities[of], thresholds[of] = model.probabilities(features[of]), model.threshold
        declined = ~frame.approved
        table = {
            "decision_id": frame.ids,
            home.schema.id: list(frame.customer_ids),
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
