import json
import math

import msgspec
import numpy as np
import pytest

from riskloop.core.errors import ConfigError
from riskloop.core.schema import Feature, Schema
from riskloop.core.settings import parse_settings, restored, settings_text

CODED = Feature("score", low=300.0, high=850.0, nullable=True, monotone=-1, special=(-9999.0, 999.0))
TREE = Feature("naics", "category", categories=("1111", "1112", "2211"), prefixes=(2, 3))


def test_special_codes_and_missing_values_are_not_outside_the_range() -> None:
    values = np.array([300.0, 299.9, -9999.0, 999.0, 998.0, math.nan])
    assert CODED.outside(values).tolist() == [False, True, False, False, True, False]


def test_a_schema_is_the_same_after_json() -> None:
    schema = Schema((CODED, TREE, Feature("x")), target="y", id="id", time="day", ignored=("note",))
    again = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(schema))), Schema)
    assert again == schema
    assert again.fingerprint == schema.fingerprint


def test_schemas_of_before_keep_their_json() -> None:
    entry = msgspec.to_builtins(Schema((Feature("x"),), target="y"))["features"][0]
    assert set(entry) == {"name", "kind", "low", "high", "categories", "unseen", "nullable", "monotone", "protected"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "category", "categories": ("a",), "special": (1.0,)}, "levels of their own"),
        ({"prefixes": (2,)}, "has no prefixes"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Feature("x", **wrong)  # type: ignore[arg-type]


def test_settings_carry_special_codes_and_prefixes_there_and_back() -> None:
    settings = parse_settings(
        '[portfolio]\ntarget = "y"\n[features.score]\nspecial = [-9999]\nmonotone = 1\n'
        '[features.zip]\nkind = "category"\ncategories = ["10001", "10002"]\nprefixes = [3, 1]\n'
    )
    schema = settings.row_schema
    assert schema.feature("score").special == (-9999.0,)
    assert schema.feature("zip").prefixes == (1, 3)
    assert restored(settings, schema, {}).row_schema == schema
    assert parse_settings(settings_text(settings)).row_schema == schema
