"""Boosted trees as LightGBM's text format, whoever grew them: one format, one fast and exact scorer.

The format cannot run code, keeps doubles exactly and carries the row counts that SHAP values need.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.types import Floats, Ints

CATEGORICAL, DEFAULT_LEFT, MISSING_NAN = 1, 2, 8  # bits of LightGBM's decision_type


def lightgbm_text(estimator: Any) -> bytes:
    """The text of a fitted ``LGBMClassifier``, without its parameters: those name threads, which change no tree."""
    text: str = estimator.booster_.model_to_string(num_iteration=-1)
    return (text[: text.index("\nfeature_importances:")] + "\n").encode()


def hist_gradient_boosting_text(estimator: Any) -> bytes:
    """The same trees of a fitted binary ``HistGradientBoostingClassifier``.

    Reads attributes that scikit-learn keeps private, so every model is compared with its estimator before it is
    registered. A categorical split that sends missing values left is written with its sides swapped, because LightGBM
    sends what it does not know to the right.
    """
    columns, levels = _encoding(estimator)
    known = estimator._bin_mapper.make_known_categories_bitsets()
    trees = []
    for number, (predictor,) in enumerate(estimator._predictors):
        offset = float(estimator._baseline_prediction[0, 0]) if number == 0 else 0.0
        trees.append(_tree(number, predictor, columns, levels, known, offset))
    return text_of(int(estimator.n_features_in_), trees)


def scaled_sum(texts: Sequence[bytes], factor: float) -> bytes:
    """One model, whose log-odds are ``factor`` times the sum of those of the models ``texts`` over the same columns.

    Exact for a power of two, apart from the order of the sum.
    """
    trees: list[str] = []
    for text in texts:
        for block in re.split(r"(?m)^Tree=\d+\n", text.decode().split("\nend of trees")[0])[1:]:
            lines = [_scaled(line, factor) for line in block.strip().splitlines()]
            trees.append("\n".join([f"Tree={len(trees)}", *lines, "", "", ""]))
    width = re.search(r"(?m)^max_feature_idx=(\d+)$", texts[0].decode())
    if width is None:
        raise ArtefactError("A booster's text names no columns.")
    return text_of(int(width[1]) + 1, trees)


def _scaled(line: str, factor: float) -> str:
    key, _, values = line.partition("=")
    if key not in ("leaf_value", "internal_value"):
        return line
    return f"{key}=" + " ".join(_text(factor * float(value)) for value in values.split())


def text_of(k: int, trees: Sequence[str], *, averaged: bool = False) -> bytes:
    """LightGBM's text of these trees over k columns; ``averaged`` are those of a random forest."""
    header = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={k - 1}",
        "objective=binary sigmoid:1",
        *(["average_output"] if averaged else []),
        "feature_names=" + " ".join(f"Column_{j}" for j in range(k)),
        "feature_infos=" + " ".join(["none"] * k),
        "tree_sizes=" + " ".join(str(len(tree)) for tree in trees),
        "",
        "",
    ]
    return ("\n".join(header) + "".join(trees) + "end of trees\n").encode()


def _encoding(estimator: Any) -> tuple[Ints, dict[int, Floats]]:
    """Original column of each column that the trees know, and the original codes of each category."""
    mask = estimator.is_categorical_
    k = int(estimator.n_features_in_)
    if mask is None or not np.any(mask):
        return np.arange(k), {}
    columns = np.concatenate((np.flatnonzero(mask), np.flatnonzero(~mask)))
    levels = estimator._preprocessor.named_transformers_["encoder"].categories_
    return columns, dict(enumerate(levels))


def _tree(number: int, predictor: Any, columns: Ints, levels: dict[int, Floats], known: Any, offset: float) -> str:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    place = np.where(leaf, -np.cumsum(leaf), np.cumsum(~leaf) - 1)  # LightGBM: inner nodes 0, 1 …, leaves -1, -2 …
    left, right, kinds, thresholds = [], [], [], []
    boundaries: list[int] = [0]
    words: list[int] = []
    for node in nodes[~leaf]:
        sides = place[node["left"]], place[node["right"]]
        kind = MISSING_NAN | (DEFAULT_LEFT if node["missing_go_to_left"] else 0)
        threshold = min(float(node["num_threshold"]), np.finfo(np.float64).max)
        if node["is_categorical"]:
            feature, row = int(node["feature_idx"]), int(node["bitset_idx"])
            chosen = _members(predictor.raw_left_cat_bitsets[row])
            if node["missing_go_to_left"]:
                chosen, sides = _members(known[0][known[1][feature]]) - chosen, sides[::-1]
            kind, threshold = CATEGORICAL | MISSING_NAN, float(len(boundaries) - 1)
            words += words_of({int(levels[feature][code]) for code in chosen})
            boundaries.append(len(words))
        left.append(sides[0])
        right.append(sides[1])
        kinds.append(kind)
        thresholds.append(threshold)
    entries = {
        "num_leaves": [int(leaf.sum())],
        "num_cat": [len(boundaries) - 1],
        "split_feature": columns[nodes["feature_idx"][~leaf]],
        "split_gain": nodes["gain"][~leaf],
        "threshold": thresholds,
        "decision_type": kinds,
        "left_child": left,
        "right_child": right,
        "leaf_value": nodes["value"][leaf] + offset,
        "leaf_weight": nodes["count"][leaf],
        "leaf_count": nodes["count"][leaf],
        "internal_value": nodes["value"][~leaf],
        "internal_weight": nodes["count"][~leaf],
        "internal_count": nodes["count"][~leaf],
    }
    if len(boundaries) > 1:
        entries |= {"cat_boundaries": boundaries, "cat_threshold": words}
    if leaf.all():
        entries = {key: entries[key] for key in ("num_leaves", "num_cat", "leaf_value")}
    return tree_text(number, entries)


def tree_text(number: int, entries: Mapping[str, Iterable[Any]]) -> str:
    """One tree of LightGBM's text."""
    full = {**entries, "is_linear": [0], "shrinkage": [1]}
    lines = [f"{key}=" + " ".join(_text(v) for v in values) for key, values in full.items()]
    return "\n".join([f"Tree={number}", *lines, "", "", ""])


def _text(value: Any) -> str:
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(int(value))


def _members(bitset: Any) -> set[int]:
    return {32 * w + bit for w, word in enumerate(bitset) for bit in range(32) if int(word) >> bit & 1}


def words_of(members: Collection[int]) -> list[int]:
    """Codes of a category as the bits of LightGBM's 32-bit words."""
    words = [0] * (max(members, default=0) // 32 + 1)
    for member in members:
        words[member // 32] |= 1 << member % 32
    return words
