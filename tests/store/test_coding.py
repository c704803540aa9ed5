"""Decisions of several versions, whose features came, went and got levels, as one of them codes them."""

import json

import numpy as np
import pytest

from riskloop.core.schema import Feature, Schema
from riskloop.data.read import rows_from
from riskloop.store.coding import Coding

LEVELS = ("north", "south", "east", "west")


def _schema(rng: np.random.Generator) -> Schema:
    """Some of six features in some order, categories with some of the levels in some order."""
    names = rng.permutation(["a", "b", "c", "x", "y", "z"])[: rng.integers(2, 7)].tolist()
    features = []
    for name in names:
        levels = tuple(rng.permutation(LEVELS)[: rng.integers(1, 5)].tolist())
        category = name in "xyz"
        features.append(
            Feature(
                name,
                "category" if category else "number",
                categories=levels if category else (),
                unseen="flag",
                nullable=True,
                protected=bool(rng.random() < 0.2),
            )
        )
    return Schema(tuple(features), "default")


def _customers(rng: np.random.Generator, n: int) -> list[dict[str, object]]:
    def value(name: str) -> object:
        if rng.random() < 0.2:
            return None
        return rng.choice(LEVELS).item() if name in "xyz" else round(rng.normal(), 3)

    return [{name: value(name) for name in "abcxyz"} for _ in range(n)]


@pytest.mark.parametrize("seed", range(12))
def test_rows_coded_by_one_schema_become_what_the_other_would_have_made_of_the_customers(seed: int) -> None:
    """The reference reads the customers' own words by the later schema."""
    rng = np.random.default_rng(seed)
    then, now = _schema(rng), _schema(rng)
    customers = _customers(rng, 40)

    def coded(schema: Schema, known: Schema) -> np.ndarray:
        import pandas as pd

        told = [{name: c[name] if name in known.positions else None for name in schema.names} for c in customers]
        frame = pd.DataFrame(json.loads(json.dumps(told)), columns=list(schema.names), dtype=object)
        return rows_from(frame, schema, target="absent", where="the customers").features

    found = now.recoded(coded(then, then), then)
    expected = coded(now, then)
    for column, feature in enumerate(now.features):
        if feature.kind == "category" and feature.name in then.positions:
            # What was unseen then has lost its text: it stays unseen.
            unseen = coded(then, then)[:, then.positions[feature.name]] == len(then.feature(feature.name).categories)
            expected[unseen, column] = len(feature.categories)
    np.testing.assert_array_equal(found, expected)
    inputs = {now.names[column] for column in now.model_columns}
    assert set(now.lacking(then)) == inputs - set(then.names)
    assert now.alike(then) == (now.names == then.names and not now.apart(then))


def test_a_schema_is_alike_itself_and_reads_its_own_rows_as_they_are() -> None:
    rng = np.random.default_rng(7)
    schema, rows = _schema(rng), np.zeros((3, 1))
    assert schema.alike(schema)
    assert schema.apart(schema) == schema.lacking(schema) == []
    assert schema.recoded(rows, schema) is rows


def test_a_coding_asks_for_each_version_once() -> None:
    asked: list[int] = []
    less, more = (Schema(tuple(Feature(name) for name in names), "default") for names in (("a",), ("a", "b")))

    def schema_of(version: int) -> Schema:
        asked.append(version)
        return less if version == 1 else more

    coding = Coding(more, schema_of)
    assert [coding.knows(version) for version in (1, 2, 1, 1)] == [False, True, False, False]
    assert asked == [1, 2]
