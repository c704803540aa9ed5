"""The same customers through every way in: what is decided, logged and answered is the same to the last bit."""

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
from sqlalchemy import select

from riskloop.backtest.history import History, Played
from riskloop.backtest.policies import NEVER
from riskloop.backtest.replay import replay
from riskloop.core.types import Json
from riskloop.data.read import rows_from
from riskloop.portfolio import Portfolio
from riskloop.scoring.answers import Answers
from riskloop.scoring.bodies import READERS, table_rows
from riskloop.scoring.decide import decide
from riskloop.scoring.model import load_model
from riskloop.store.home import Home
from riskloop.store.tables import decisions

from .conftest import CONFIG, add_model, promote

RATE = 0.4
LEVELS = ["none", "clerk", "7", 7, 7.0, " 7 ", "new", " new", "9.0", 9, "Ärztin", 'a "b", c', None]
CHANGING = {"decision_id", "scored_at"}


def customers(seed: int, n: int = 40) -> list[Json]:
    """Rows that are missing values, write levels in several ways, and bring levels that nobody has seen."""
    rng = np.random.default_rng(seed)
    levels = [level for level in LEVELS if level is not None]
    return [
        {
            "id": f"c{seed}-{i}",
            "day": "2025-03-31",
            "debt": float(rng.integers(0, 20)) / 2,
            "income": None if rng.random() < 0.3 else float(rng.normal()),
            "job": levels[int(rng.integers(len(levels)))],
            "sex": int(rng.integers(1, 3)),
        }
        for i in range(n)
    ]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG + f"[exploration]\nrate = {RATE}\n")
    home = Home.open(tmp_path)
    promote(home, add_model(home, intercept=0.3))
    yield home
    home.close()


class Ways:
    """Every way in, by name; each logs the rows and gives what it answered, if it answers."""

    def __init__(self, home: Home, client: httpx.Client) -> None:
        self.home, self.client = home, client

    def single(self, rows: list[Json]) -> list[Json]:
        return [self.client.post("/predict?reasons=all", json=row).json() for row in rows]

    def batch(self, kind: str, rows: list[Json]) -> list[Json]:
        answer = self.client.post(
            "/predict/batch?reasons=all", content=_body(rows, kind), headers={"content-type": kind}
        )
        assert answer.status_code == 200, answer.text
        return _answers(answer.content, kind)

    def frame(self, rows: list[Json]) -> list[Json]:
        scored = Portfolio(self.home).score(pd.DataFrame(rows))
        return [_plain(row) for row in scored.drop(columns=["day", "debt", "income", "job", "sex"]).to_dict("records")]

    def engine(self, rows: list[Json]) -> list[Json]:
        """A bulk engine in blocks, as docs/architecture.md tells to write one."""
        version = self.home.champion().version
        model, answered = load_model(self.home.artefact(version), version), list[Json]()
        for start in range(0, len(rows), 16):
            block = pa.Table.from_pylist([{**row, "job": str(row["job"])} for row in rows[start : start + 16]])
            now = time.time_ns() // 1000
            checked = table_rows(block, model, where="the lake", first_row=start + 1, now=now)
            decided = decide(model, checked, now, self.home.settings.exploration.rate)
            table = Answers(model, decided, self.home.decisions.append(decided).first_id).table()
            answered += map(_plain, table.to_pylist())
        return answered

    def backtest(self, rows: list[Json]) -> list[Json]:
        checked = rows_from(pd.DataFrame(rows), self.home.schema, target="absent", where="the past")
        checked = replace(checked, target=np.full(len(rows), np.nan))
        first, end = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
        history = History(self.home.settings, checked, (Played("2025-03", first, end, checked),))
        replay(self.home.folder, self.home.folder, history, NEVER)
        return []


def _body(rows: list[Json], kind: str) -> bytes:
    if kind == "application/json":
        return json.dumps(rows).encode()
    if kind == "application/x-ndjson":
        return "\n".join(json.dumps(row) for row in rows).encode()
    sink = io.BytesIO()
    if kind == "text/csv":
        pd.DataFrame(rows).to_csv(sink, index=False)
    else:
        table = pa.Table.from_pylist([{**row, "job": str(row["job"])} for row in rows])
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    return sink.getvalue()


