"""Which of the portfolio's columns a foreign model's columns are, and its trees over the portfolio's own matrix."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.schema import Feature, Schema
from riskloop.scoring.columns import ForeignColumn
from riskloop.scoring.shap import Tree
from riskloop.train.float32 import Node, grown_text
from riskloop.train.trees import CATEGORICAL, DEFAULT_LEFT, MISSING_NAN, text_of

_UNNAMED: Final = re.compile(r"(Column_|f|x)?\d+")
_ZERO: Final = 1e-35  # LightGBM's zero
_MISSING_ZERO: Final = 4
_MISSING: Final = 12  # bits of LightGBM's decision_type

Levels = Mapping[str, Sequence[str]]  # by column: the texts that its codes 0, 1, … stand for


def columns_of(
    names: Sequence[str], schema: Schema, levels: Levels, texts: Collection[str] = frozenset()
) -> list[ForeignColumn]:
    """The columns called ``names``, in their order; without names of their own they are the model's inputs, in order.

    Those among ``texts`` read categories as texts. Raises DataError for what the portfolio does not have.
    """
    inputs = [schema.features[i] for i in schema.model_columns]
    if all(_UNNAMED.fullmatch(name) for name in names) and not {f.name for f in inputs} & set(names):
        if len(names) != len(inputs):
            raise DataError(
                f"The file has {len(names)} columns without names, and the portfolio {len(inputs)} inputs: "
                f"{', '.join(feature.name for feature in inputs)}. Save the model with the names of its columns."
            )
        names_of_inputs = [feature.name for feature in inputs]
        return [_column(own, own, schema, levels, texts) for own in names_of_inputs]
    return [_column(name, _known(name, inputs), schema, levels, texts) for name in names]


def _known(name: str, inputs: Sequence[Feature]) -> str:
    """The feature that a column reads: of its name, or of its name as libraries write it."""
    plain = re.sub(r"\W+", "_", name)
    exact = [f.name for f in inputs if f.name == name]
    found = exact or [f.name for f in inputs if re.sub(r"\W+", "_", f.name) == plain]
    return found[0] if len(found) == 1 else name


def _column(name: str, feature_name: str, schema: Schema, levels: Levels, texts: Collection[str]) -> ForeignColumn:
    feature = next((f for f in schema.features if f.name == feature_name), None)
    if feature is None:
        return _indicator(name, schema)
    if feature.protected:
        raise DataError(
            f"The model reads '{feature.name}', which is protected and no input of a model here. Set protected = false "
            f"in [features.{feature.name}] if it may be one."
        )
    source = schema.model_columns.index(schema.positions[feature.name])
    if feature.kind == "number" and name in levels:
        raise DataError(f"The model reads '{feature.name}' as a category; make it one in riskloop.toml.")
    if feature.kind == "number":
        return ForeignColumn(name, source)
    if name in texts:
        return ForeignColumn(name, source, feature.categories)
    if name in levels:
        codes = {text: float(code) for code, text in enumerate(levels[name])}
        return ForeignColumn(name, source, tuple(codes.get(level, math.nan) for level in feature.categories))
    try:
        return ForeignColumn(name, source, tuple(float(level) for level in feature.categories))
    except ValueError:
        raise DataError(
            f"The model reads '{feature.name}' as a number, and the file does not say which number stands for "
            f"'{feature.categories[0]}'. Save it from a frame whose column is a category, or from columns of zeros and "
            f"ones such as {feature.name}_{feature.categories[0]}."
        ) from None


def _indicator(name: str, schema: Schema) -> ForeignColumn:
    """A column of zeros and ones for one level, as `pandas.get_dummies` calls it."""
    for source, position in enumerate(schema.model_columns):
        feature = schema.features[position]
        for level in feature.categories:
            if name in (f"{feature.name}{between}{level}" for between in ("_", "=", ".", "-", ": ")):
                return ForeignColumn(name, source, tuple(float(other == level) for other in feature.categories), 0.0)
    known = ", ".join(schema.features[i].name for i in schema.model_columns)
    raise DataError(
        f"The model reads '{name}', which is no feature of riskloop.toml and no level of one; the inputs are {known}."
    )


def rewired_text(
    trees: Sequence[Tree], columns: Sequence[ForeignColumn], width: int, *, averaged: bool = False
) -> bytes:
    """LightGBM's text of ``trees`` over foreign ``columns``, as trees over the model's matrix of ``width`` columns."""
    texts = []
    for number, tree in enumerate(trees):
        nodes = [_node(tree, i, columns[int(tree.feature[i])]) for i in range(len(tree.feature))]
        texts.append(grown_text(number, nodes, tree.values.tolist(), tree.covers.tolist()))
    return text_of(width, texts, averaged=averaged)


def _node(tree: Tree, i: int, column: ForeignColumn) -> Node:
    kind, left, right = int(tree.kind[i]), int(tree.left[i]), int(tree.right[i])
    members = frozenset(tree.members[int(tree.threshold[i])].tolist()) if kind & CATEGORICAL else None
    if column.levels is None:
        threshold = 0.0 if members is not None else float(tree.threshold[i])
        return Node(column.source, left, right, threshold, members, bool(kind & DEFAULT_LEFT), kind & _MISSING)
    passing = frozenset(code for code, value in enumerate(column.levels) if _goes_left(tree, i, members, float(value)))
    if not _goes_left(tree, i, members, math.nan if column.missing is None else float(column.missing)):
        return Node(column.source, left, right, members=passing)
    return Node(column.source, right, left, members=frozenset(range(len(column.levels))) - passing)


def _goes_left(tree: Tree, i: int, members: frozenset[int] | None, value: float) -> bool:
    """LightGBM's decision at node ``i``. Source: `NumericalDecision` and `CategoricalDecision` of its tree.h."""
    kind = int(tree.kind[i])
    if members is not None:
        return not math.isnan(value) and int(value) in members
    missing = kind & _MISSING
    if math.isnan(value) and missing != MISSING_NAN:
        value = 0.0
    if math.isnan(value) or (missing == _MISSING_ZERO and abs(value) <= _ZERO):
        return bool(kind & DEFAULT_LEFT)
    return bool(value <= np.float64(tree.threshold[i]))
