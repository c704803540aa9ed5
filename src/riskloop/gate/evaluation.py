"""What the gate judges: two models' probabilities on the same matured rows, and what is known around them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from riskloop.core.errors import DataError
from riskloop.core.settings import MoneySettings
from riskloop.core.stats import PairedDeLong, PairedLoss, count_customers, paired_delong, paired_log_loss_test
from riskloop.core.types import Floats, Ints, Try, require_utc


@dataclass(frozen=True, slots=True)
class Coverage:
    """For how many matured decisions the outcome is known: declined applicants often have none."""

    approved: int
    approved_known: int
    declined: int
    declined_known: int
    explored: int = 0  # declined by the model, approved all the same to learn from; part of `declined`


@dataclass(frozen=True, slots=True)
class Applicants:
    """Both models on everybody who applied in the tested time, shape (n,): first the evaluation's rows, in their order.

    An approval rate needs no outcome; among those who have one it would be that of the approved.
    """

    champion: Floats  # PDs
    challenger: Floats
    groups: Mapping[str, Sequence[str] | npt.NDArray[np.str_]] = field(default_factory=dict)  # feature → level per row
    customers: Ints | None = None  # a number for each row's customer; None: every row is another customer

    def __post_init__(self) -> None:
        columns: dict[str, Sequence[str] | npt.NDArray[Any]] = {"challenger": self.challenger, **self.groups}
        if self.customers is not None:
            columns["customers"] = self.customers
        _require_length(len(self.champion), "applicants", columns)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Champion and challenger on identical matured rows, shape (n,), that neither was trained on."""

    labels: Floats  # 1.0 default, 0.0 none
    champion: Floats  # PDs
    challenger: Floats  # PDs of the challenger, or of its out-of-fold fits
    champion_threshold: float  # a PD from here on is `default`
    challenger_threshold: float
    kind: Literal["retrain", "recalibrate"] = "retrain"  # recalibrated scores rank alike: log loss decides
    applicants: Applicants | None = None  # None: nobody but the rows above is known
    grade_bounds: tuple[float, ...] = (0.10, 0.25, 0.50)  # PDs between two risk grades, ascending
    latency_ms: float | None = None  # scoring one row with the challenger; None: not measured
    reasons: bool | None = None  # the challenger can name its reasons; None: not tried
    coverage: Coverage | None = None
    weights: Floats | None = None  # applicants behind each row, where explored decisions stand for declined ones
    blocks: Ints | None = None  # the fit that scored each row, where there are several: only within one is compared
    customers: Ints | None = None  # a number for each row's customer; None: every row is another customer
    benchmark: Floats | None = None  # a plain scorecard's scores, fitted as the challenger was; only ranks count

    def __post_init__(self) -> None:
        columns: dict[str, npt.NDArray[Any]] = {"champion": self.champion, "challenger": self.challenger}
        given = {"weights": self.weights, "blocks": self.blocks, "customers": self.customers}
        given["benchmark"] = self.benchmark
        columns |= {name: column for name, column in given.items() if column is not None}
        _require_length(self.labels.shape[0], "labels", columns)

    @property
    def everybody(self) -> Applicants:
        """Whose approval rates are compared."""
        return self.applicants or Applicants(self.champion, self.challenger, customers=self.customers)

    @property
    def defaults(self) -> int:
        """How many customers defaulted; where each comes once, rows."""
        return count_customers(self.customers, self.labels == 1.0)

    @property
    def non_defaults(self) -> int:
        """How many customers have a row without default."""
        return count_customers(self.customers, self.labels == 0.0)

    @property
    def ranking(self) -> PairedDeLong:
        """Both AUCs and the paired test between them."""
        return paired_delong(self.labels, self.champion, self.challenger, self.blocks, self.customers)

    @property
    def log_losses(self) -> PairedLoss:
        """Both log losses and the paired test between them."""
        return paired_log_loss_test(self.labels, self.champion, self.challenger, self.customers)

    @property
    def fingerprint(self) -> str:
        """sha256 over labels and probabilities: the same evidence, tried twice, is one try."""
        digest = hashlib.sha256()
        for column in (self.labels, self.champion, self.challenger):
            digest.update(np.ascontiguousarray(column, dtype="<f8").tobytes())
        return digest.hexdigest()


def _require_length(n: int, what: str, columns: Mapping[str, Sequence[str] | npt.NDArray[Any]]) -> None:
    for name, column in columns.items():
        if len(column) != n:
            raise DataError(f"The gate got {n} {what} and {len(column)} values of '{name}'; give one per row.")


@dataclass(frozen=True, slots=True)
class Context:
    """What the gate has to know beside the rows."""

    now: datetime
    champion: int  # version that serves
    challenger: int  # version that wants to
    learner: str  # of the challenger
    allowed_learners: tuple[str, ...]
    champion_features: tuple[str, ...]  # model inputs, in schema order
    challenger_features: tuple[str, ...]
    tries: tuple[Try, ...] = ()  # earlier ones, of any champion
    promotions: tuple[datetime, ...] = ()  # of the ledger
    definition: str = "1"  # of default, that the outcomes follow
    money: MoneySettings = field(default_factory=MoneySettings)  # what decisions cost and earn
    doubts: tuple[str, ...] = ()  # about the labels, as sentences, that a person has to answer

    def __post_init__(self) -> None:
        require_utc(self.now, "Context.now")