def _answers(content: bytes, kind: str) -> list[Json]:
    if kind == "application/json":
        found: list[Json] = json.loads(content)
        return found
    if kind == "application/x-ndjson":
        return [json.loads(line) for line in content.splitlines()]
    if kind == "text/csv":
        texts = dict.fromkeys(("decision_id", "scored_at"), pa.string())
        options = pyarrow.csv.ConvertOptions(column_types=texts, strings_can_be_null=True)
        table = pyarrow.csv.read_csv(io.BytesIO(content), convert_options=options)
    else:
        table = pa.ipc.open_stream(content).read_all()
    return [_plain(row) for row in table.to_pylist()]


def _plain(row: Mapping[Any, Any]) -> Json:
    """A row of a table as the JSON object of the same decision."""
    document = {"customer_id" if name == "id" else name: value for name, value in row.items()}
    document["default"] = bool(document["default"])
    for name in ("flags", "reasons"):
        if document.get(name) is not None:
            document[name] = json.loads(document[name])
    if document.get("flags") is None:
        document.pop("flags")
    return document


def _logged(home: Home, first: int, n: int) -> list[tuple[Any, ...]]:
    columns = [c for c in decisions.c if c.name not in {"id", "scored_at"}]
    with home.database.read() as connection:
        query = select(*columns).where(decisions.c.id >= first, decisions.c.id < first + n).order_by(decisions.c.id)
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_way_in_decides_logs_and_answers_the_same(client: httpx.Client, home: Home, seed: int) -> None:
    rows = customers(seed)
    ways = Ways(home, client)
    calls: dict[str, Callable[[list[Json]], list[Json]]]
    calls = {"single": ways.single, "frame": ways.frame, "engine": ways.engine, "back-test": ways.backtest}
    calls |= {kind: partial(ways.batch, kind) for kind in READERS}
    places, answered = {}, {}
    for name, call in calls.items():
        places[name] = home.decisions.last_id() + 1
        answered[name] = call(rows)
    logged = {name: _logged(home, first, len(rows)) for name, first in places.items()}
    assert {name for name, found in logged.items() if found != logged["single"]} == set()
    assert len(logged["single"]) == len(rows)
    _has_every_flag(logged["single"])

    documents = {
        name: [client.get(f"/decisions/{first + i}").json() for i in range(len(rows))] for name, first in places.items()
    }
    for name, found in documents.items():
        for document, known in zip(found, documents["single"], strict=True):
            assert {k: v for k, v in document.items() if k not in CHANGING} == {
                k: v for k, v in known.items() if k not in CHANGING
            }, name
    for name, found in answered.items():
        for answer, document in zip(found, documents[name], strict=name != "back-test"):
            same = {key: document[key] for key in answer if key != "flags"}
            assert {**same, "flags": document["flags"]} == {"flags": {}, **answer}, name
    portfolio = Portfolio(home)
    for name, first in places.items():
        replayed = portfolio.replay(first)
        assert replayed.identical, name
        again = client.get(f"/decisions/{first}").json()
        assert {key: replayed.to_dict()[key] for key in again} == again, name


def _has_every_flag(found: list[tuple[Any, ...]]) -> None:
    """The rows are worth comparing: each kind of flag and both decisions occur."""
    names = [c.name for c in decisions.c if c.name not in {"id", "scored_at"}]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    flags = [json.loads(row["flags"]) for row in rows if row["flags"]]
    assert {key for flag in flags for key in flag} == {"missing", "unseen", "explored", "exploration_rate"}
    assert {text for flag in flags for text in flag.get("unseen", {}).values()} >= {"new", "9"}
    assert {row["is_default"] for row in rows} == {0, 1}


def test_without_an_id_a_notebook_explores_and_logs_as_the_api_does(tmp_path: Path) -> None:
    """A row's number in a frame is nobody's name."""
    text = CONFIG.replace('id = "id"\n', "").replace('time = "day"\n', "")
    (tmp_path / "riskloop.toml").write_text(text + f"[exploration]\nrate = {RATE}\n")
    home = Home.open(tmp_path)
    try:
        promote(home, add_model(home, intercept=0.3))
        rows = [{k: v for k, v in row.items() if k not in {"id", "day"}} for row in customers(4)]
        forth = Portfolio(home).score(pd.DataFrame(rows))["default"].tolist()
        back = Portfolio(home).score(pd.DataFrame(rows[::-1]))["default"].tolist()
        assert forth == back[::-1]
        assert set(home.decisions.frame().customer_ids) == {""}
    finally:
        home.close()
