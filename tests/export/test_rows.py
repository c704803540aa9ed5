"""A schema for other tools refuses the rows that riskloop's own reader refuses, and no others."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pandas as pd
import pytest

from riskloop.core.errors import ConfigError, DataError
from riskloop.core.schema import Schema
from riskloop.core.settings import DataSettings, parse_settings
from riskloop.data.read import read_rows
from riskloop.portfolio import Portfolio
from riskloop.scoring.decoder import Decoder

CONFIG = """
[portfolio]
target = "bad"
id = "id"
time = "day"
ignore = ["note"]
[features.debt]
range = [0, 10]
special = [-9999]
[features.income]
nullable = true
[features.rate]
range = [0.5, 2]
nullable = true
[features.job]
kind = "category"
categories = ["none", "it's", 'a "b"', "größe", "7"]
[features.city]
kind = "category"
categories = ["x", "y"]
unseen = "flag"
nullable = true
[features.branch]
kind = "category"
categories = ["000", "012", "1200", "7", "007", "A-01"]
[features.sex]
kind = "category"
categories = ["1", "2"]
protected = true
"""
N = 400
NOW = 1_760_000_000_000_000
# What is put into single cells; whether it fits is for the reader to say.
CELLS: dict[str, list[Any]] = {
    "id": [None],
    "day": [None, "1970-01-01"],
    "debt": [None, -1.0, 10.0001, 10.0, 0.0, -9999.0, np.inf, -np.inf],
    "income": [None, np.inf, 1e300, -5.0],
    "rate": [None, 0.4999, 2.5, 0.5, 2.0],
    "job": [None, "None of them", "7", "7.0", "it's", " none ", "NONE"],
    "city": [None, "elsewhere", "x"],
    "sex": [None, "3", "1", "2.0", "0", "002"],
    "branch": [
        "0",
        "00000",
        "12",
        12,
        12.0,
        "0012",
        "01200",
        7,
        "07",
        "0007",
        "007",
        "A-1",
        "0A-01",
        "00.12",
        "٠١٢",
        "0",
        0,
    ],
}


def frame(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    good = pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(N)],
            "day": "2025-03-01",
            "debt": rng.integers(0, 21, N) / 2,
            "income": rng.normal(size=N),
            "rate": rng.uniform(0.5, 2, N),
            "job": rng.choice(["none", "it's", 'a "b"', "größe", "7"], N),
            "city": rng.choice(["x", "y"], N),
            "branch": rng.choice(np.array(["000", "012", "1200", "7", "007", "A-01"], dtype=object), N),
            "sex": rng.choice(["1", "2"], N),
            "note": "whatever",
        }
    )
    for row in rng.choice(N, N // 3, replace=False).tolist():
        column = str(rng.choice(list(CELLS)))
        good.loc[row, column] = CELLS[column][int(rng.integers(len(CELLS[column])))]
    return good


@pytest.fixture(scope="module")
def schema() -> Schema:
    return parse_settings(CONFIG).row_schema


@pytest.fixture
def portfolio(tmp_path: Path) -> Portfolio:
    (tmp_path / "riskloop.toml").write_text(CONFIG, encoding="utf-8")
    return Portfolio.open(tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_pandera_refuses_what_the_reader_refuses(
    portfolio: Portfolio, schema: Schema, tmp_path: Path, seed: int
) -> None:
    errors = pytest.importorskip("pandera.errors", reason="pandera is not installed (`make` installs it).")
    path = portfolio.export_schema(tmp_path / "rows.py")
    portfolio.home.close()
    assert "riskloop" not in "".join(line for line in path.read_text().splitlines() if "import" in line)
    spec = importlib.util.spec_from_file_location("rows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = frame(seed)
    checked = read_rows(rows, schema, target="absent", where="f", dialect=DataSettings(max_refused=1))
    wanted = {(entry.position, entry.column) for entry in checked.refused}
    assert len(wanted) > 10
    with pytest.raises(errors.SchemaErrors) as refused:
        module.schema.validate(rows, lazy=True)
    cases = refused.value.failure_cases
    assert {(int(row), column) for row, column in zip(cases["index"], cases["column"], strict=True)} == wanted
    module.schema.validate(rows.drop(index=sorted({row for row, _ in wanted})), lazy=True)
    with pytest.raises(errors.SchemaErrors):
        module.schema.validate(rows.assign(unknown=1), lazy=True)
    with pytest.raises(errors.SchemaErrors):
        module.schema.validate(rows.drop(columns="debt"), lazy=True)


REQUESTS: dict[str, list[Any]] = {
    "debt": [None, -1, 10.5, 10, -9999, "4", True, "many"],
    "income": [None, 1e300, "x", False],
    "rate": [0.4, 2, None, 2.01],
    "job": ["7", 7, "nobody", None, 8],
    "city": [None, "elsewhere", 5],
    "sex": [1, "2", 3, "9", None, "02", "0002", "20"],
    "branch": [0, "0", "00", 12, "12", "00012", 1200, "01200", 7, "7", "07", "0007", "A-1", "0A-01", "012A", "٠١٢", ""],
    "extra": [1],
}


def test_the_json_schema_refuses_what_the_api_refuses(portfolio: Portfolio, schema: Schema, tmp_path: Path) -> None:
    path = portfolio.export_schema(tmp_path / "rows.json")
    portfolio.home.close()
    validator = jsonschema.Draft202012Validator(json.loads(path.read_text()))
    decoder = Decoder(schema)
    good = {"id": "a", "debt": 4, "income": None, "rate": 1.5, "job": "none", "city": "x", "branch": "012", "sex": "1"}
    rows = [good, *({k: v for k, v in good.items() if k != name} for name in good)]
    rows += [{**good, name: value} for name, values in REQUESTS.items() for value in values]
    told = {}
    for number, row in enumerate(rows):
        try:
            decoder.row(msgspec.json.encode(row), NOW)
            told[number] = True
        except DataError:
            told[number] = False
    assert 8 < sum(told.values()) < len(rows) - 8
    found = {number: validator.is_valid(row) for number, row in enumerate(rows)}
    assert [rows[n] for n in told if told[n] != found[n]] == []


def test_another_ending_is_refused(portfolio: Portfolio, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.py"):
        portfolio.export_schema(tmp_path / "rows.txt")
    portfolio.home.close()
