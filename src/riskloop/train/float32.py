"""Trees of XGBoost and CatBoost as LightGBM's text: exactly the same decisions, though those compare in float32.

Rounding to float32 keeps the order, so the doubles that such a comparison lets pass are those up to one double, which
takes the threshold's place. Leaves keep their values, and their sum is in doubles: CatBoost's own, and XGBoost's before
the rounding of its float32 sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.types import Json
from riskloop.train.trees import CATEGORICAL, DEFAULT_LEFT, MISSING_NAN, text_of, tree_text, words_of

_TOTAL: Final = 1e9  # rows that a tree's covers are scaled to: LightGBM counts in 32-bit integers
_INFINITE: Final = 2.0**128 - 2.0**103  # the least double that float32 rounds to infinity
_LOGISTIC: Final = frozenset({"binary:logistic", "binary:logitraw", "reg:logistic"})


def cut(border: Any, *, inclusive: bool) -> float:
    """The largest double that is below the float32 ``border`` once it is rounded to float32; or equal to it."""
    border = np.float32(border)
    with np.errstate(over="ignore"):  # the next one of the last is infinite
        low = border if inclusive else np.nextafter(border, np.float32(-np.inf))
        high = np.nextafter(low, np.float32(np.inf))
    if np.isposinf(low):
        return float(np.finfo(np.float64).max)
    if np.isposinf(high):
        return float(np.nextafter(_INFINITE, 0.0))
    if np.isneginf(low):
        return -_INFINITE
    middle = (float(low) + float(high)) / 2.0  # exact; a tie goes to the float32 whose last bit is 0
    return middle if int(low.view(np.uint32)) % 2 == 0 else float(np.nextafter(middle, -np.inf))


@dataclass(frozen=True)
class Node:
    """One inner node. A child is the number of another node, or -1 - leaf."""

    column: int
    left: int
    right: int
    threshold: float = 0.0  # of a number: left up to this double
    members: frozenset[int] | None = None  # of a category: codes that go left; what is missing goes right
    missing_left: bool = False
    missing: int = MISSING_NAN  # what counts as missing: LightGBM's bits


def grown_text(number: int, splits: Sequence[Node], values: Sequence[float], covers: Sequence[float]) -> str:
    """One tree of LightGBM's text; ``covers`` are the weights of the leaves, which reasons are computed from."""
    if not splits:
        return tree_text(number, {"num_leaves": [1], "num_cat": [0], "leaf_value": [values[0]]})
    counts = _counts(covers)
    kinds, thresholds, boundaries, words = [], [], [0], []
    for split in splits:
        kind, threshold = split.missing | (DEFAULT_LEFT if split.missing_left else 0), split.threshold
        if split.members is not None:
            kind, threshold = CATEGORICAL | MISSING_NAN, float(len(boundaries) - 1)
            words += words_of(split.members)
            boundaries.append(len(words))
        kinds.append(kind)
        thresholds.append(threshold)
    inner = _inner(splits, counts)
    entries: dict[str, Sequence[Any]] = {
        "num_leaves": [len(values)],
        "num_cat": [len(boundaries) - 1],
        "split_feature": [split.column for split in splits],
        "split_gain": [0] * len(splits),
        "threshold": thresholds,
        "decision_type": kinds,
        "left_child": [split.left for split in splits],
        "right_child": [split.right for split in splits],
        "leaf_value": [float(value) for value in values],
        "leaf_weight": counts,
        "leaf_count": counts,
        "internal_value": [0] * len(splits),
        "internal_weight": inner,
        "internal_count": inner,
    }
    if len(boundaries) > 1:
        entries |= {"cat_boundaries": boundaries, "cat_threshold": words}
    return tree_text(number, entries)


def _counts(covers: Sequence[float]) -> list[int]:
    """Whole numbers in the covers' proportions; a leaf that no row was in has one row among a milliard."""
    total = sum(covers)
    return [max(1, round(cover / total * _TOTAL)) if total > 0.0 else 1 for cover in covers]


def _inner(splits: Sequence[Node], counts: Sequence[int]) -> list[int]:
    found = [0] * len(splits)
    for node in _bottom_up(splits):
        children = (splits[node].left, splits[node].right)
        found[node] = sum(counts[-1 - child] if child < 0 else found[child] for child in children)
    return found


def _bottom_up(splits: Sequence[Node]) -> list[int]:
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += [child for child in (splits[node].left, splits[node].right) if child >= 0]
    return order[::-1]


# --------------------------------------------------------------------------- XGBoost


def xgboost_text(document: Json, levels: Mapping[int, int] | None = None) -> bytes:
    """LightGBM's text of a model that XGBoost saved as JSON; log-odds of its second class.

    ``levels`` has the number of levels of each column of codes. Raises ArtefactError for what is no binary classifier
    of trees.
    """
    try:
        learner = document["learner"]
        objective, booster = learner["objective"]["name"], learner["gradient_booster"]
        width = int(learner["learner_model_param"]["num_feature"])
        if objective not in _LOGISTIC or booster["name"] not in ("gbtree", "dart"):
            raise ArtefactError(
                f"It is a model of '{objective}' by '{booster['name']}'; a binary classifier of trees is needed, such "
                "as binary:logistic."
            )
        if int(learner["learner_model_param"].get("num_target", 1)) > 1:
            raise ArtefactError("It has several targets; one is needed.")
        scales = [1.0] * len(_gbtree(booster)["trees"])
        if booster["name"] == "dart":
            scales = [float(np.float32(scale)) for scale in booster["weight_drop"]]
        start = base_margin(document)
        texts = []
        for number, (tree, scale) in enumerate(zip(_gbtree(booster)["trees"], scales, strict=True)):
            splits, values, covers = _xgboost_tree(tree, levels or {})
            offset = start if number == 0 else 0.0
            texts.append(grown_text(number, splits, [scale * value + offset for value in values], covers))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ArtefactError(f"It is not a model that XGBoost saved as JSON: {error!r}.") from None
    if not texts:
        raise ArtefactError("It has no trees.")
    return text_of(width, texts)


