"""What a history can teach: rows whose outcome is final, and who stands behind rows that repeat."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from riskloop.core.schema import Schema
from riskloop.core.settings import duration_text
from riskloop.core.stats import customer_codes
from riskloop.core.types import Rows, from_micros, to_micros

ENOUGH: Final = 20  # rows of each class in a fold without which a history is not cut
LEAST_LEFT: Final = 0.5  # of the rows without which it is not cut either: a window so long is wrong, or a guess
COARSE: Final = 0.5  # share of different rows below which equal ones are chance, not repeats


@dataclass(frozen=True)
class Lessons:
    """The rows to learn from, and what a person has to know of them."""

    rows: Rows
    immature: int  # rows left out
    customers: int
    sentences: Sequence[str]


def lessons(
    rows: Rows, schema: Schema, outcome_window: timedelta, folds: int, complete_until: datetime | None = None
) -> Lessons:
    """The labelled ``rows`` whose outcomes are final, with the same id for rows of the same customer.

    An outcome is final when ``outcome_window`` has passed before ``complete_until``, or before the last decision of
    the history: nobody can have seen more. Learned from, younger rows would teach that the latest customers are good,
    because only their early defaults are known.
    """
    rows, repeats = _recognised(rows, schema)
    rows, immature, sentence = _matured(rows, outcome_window, folds, complete_until)
    customers = int(np.unique(customer_codes(rows.ids)).size)
    said = [sentence] if sentence else []
    if repeats:
        said.append(repeats)
    elif customers < len(rows):
        said.append(
            f"{len(rows):,} rows of {customers:,} customers: a customer's rows are tested together and count as one "
            "witness."
        )
    return Lessons(rows, immature, customers, said)


def _matured(
    rows: Rows, outcome_window: timedelta, folds: int, complete_until: datetime | None
) -> tuple[Rows, int, str]:
    if rows.target is None or not rows.times.any():
        return rows, 0, ""
    end = int(rows.times.max()) if complete_until is None else to_micros(complete_until)
    final = rows.times + outcome_window // timedelta(microseconds=1) <= end
    young = int(np.count_nonzero(~final))
    if not young:
        return rows, 0, ""
    day, window = from_micros(end).date(), duration_text(outcome_window)
    defaults = int(rows.target[final].sum())
    told = "complete" if complete_until is not None else "at an end"
    guessed = complete_until is None and final.mean() < LEAST_LEFT
    if guessed or min(defaults, int(final.sum()) - defaults) < ENOUGH * folds:
        sentence = (
            f"{young:,} of {len(rows):,} rows had no final outcome when the history was {told} on {day} "
            f"(outcome_window is {window}), and without them too little is left to learn from: they are kept, and "
            "early defaults may bias the model. Say up to when outcomes are complete (--complete-until), or correct "
            "outcome_window."
        )
        return rows, 0, sentence
    sentence = (
        f"{young:,} rows are left out: their outcome window ({window}) had not passed when the history was {told} "
        f"on {day}. If their outcomes are final, say so with --complete-until DATE."
    )
    return rows.take(final), young, sentence


def _recognised(rows: Rows, schema: Schema) -> tuple[Rows, str]:
    """Without an id, rows that are equal in every column are taken for one customer's, unless equality is chance."""
    if schema.id is not None or not len(rows):
        return rows, ""
    _, first, member = np.unique(
        np.nan_to_num(rows.features, nan=np.inf), axis=0, return_index=True, return_inverse=True
    )
    repeats = len(rows) - first.size
    if not repeats or first.size < COARSE * len(rows):
        return rows, ""
    ids = [rows.ids[i] for i in first[np.ravel(member)].tolist()]
    sentence = (
        f"{repeats:,} of {len(rows):,} rows repeat another row in every feature: they are taken for the same "
        "customer's and tested together. Name the id column if there is one."
    )
    return replace(rows, ids=ids), sentence
