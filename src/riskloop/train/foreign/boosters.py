"""LightGBM's text and XGBoost's JSON from elsewhere."""

import importlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Final

import numpy as np

from riskloop.core.errors import ArtefactError, ConfigError
from riskloop.core.schema import Schema
from riskloop.core.types import Floats, Json
from riskloop.scoring.columns import ForeignColumn, as_matrix
from riskloop.scoring.shap import Tree, parse_trees
from riskloop.train.float32 import base_margin, xgboost_text
from riskloop.train.foreign.columns import columns_of, rewired_text
from riskloop.train.foreign.model import ForeignModel
from riskloop.train.foreign.sound import require_sound
from riskloop.train.learners import LIGHTGBM

SAID: Final = 120  # characters of a library's error that are repeated
_LOGISTIC: Final = re.compile(r"(binary sigmoid:(?P<sigmoid>[0-9.e+-]+)|cross_entropy|xentropy)")


def lightgbm_model(content: bytes, where: str, schema: Schema) -> ForeignModel:
    """A model that LightGBM saved as text. Raises ArtefactError for what is no binary classifier of plain trees."""
    import lightgbm

    text = lightgbm_text(content)
    head = dict(line.partition("=")[::2] for line in text.partition("\nTree=")[0].splitlines() if "=" in line)
    objective = _LOGISTIC.fullmatch(head.get("objective", "").strip())
    if objective is None or head.get("num_class", "1") != "1":
        said = head.get("objective", "nothing")
        raise ArtefactError(f"{where} is a model of '{said}'; a binary classifier is needed (objective=binary).")
    trees = parse_trees(text)
    if not trees or re.search(r"(?m)^is_linear=1$", text):
        raise ArtefactError(f"{where} has {'linear trees' if trees else 'no trees'}, which cannot be read.")
    names = head["feature_names"].split()
    require_sound(trees, len(names), where)
    columns = columns_of(names, schema, _pandas_levels(text, head, names, trees, schema))
    factor = float(objective["sigmoid"] or 1.0)
    averaged = "average_output" in text.partition("\nTree=")[0].splitlines()
    booster = lightgbm.Booster(model_str=text)
    share = factor / len(trees) if averaged else factor  # raw scores of a forest come summed

    def score(matrix: Floats) -> Floats:
        found = booster.predict(as_matrix(columns, matrix), raw_score=True, num_threads=1)
        return share * np.asarray(found, dtype=np.float64)

    scaled = [_scaled(tree, factor) for tree in trees]
    rewired = rewired_text(scaled, columns, len(schema.model_columns), averaged=averaged)
    own = f"LightGBM {lightgbm.__version__}"
    versions = {"lightgbm": str(lightgbm.__version__)}
    return ForeignModel("lightgbm", "lightgbm", LIGHTGBM, {LIGHTGBM: rewired}, score, own, "shapley", versions)


def lightgbm_text(content: bytes) -> str:
    """The text without what an editor or another system's line ends make wrong: each tree's size in bytes.

    With sizes LightGBM reads trees side by side, and a fault in one ends the process; without them it is an error.
    """
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    return re.sub(r"(?m)^tree_sizes=.*\n", "", text, count=1)


def _scaled(tree: Tree, factor: float) -> Tree:
    return tree if factor == 1.0 else replace(tree, values=factor * tree.values)


def _pandas_levels(
    text: str, head: Mapping[str, str], names: Sequence[str], trees: Sequence[Tree], schema: Schema
) -> dict[str, list[str]]:
    """Texts of the codes of categorical columns; the file lists them in the columns' order, without names."""
    found = re.search(r"(?m)^pandas_categorical:(.*)$", text)
    lists = json.loads(found[1]) if found else None
    if not lists:
        return {}
    infos = head.get("feature_infos", "").split()
    split = {int(f) for tree in trees for f in tree.feature[(tree.kind & 1) == 1]}
    categorical = {i for i, info in enumerate(infos) if info != "none" and not info.startswith("[")} | split
    if len(categorical) != len(lists):  # one that no tree uses has no information of its own
        kinds = {feature.name: feature.kind for feature in schema.features}
        categorical |= {i for i, name in enumerate(names) if kinds.get(name) == "category"}
    if len(categorical) != len(lists):
        raise ArtefactError(
            f"The file lists the levels of {len(lists)} categories, and does not say of which columns. Save it without "
            "those that no tree uses."
        )
    pairs = zip(sorted(categorical), lists, strict=True)
    return {names[i]: [level_text(value) for value in values] for i, values in pairs}


