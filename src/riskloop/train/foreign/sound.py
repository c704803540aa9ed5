"""Whether trees that somebody else wrote are trees, before any library follows them from node to node."""

from collections.abc import Sequence

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.scoring.shap import Tree


def require_sound(trees: Sequence[Tree], width: int, where: str) -> None:
    """Raises ArtefactError naming the first tree that is none, or that reads what is not among ``width`` columns."""
    for number, tree in enumerate(trees):
        problem = _problem(tree, width)
        if problem is not None:
            raise ArtefactError(f"Tree {number} of {where} {problem}. The file is damaged; save the model again.")


def _problem(tree: Tree, width: int) -> str | None:
    nodes = len(tree.feature)
    if {len(tree.threshold), len(tree.kind), len(tree.left), len(tree.right)} != {nodes}:
        return "has lists of different lengths"
    if len(tree.values) != nodes + 1 or (nodes and len(tree.covers) != nodes + 1):
        return f"has {nodes} splits and {len(tree.values)} leaves"
    if not np.isfinite(tree.values).all():
        return "has a leaf whose value is no finite number"
    if ((tree.feature < 0) | (tree.feature >= width)).any():
        return f"reads column {int(tree.feature.max())}, and there are {width}"
    of_levels = (tree.kind & 1) == 1
    if np.isnan(tree.threshold).any():  # infinity is one of LightGBM's own: only what is missing goes right
        return "has a threshold that is no number"
    if ((tree.threshold[of_levels] < 0) | (tree.threshold[of_levels] >= len(tree.members))).any():
        return "has a split on levels that are not listed"
    return None if _is_tree(tree.left.tolist(), tree.right.tolist()) else "has nodes that do not form a tree"


def _is_tree(left: list[int], right: list[int]) -> bool:
    """Each node and each leaf (~leaf) hangs at exactly one node, and all of them at the first one."""
    found, waiting = set(), [0] if left else []
    while waiting:
        node = waiting.pop()
        for child in (left[node], right[node]):
            if child in found or child == 0 or not -len(left) - 1 <= child < len(left):
                return False
            found.add(child)
            waiting += [child] if child > 0 else []
    return len(found) == (2 * len(left))
