"""An artefact that scores: probabilities, contributions, reasons, risk levels."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final, Literal, Protocol

import numpy as np

from riskloop.core.blocks import by_blocks
from riskloop.core.errors import ArtefactError
from riskloop.core.manifest import MAX_LOG_ODDS, ModelManifest
from riskloop.core.schema import Schema
from riskloop.core.types import Floats, Ints, Reason, Spoken
from riskloop.scoring.decoder import Decoder
from riskloop.scoring.predictors import Predictor, load_predictor
from riskloop.store.artefacts import Artefact

RiskLevel = Literal["low", "medium", "high", "very_high"]

TOLERANCE: Final = 1e-9  # between what scores in production and the fitted scikit-learn object
LEVELS: Final[tuple[RiskLevel, ...]] = ("low", "medium", "high", "very_high")
_PLAIN: Final = Spoken()
_ALONE: Final = 100  # rows that are compared alone and among others


class Model:
    """One model version, loaded. Immutable and thread-safe; features are (n, k) in the schema's order.

    A row gets the same numbers alone and among others, bit for bit.
    """

    def __init__(
        self,
        schema: Schema,
        version: int,
        manifest: ModelManifest,
        predictor: Predictor,
        spoken: Mapping[str, Spoken] | None = None,
    ) -> None:
        self.schema = schema
        self._spoken = spoken or {}
        self.version = version
        self.manifest = manifest
        self.threshold = manifest.threshold
        levels = manifest.risk_levels
        self._bounds = [levels.low, levels.medium, levels.high]
        self._a, self._b = manifest.calibration.a, manifest.calibration.b
        self._predictor = predictor
        self._inputs = np.array(schema.model_columns)

    @cached_property
    def decoder(self) -> Decoder:
        """Reads rows of its schema from JSON."""
        return Decoder(self.schema)

    def probabilities(self, features: Floats) -> Floats:
        """Calibrated probabilities of default in (0, 1), shape (n,)."""
        return self._calibrated(self._predictor.raw(self.schema.model_matrix(features)))

    def _calibrated(self, raw: Floats) -> Floats:
        z = np.minimum(np.maximum(self._a + self._b * raw, -MAX_LOG_ODDS), MAX_LOG_ODDS)
        p: Floats = 1.0 / (1.0 + np.exp(-z))
        return p

    def explained(self, features: Floats) -> Floats:
        """The probabilities again, from the sums of the contributions; (n,)."""
        return self._calibrated(self.contributions(features).sum(axis=1))

    def contributions(self, features: Floats) -> Floats:
        """Log-odds of the raw score by feature (0 for protected ones) and, last, the base value; (n, k + 1)."""
        parts = self._predictor.contributions(self.schema.model_matrix(features))
        if len(self._inputs) == len(self.schema):
            return parts
        result = np.zeros((len(parts), len(self.schema) + 1))
        result[:, self._inputs] = parts[:, :-1]
        result[:, -1] = parts[:, -1]
        return result

    def reasons(self, row: Floats, contributions: Floats, most: int) -> list[Reason]:
        """The ``most`` strongest of one row's contributions (k + 1,), strongest first; none of 0."""
        parts = contributions[:-1].tolist()
        strongest = sorted(range(len(parts)), key=lambda i: -abs(parts[i]))[:most]
        return [self._reason(i, float(row[i]), parts[i]) for i in strongest if parts[i] != 0.0]

    def _reason(self, i: int, value: float, part: float) -> Reason:
        feature = self.schema.features[i]
        spoken = self._spoken.get(feature.name, _PLAIN)
        return Reason(feature.name, part, spoken.reason(feature.name, feature.text(value), part))

    def risk_level(self, probability: float) -> RiskLevel:
        """The name of the range that the probability lies in."""
        return LEVELS[bisect_right(self._bounds, probability)]

    def level_codes(self, probabilities: Floats) -> Ints:
        """Where in `LEVELS` the names for many probabilities are, of shape (n,)."""
        return np.searchsorted(self._bounds, probabilities, side="right").astype(np.int64)


def load_model(
    artefact: Artefact[ModelManifest], version: int, threads: int = 1, spoken: Mapping[str, Spoken] | None = None
) -> Model:
    """Make a verified artefact ready to score; ``threads`` of one large call, 0 for all cores.

    ``spoken`` are the words of its reasons, by feature (`Settings.spoken`).

    Raises ArtefactError when the manifest or the model file is not usable.
    """
    try:
        schema = artefact.manifest.schema
        return Model(schema, version, artefact.manifest, load_predictor(artefact, schema, threads), spoken)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"The manifest of {artefact.path} is not one of a model: {error!r}. Train again.") from None


class _Fitted(Protocol):
    """The part of a candidate that is compared with."""

    @property
    def predict(self) -> Callable[[Floats], Floats]:
        """Features (n, k) to probabilities (n,), by scikit-learn."""


def check_agreement(model: Model, candidate: _Fitted, features: Floats) -> None:
    """Raise ArtefactError unless the model gives what the fitted scikit-learn object gives, to 1e-9 on every row.

    On a sample, rows are scored alone too, and their contributions must sum to their score.
    """
    scored = by_blocks(model.probabilities, features)
    apart = np.abs(scored - by_blocks(candidate.predict, features))
    if not (apart <= TOLERANCE).all():
        worst = int(np.argmax(np.nan_to_num(apart, nan=np.inf)))
        raise ArtefactError(
            f"The stored model gives row {worst + 1} a probability of {scored[worst]:.12g}, {apart[worst]:.3g} away "
            "from the fitted estimator's. It was not registered; choose another learner and report this."
        )
    step = max(1, len(features) // _ALONE)
    if not (np.abs(model.explained(features[::step]) - scored[::step]) <= TOLERANCE).all():
        raise ArtefactError(
            "The stored model's contributions do not sum to its score, so its reasons would be wrong. It was not "
            "registered; choose another learner and report this."
        )
    for i in range(0, len(features), step):
        if model.probabilities(features[i : i + 1])[0] != scored[i]:
            raise ArtefactError(
                f"The stored model scores row {i + 1} differently alone and among others. It was not registered; "
                "choose another learner and report this."
            )