def _gbtree(booster: Json) -> Json:
    found: Json = (booster["gbtree"] if booster["name"] == "dart" else booster)["model"]
    return found


def base_margin(document: Json) -> float:
    """The log-odds that XGBoost's sum starts at. Source: `ProbToMargin` of its objectives."""
    text = str(document["learner"]["learner_model_param"]["base_score"]).strip("[]")
    base = float(np.float32(text))
    if document["learner"]["objective"]["name"] == "binary:logitraw" and not 0.0 < base < 1.0:
        return base
    return -float(np.log(1.0 / base - 1.0))


def _require_tree(left: Sequence[int], right: Sequence[int]) -> None:
    """Raises ValueError where following the children would not end, or leave the lists."""
    found, waiting = set(), [0]
    while waiting:
        node = waiting.pop()
        if node in found or not 0 <= node < len(left):
            raise ValueError("its nodes do not form a tree")
        found.add(node)
        waiting += [left[node], right[node]] if left[node] != -1 else []


def _xgboost_tree(tree: Json, levels: Mapping[int, int]) -> tuple[list[Node], list[float], list[float]]:
    """Inner nodes, leaves' values, and their covers (sums of hessians, as XGBoost's own SHAP values take them)."""
    left, right = tree["left_children"], tree["right_children"]
    _require_tree(left, right)
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    is_leaf = [child == -1 for child in left]
    leaves, inner = np.cumsum(is_leaf), np.cumsum([not leaf for leaf in is_leaf])
    place = [-int(leaves[i]) if leaf else int(inner[i]) - 1 for i, leaf in enumerate(is_leaf)]
    segments = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    members = {node: frozenset(tree["categories"][start : start + size]) for node, start, size in segments}
    splits = []
    for node, leaf in enumerate(is_leaf):
        if leaf:
            continue
        column, missing_left = int(tree["split_indices"][node]), bool(tree["default_left"][node])
        sides = place[left[node]], place[right[node]]
        if node not in members:
            splits.append(Node(column, *sides, cut(conditions[node], inclusive=False), None, missing_left))
        elif missing_left:  # XGBoost's members go right, LightGBM's left; what is missing goes with the others
            splits.append(Node(column, *sides[::-1], members=members[node]))
        else:
            if column not in levels:
                raise ArtefactError(f"Column {column} is a category, and nothing says how many levels it has.")
            others = frozenset(range(levels[column])) - members[node]
            splits.append(Node(column, *sides, members=others))
    values = [float(conditions[i]) for i, leaf in enumerate(is_leaf) if leaf]
    covers = [float(tree["sum_hessian"][i]) for i, leaf in enumerate(is_leaf) if leaf]
    return splits, values, covers


# --------------------------------------------------------------------------- CatBoost


def catboost_text(document: Json, columns: Sequence[tuple[int, int | None]], width: int) -> bytes:
    """LightGBM's text of a symmetric CatBoost model of one dimension over numbers, saved as JSON.

    ``columns`` tells of each of its numbers which of the ``width`` columns it is and, where it says whether a category
    has a certain code, that code.
    """
    scale, (bias,) = document["scale_and_bias"]
    missing = [entry["nan_value_treatment"] == "AsTrue" for entry in document["features_info"]["float_features"]]
    texts = []
    for number, tree in enumerate(document["oblivious_trees"]):
        tests = tree.get("splits") or []
        nodes = []
        for level, left, right in _full(len(tests)):
            test = tests[-1 - level]  # the highest bit of a leaf's number is the last test's
            index = int(test["float_feature_index"])
            column, code = columns[index]
            if code is None:
                border = cut(test["border"], inclusive=True)
                nodes.append(Node(column, left, right, border, None, not missing[index]))
            else:  # the right side of CatBoost's is the level itself, the left one of LightGBM's
                nodes.append(Node(column, right, left, members=frozenset({code})))
        offset = float(bias) if number == 0 else 0.0
        values = [float(scale) * float(value) + offset for value in tree["leaf_values"]]
        texts.append(grown_text(number, nodes, values, [float(weight) for weight in tree["leaf_weights"]]))
    return text_of(width, texts)


def _full(depth: int) -> list[tuple[int, int, int]]:
    """Level, left and right child of the nodes of a full tree from the top; leaves are numbered from the left."""
    nodes: list[tuple[int, int, int]] = []
    for level in range(depth):
        for place in range(1 << level):
            first = (1 << (level + 1)) - 1 + 2 * place
            last = level == depth - 1
            nodes.append((level, -1 - 2 * place, -2 - 2 * place) if last else (level, first, first + 1))
    return nodes
