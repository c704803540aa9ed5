"""A model version with everything that the loop compares against."""

import io
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.manifest import M, ModelManifest
from riskloop.core.stats import upper_quantile
from riskloop.core.types import Floats, Ints
from riskloop.monitor.matured import Trained
from riskloop.monitor.profile import Reference
from riskloop.monitor.residual import Bases, bases_of
from riskloop.scoring.model import Model, load_model
from riskloop.store.artefacts import Artefact
from riskloop.store.home import Home

FOREMOST: Final = 200  # columns; of more, those that the model reads most are held against one another
EXPLAINED_ROWS: Final = 5_000  # means of contributions; more rows change the third digit


@dataclass(frozen=True)
class ReferenceModel:
    """A version's model, and the reference that windows are held against: a sample of its training rows."""

    artefact: Artefact[ModelManifest]
    model: Model
    reference: Reference
    features: Floats  # (m, k) of the sample
    reference_scores: Floats  # (m,) the model's own scores of the sample
    probabilities: Floats  # (m,) out of fold, calibrated: how good it is on rows that it has not seen
    outcomes: Floats  # (m,) NaN for applicants who were declined, whose outcome nobody knows
    days: Ints | None = None  # (m,) since the epoch; None where the rows carry no dates
    customers: Ints | None = None  # (m,) a number for each row's; None: nobody comes twice, or it is not on record

    @property
    def version(self) -> int:
        """The model version."""
        return self.model.version

    @property
    def manifest(self) -> ModelManifest:
        """What the version says of itself."""
        return self.model.manifest

    @property
    def inputs(self) -> list[int]:
        """Columns by which populations are compared: what the model reads (most), without context columns.

        Those are the same for everybody, so that by them any two periods would have nothing in common.
        """
        read = self.reference.foremost or self.model.schema.model_columns
        return [j for j in read if j not in self.reference.context]

    @property
    def labelled(self) -> tuple[Floats, Floats, Floats]:
        """Model inputs (l, i), probabilities (l,) and outcomes (l,) of the sample's rows that have an outcome."""
        known = ~np.isnan(self.outcomes)
        return self.features[known][:, self.inputs], self.probabilities[known], self.outcomes[known]

    @cached_property
    def explained(self) -> tuple[Floats, Floats]:
        """Contributions (e, k) and scores (e,) of some of the sample's rows, which every window is held against."""
        rows = some(self.features)
        return self.model.contributions(self.features[rows]), self.reference_scores[rows]

    @cached_property
    def bases(self) -> Bases:
        """In which directions of the features a change is looked for, and where the sample lies along each, (m, k)."""
        names, importance = self.reference.schema.names, self.manifest.importance
        shares = np.array([importance.get(names[j], 0.0) for j in self.inputs], dtype=np.float64)
        return bases_of(self.features[:, self.inputs], shares)

    def best_estimate(self, probabilities: Floats) -> Floats:
        """Its ``probabilities`` without the margin of conservatism: what outcomes are compared with."""
        level = self.manifest.training.level
        margin = level.margin if level is not None else 0.0
        return probabilities / (probabilities + (1.0 + margin) * (1.0 - probabilities)) if margin else probabilities

    @property
    def trained(self) -> Trained:
        """How well it ranked at its training."""
        metrics = self.manifest.metrics
        # The upper end is cut at 1, the lower one never in practice.
        return Trained(metrics.auc, (metrics.auc - metrics.auc_low) / upper_quantile(0.025))

    @property
    def shrunk(self) -> float:
        """The slope of its calibration line, as far as that was learned from models of parts of the history.

        A recalibrated model's line was learned from its own decisions, an imported one's from its own scores.
        """
        return 1.0 if self.manifest.origin in ("recalibrate", "import") else self.manifest.calibration.b


def some(rows: Floats) -> slice:
    """Evenly chosen rows, some 5,000 of them."""
    return slice(None, None, max(1, len(rows) // EXPLAINED_ROWS))


def load(home: Home, version: int) -> ReferenceModel:
    """Load and verify a version. Raises ArtefactError when its files were altered.

    The files are read and verified every time; what is made of the same bytes is made once.
    """
    return _made_of(home.artefact(version), version, home.settings.train.threads)


@lru_cache(maxsize=4)
def _made_of(artefact: Artefact[ModelManifest], version: int, threads: int) -> ReferenceModel:
    model = load_model(artefact, version, threads=threads)
    features = array(artefact, "reference.npy")
    # Windows are scored by the model itself, so its own scores are what theirs must be compared with.
    own = model.probabilities(features)
    days = _numbers(artefact, "reference_days.npy")
    return ReferenceModel(
        artefact=artefact,
        model=model,
        reference=Reference.build(model.schema, features, own, days, _foremost(artefact.manifest)),
        features=features,
        reference_scores=own,
        probabilities=array(artefact, "reference_scores.npy"),
        outcomes=array(artefact, "reference_target.npy"),
        days=days,
        customers=_numbers(artefact, "reference_customers.npy"),
    )


def _foremost(manifest: ModelManifest) -> tuple[int, ...]:
    """Of a wide table the columns that the model reads most, in their order; empty where there are not many."""
    schema = manifest.schema
    if len(schema.model_columns) <= FOREMOST:
        return ()
    share = {j: manifest.importance.get(schema.names[j], 0.0) for j in schema.model_columns}
    read = sorted((j for j in share if share[j] > 0.0), key=lambda j: -share[j])[:FOREMOST]
    return tuple(sorted(read or schema.model_columns[:FOREMOST]))


def _numbers(artefact: Artefact[ModelManifest], file: str) -> Ints | None:
    """Days or customers of the sample's rows; None where they carry none, or the artefact is of an earlier version."""
    return array(artefact, file).astype(np.int64) if file in artefact.contents else None


def array(artefact: Artefact[M], file: str) -> Floats:
    """A NumPy file of an artefact; pickled content is refused."""
    return as_array(artefact.bytes(file), file, artefact.name)


def as_array(content: bytes, file: str, artefact: str) -> Floats:
    """The array in a NumPy file's bytes; ``file`` and ``artefact`` are named where it is none."""
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError:
        raise ArtefactError(f"The file '{file}' of the artefact '{artefact}' is not a plain array.") from None
    return np.ascontiguousarray(loaded, dtype=np.float64)


def dump_array(values: Floats) -> bytes:
    """The inverse of :func:`as_array`."""
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()
