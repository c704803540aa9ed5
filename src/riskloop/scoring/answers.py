"""Logged decisions as they are answered: one JSON object each, or a table with a column for each field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import APPENDED
from riskloop.core.types import Bools, Decision, Decisions, Floats, Json, Reason, from_micros, iso, to_micros
from riskloop.scoring.decide import reasons
from riskloop.scoring.model import LEVELS, Model, RiskLevel

if TYPE_CHECKING:
    import pyarrow as pa


_FLAGS: Final = (
    "Missing values and levels never seen, and `explored` for a customer who was approved at random although the "
    "probability reaches the threshold; absent when there is nothing to flag."
)


class Answer(msgspec.Struct, omit_defaults=True, gc=False):
    """What `POST /predict` answers; one element of what `POST /predict/batch` answers."""

    decision_id: str
    customer_id: str | None
    default: bool
    probability: float
    risk_level: RiskLevel
    threshold: float
    model_version: int
    reasons: list[Reason]
    scored_at: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
    flags: Annotated[msgspec.Raw, msgspec.Meta(description=_FLAGS, extra_json_schema={"type": "object"})] | (
        msgspec.UnsetType
    ) = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Answers:
    """Logged decisions of one model, in the order of their rows."""

    model: Model
    decisions: Decisions
    first_id: int
    reasons: Mapping[int, list[Reason]] = field(default_factory=dict)  # by row

    def each(self) -> Iterator[Answer]:
        """One answer a row."""
        decisions, model, scored_at = self.decisions, self.model, iso(from_micros(self.decisions.scored_at))
        flags: Sequence[str | None] = decisions.flags or [None] * len(decisions)
        columns = decisions.customer_ids, decisions.defaults.tolist(), decisions.probabilities.tolist(), flags
        for i, (customer, default, probability, flag) in enumerate(zip(*columns, strict=True)):
            yield Answer(
                str(self.first_id + i),
                customer or None,
                default,
                probability,
                model.risk_level(probability),
                model.threshold,
                decisions.model_version,
                self.reasons.get(i, []),
                scored_at,
                msgspec.Raw(flag.encode()) if flag is not None else msgspec.UNSET,
            )

    def table(self, *, with_reasons: bool = False) -> "pa.RecordBatch":
        """One column a field; flags, and reasons if asked for, as JSON text."""
        import pyarrow as pa

        decisions, n = self.decisions, len(self.decisions)
        told = told_columns(self.model, decisions.probabilities, decisions.defaults, self.first_id, decisions.scored_at)
        columns: dict[str, Any] = {
            "decision_id": told["decision_id"],
            "customer_id": pa.array([c or None for c in decisions.customer_ids], pa.string()),
            **{name: told[name] for name in told if name != "decision_id"},
            "flags": pa.nulls(n, pa.string()) if decisions.flags is None else pa.array(decisions.flags, pa.string()),
        }
        if with_reasons:
            encode = msgspec.json.encode
            columns["reasons"] = pa.array([encode(self.reasons.get(i, [])).decode() for i in range(n)], pa.string())
        return pa.RecordBatch.from_pydict(columns)


def told_columns(
    model: Model, probabilities: Floats, defaults: Bools, first_id: int, scored_at: int
) -> "dict[str, pa.Array]":
    """What is told of decisions with consecutive ids, a column a field; ``probabilities`` and ``defaults`` (n,)."""
    import pyarrow as pa

    n = len(probabilities)
    levels = pa.array(model.level_codes(probabilities).astype(np.int8))
    return {
        "decision_id": pa.array(np.arange(first_id, first_id + n)).cast(pa.string()),
        "default": pa.array(defaults),
        "probability": pa.array(probabilities),
        "risk_level": pa.array(LEVELS, pa.string()).take(levels),
        "threshold": pa.repeat(pa.scalar(model.threshold, pa.float64()), n),
        "model_version": pa.repeat(pa.scalar(model.version, pa.int64()), n),
        "scored_at": pa.repeat(iso(from_micros(scored_at)), n),
    }


def refuse_taken(names: Sequence[str], where: str) -> None:
    """Raise DataError when a column has the name of one that a decision appends: nothing is overwritten."""
    taken = [name for name in (*APPENDED, "flags") if name in names]
    if taken:
        raise DataError(
            f"{where} has a column '{taken[0]}' already, which is where the predictions go; rename or remove it."
        )


def described(model: Model, decision: Decision, most: int) -> Json:
    """A logged decision as it was answered, with its time, its features, and ``most`` reasons, declined or not."""
    decisions = Decisions(
        customer_ids=[decision.customer_id],
        times=[to_micros(decision.time)],
        scored_at=to_micros(decision.scored_at),
        model_version=decision.model_version,
        probabilities=np.array([decision.probability]),
        defaults=np.array([decision.default]),
        features=decision.features.reshape(1, -1),
    )
    (answer,) = Answers(model, decisions, decision.decision_id, reasons(model, decisions, "all", most)).each()
    document: Json = msgspec.to_builtins(answer)
    return {
        **document,
        "time": iso(decision.time, "auto"),
        "features": model.schema.decode(decision.features),
        "flags": decision.flags,
    }
