"""What is made of a foreign file: how it scores here, and how its own library does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from riskloop.core.types import Floats

Kind = Literal["lightgbm", "xgboost", "skops", "scorecard"]
ReasonsBy = Literal["shapley", "points", "occlusion"]

KINDS: Final[tuple[Kind, ...]] = ("lightgbm", "xgboost", "skops", "scorecard")


@dataclass(frozen=True)
class ForeignModel:
    """A model of somebody else's, over the model's matrix of a portfolio (`Schema.model_matrix`)."""

    kind: Kind
    learner: str  # as the ledger calls it
    model_file: str
    files: Mapping[str, bytes]  # of the artefact: the model file, and what scoring needs beside it
    score: Callable[[Floats], Floats]  # matrix (n, m) to log-odds (n,), by the file's own arithmetic
    own: str  # whose arithmetic that is
    reasons: ReasonsBy
    libraries: Mapping[str, str]  # versions that scored
    printed: Callable[[Floats], Floats] | None = None  # what the library itself says, where it rounds: probabilities
    points: Callable[[Floats], Floats] | None = None  # log-odds (n,) to a score, where the file has one
    notes: tuple[str, ...] = ()