def level_text(value: Any) -> str:
    """A level as riskloop.toml writes it: 3 for 3.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def xgboost_model(content: bytes, where: str, schema: Schema) -> ForeignModel:
    """A model that XGBoost saved as JSON, or in its binary form where XGBoost is there to read it.

    Its leaves are summed in doubles; ``printed`` is XGBoost's own float32. Raises ArtefactError for what is no binary
    classifier of trees, ConfigError without XGBoost.
    """
    if find_spec("xgboost") is None:
        raise ConfigError(
            "An XGBoost model is compared with XGBoost's own predictions: pip install 'riskloop[xgboost]'."
        )
    xgboost = importlib.import_module("xgboost")
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(content))
        document: Json = json.loads(bytes(booster.save_raw("json")))
    except (xgboost.core.XGBoostError, ValueError) as error:
        said = str(error).splitlines()[0].rpartition("]")[2].strip()[:SAID]
        raise ArtefactError(f"{where} is not a model that XGBoost saved: {said}") from None
    document, rounds = _best(document)
    learner = document["learner"]
    width = int(learner["learner_model_param"]["num_feature"])
    names = learner.get("feature_names") or [f"f{i}" for i in range(width)]
    columns = columns_of(names, schema, _xgboost_levels(document, names))
    sizes = {i: _codes(column, schema) for i, column in enumerate(columns)}
    trees = parse_trees(xgboost_text(document, sizes).decode())
    require_sound(trees, width, where)
    rewired = rewired_text(trees, columns, len(schema.model_columns))
    kinds = learner.get("feature_types") or ["q"] * width
    matrix_of = _xgboost_matrix(xgboost, columns, ["c" if kind == "c" else "q" for kind in kinds])
    last = (0, rounds) if rounds else (0, 0)
    leaf_values = _leaf_values(document)

    def score(matrix: Floats) -> Floats:
        leaves = booster.predict(matrix_of(matrix), pred_leaf=True, iteration_range=last, validate_features=False)
        total = np.full(len(matrix), base_margin(document))
        for values, leaf in zip(leaf_values, leaves.astype(np.int64).reshape(len(matrix), -1).T, strict=True):
            total += values[leaf]
        return total

    def printed(matrix: Floats) -> Floats:
        from scipy.special import expit

        margin = booster.predict(matrix_of(matrix), output_margin=True, iteration_range=last, validate_features=False)
        return np.asarray(expit(margin.astype(np.float64)))

    notes = (f"Its first {rounds} rounds are used, the best ones of its early stopping.",) if rounds else ()
    own = f"the leaves of XGBoost {xgboost.__version__}, summed in doubles"
    return ForeignModel(
        "xgboost",
        "xgboost",
        LIGHTGBM,
        {LIGHTGBM: rewired},
        score,
        own,
        "shapley",
        {"xgboost": str(xgboost.__version__)},
        printed,
        notes=notes,
    )


def _best(document: Json) -> tuple[Json, int]:
    """Without the trees after the best round of an early stopping, as `XGBClassifier.predict_proba` does; 0: all."""
    learner = document["learner"]
    best = (learner.get("attributes") or {}).get("best_iteration")
    booster = learner["gradient_booster"]
    if best is None or booster["name"] != "gbtree":
        return document, 0
    ends = booster["model"].get("iteration_indptr") or list(range(len(booster["model"]["trees"]) + 1))
    rounds = int(best) + 1
    if rounds >= len(ends) - 1:
        return document, 0
    booster["model"]["trees"] = booster["model"]["trees"][: ends[rounds]]
    return document, rounds


def _xgboost_levels(document: Json, names: Sequence[str]) -> dict[str, list[str]]:
    """Texts of the codes, where XGBoost 3.1 or later was given a frame with categories."""
    booster = document["learner"]["gradient_booster"]
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    found = {}
    for name, encoded in zip(names, (model.get("cats") or {}).get("enc") or [], strict=False):
        values, ends = encoded.get("values") or [], encoded.get("offsets") or []
        if not values:
            continue
        if ends:
            texts = [bytes(values[a:b]).decode("utf-8") for a, b in pairwise(ends)]
        else:
            texts = [level_text(value) for value in values]
        found[name] = texts
    return found


def _codes(column: ForeignColumn, schema: Schema) -> int:
    """How many codes a column may have."""
    if column.levels is None:
        high = schema.features[schema.model_columns[column.source]].high
        return 1024 if high is None else int(high) + 1
    known = [float(level) for level in column.levels]
    return 1 + max((int(level) for level in known if level >= 0.0), default=0)


def _xgboost_matrix(xgboost: Any, columns: Sequence[ForeignColumn], kinds: list[str]) -> Callable[[Floats], Any]:
    largest = float(np.finfo(np.float32).max)

    def made(matrix: Floats) -> Any:
        values = np.clip(as_matrix(columns, matrix), -largest, largest)
        return xgboost.DMatrix(values, feature_types=kinds, enable_categorical=True, nthread=1, missing=np.nan)

    return made


def _leaf_values(document: Json) -> list[Floats]:
    booster = document["learner"]["gradient_booster"]
    dart = booster["name"] == "dart"
    trees = (booster["gbtree"] if dart else booster)["model"]["trees"]
    scales = booster["weight_drop"] if dart else [1.0] * len(trees)
    return [
        np.float32(scale).astype(np.float64) * np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
        for tree, scale in zip(trees, scales, strict=True)
    ]
