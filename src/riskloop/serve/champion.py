"""The model that serves now: the version, its decoder, and how its numbers become an answer."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec
import numpy as np

from riskloop.core.schema import Schema
from riskloop.core.types import Floats, Ints, Reason, from_micros
from riskloop.scoring.decoder import Decoder
from riskloop.scoring.model import Model

Explain = Literal["none", "default", "all"]  # which decisions get reasons


class Answer(msgspec.Struct, omit_defaults=True, gc=False):
    """What `POST /predict` answers; one element of what `POST /predict/batch` answers."""

    decision_id: str
    customer_id: str | None
    default: bool
    probability: float
    risk_level: str
    threshold: float
    model_version: int
    reasons: list[Reason]
    scored_at: str
    flags: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET  # only when there is something to flag


@dataclass(frozen=True)
class Champion:
    """One loaded model. Replaced as a whole; requests in flight keep the one that they began with."""

    seq: int  # of the promotion that made it champion; 0 for a model loaded to explain old decisions
    model: Model
    decoder: Decoder
    max_reasons: int
    exploration: float = 0.0  # share of the declined that is approved at random

    @property
    def version(self) -> int:
        """The model version."""
        return self.model.version

    @property
    def schema(self) -> Schema:
        """The schema that the model was trained with."""
        return self.model.schema

    def matrix(self, rows: bytes) -> Floats:
        """Packed rows as the (n, k) matrix that the model reads."""
        return np.frombuffer(rows, dtype="<f8").reshape(-1, len(self.schema))

    def reasons(self, features: Floats, chosen: Ints) -> dict[int, list[Reason]]:
        """The strongest contributions of the chosen rows, by row."""
        if chosen.size == 0 or self.max_reasons == 0:
            return {}
        rows = features[chosen]
        contributions = self.model.contributions(rows)
        return {
            int(position): self.model.reasons(row, contribution, self.max_reasons)
            for position, row, contribution in zip(chosen, rows, contributions, strict=True)
        }


def moment_text(micros: int) -> str:
    """``2025-03-31T09:30:00.123456Z``"""
    return iso(from_micros(micros))


def iso(moment: datetime) -> str:
    """A UTC datetime with Z."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
