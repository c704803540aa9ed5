"""What a model computes, as plain numbers and names: what every export writes down in its own language."""

import json
from dataclasses import dataclass

from riskloop.core.errors import ConfigError
from riskloop.core.manifest import ModelManifest
from riskloop.core.schema import Feature
from riskloop.core.types import Json
from riskloop.scoring.preparation import FILE, Preparation, load_preparation
from riskloop.scoring.shap import Tree, parse_trees
from riskloop.store.artefacts import Artefact


@dataclass(frozen=True)
class PlainModel:
    """A model version that needs nothing but arithmetic."""

    version: int
    manifest: ModelManifest
    features: tuple[Feature, ...]  # the inputs, in the order of the model's matrix
    preparation: Preparation | None
    card: Json | None  # a scorecard's file
    trees: tuple[Tree, ...]
    share: float  # of the trees' sum: a forest averages

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the scorecard or the trees see."""
        return tuple(f.name for f in self.features) if self.preparation is None else self.preparation.names


def plain_model(artefact: Artefact[ModelManifest], version: int) -> PlainModel:
    """The numbers of a version. Raises ConfigError for an estimator of scikit-learn's, which is code and data."""
    manifest = artefact.manifest
    schema, file = manifest.schema, manifest.model_file
    if not file.endswith((".json", ".txt")):
        raise ConfigError(
            f"Version {version} is an estimator of scikit-learn ({manifest.learner}), which cannot be written down "
            "without it; scorecards and boosted trees can."
        )
    prepared = FILE in artefact.contents
    content = artefact.bytes(file)
    trees = tuple(parse_trees(content.decode())) if file.endswith(".txt") else ()
    averaged = bool(trees) and b"\naverage_output" in content
    return PlainModel(
        version,
        manifest,
        tuple(schema.features[i] for i in schema.model_columns),
        load_preparation(artefact.bytes(FILE), str(artefact.path / FILE)) if prepared else None,
        json.loads(content) if file.endswith(".json") else None,
        trees,
        1.0 / len(trees) if averaged else 1.0,
    )
