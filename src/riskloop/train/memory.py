"""What learning holds in memory, and what is said before there is not enough of it."""

from typing import Final

from riskloop.core.errors import DataError
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.data.room import room
from riskloop.train.fitted import Sample
from riskloop.train.prepare import MOST_LEVELS

DOUBLE: Final = 8  # bytes
# Matrices of prepared columns that one fit holds: the prepared one, beside it the bins of trees, or the evidence of a
# scorecard and what its regression makes of that (`python -m benchmarks.files --train`).
OF_TREES: Final = 1.5
OF_SCORECARD: Final = 3.0
NAMED: Final = 100  # bytes of a row's id, and of its dates and places
MARGIN: Final = 0.8  # of what is free, in an advice


def row_bytes(schema: Schema, settings: Settings) -> int:
    """Bytes that learning from one row takes, one fit at a time: its features, the model's columns, and a fit."""
    return NAMED + round(DOUBLE * (len(schema) + len(schema.model_columns)) + _fit_bytes(schema, settings))


def at_once(sample: Sample, settings: Settings, most: int) -> int:
    """How many fits may run side by side, ``most`` or as many as there is memory for; one in any case."""
    free = room()
    if free is None:
        return most
    return max(1, min(most, int(free / max(1.0, len(sample.y) * _fit_bytes(sample.schema, settings)))))


def too_many(where: str, rows: int, each: int, free: int) -> DataError:
    """The error for a history of so many ``rows`` of ``each`` bytes."""
    advice = int(MARGIN * free / each)
    step = 10 ** max(0, len(str(advice)) - 2)
    sample = (
        f"Set max_rows = {advice // step * step} in [train] of riskloop.toml to learn from a sample of its customers, "
        if advice >= 1000
        else "Leave columns out ('ignore' of [portfolio]), "
    )
    return DataError(
        f"{where} has {rows:,} rows, and learning from all of them takes about {_size(rows * each)} of memory; "
        f"{_size(free)} are free here. {sample}or use a machine with more memory."
    )


def _fit_bytes(schema: Schema, settings: Settings) -> float:
    inputs = [schema.features[i] for i in schema.model_columns]
    made = sum(len(f.categories) > MOST_LEVELS or bool(f.special) for f in inputs) + len(settings.prepare)
    card = settings.train.benchmark or "scorecard" in settings.train.learners
    return DOUBLE * (len(inputs) + made) * (OF_SCORECARD if card else OF_TREES)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
