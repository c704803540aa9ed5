"""Served = batch = replayed = scikit-learn, on every row: of the UCI data when it is there, else of the portfolio."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from riskloop.app import App, create_app
from riskloop.core.settings import Settings
from riskloop.core.types import Floats, Json, PromotionKind, Rows
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.loop.register import register
from riskloop.portfolio import Portfolio
from riskloop.scoring.model import load_model
from riskloop.simulation import embedded as simulate
from riskloop.simulation.uci import load_uci
from riskloop.store.home import CONFIG, Home
from riskloop.train.candidate import Candidate
from riskloop.train.fit import fit, recalibrate
from tests.extras import GROWN

UCI = Path(__file__).parents[2] / "shared" / "data" / "uci_credit_card.csv"
NOW = datetime(2025, 5, 1, tzinfo=UTC)
AT_ONCE = 500  # requests that wait together
EXACT = 1e-9
CSV, ARROW = "text/csv", "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history and its riskloop.toml."""
    folder = tmp_path_factory.mktemp("exact")
    if UCI.exists():
        frame = load_uci(UCI)
    else:
        frame = simulate.simulate(simulate.month_starts(date(2024, 1, 1), 2), 1000, seed=1)
        frame = frame.drop(columns=simulate.TIME)
    frame.to_csv(folder / "history.csv", index=False)
    (folder / CONFIG).write_text(infer_config(folder / "history.csv", target=simulate.TARGET, id=simulate.ID))
    return folder


def candidate_of(kind: str, home: Home, rows: Rows, settings: Settings) -> Candidate:
    """A fitted model; the recalibrated one is LightGBM's with a line of its own."""
    if kind != "recalibrated":
        return fit(rows, settings, learners=[kind])
    parent = fit(rows, settings, learners=["lightgbm"])
    artefact = home.artefacts.write(parent.manifest, parent.files)
    assert rows.target is not None
    shifted = np.where(np.arange(len(rows)) % 7 == 0, 1.0, rows.target)  # a world with more defaults
    return recalibrate(artefact, 1, parent.predict, parent.predict(rows.features), shifted, settings)


@pytest.mark.parametrize("kind", ["scorecard", "lightgbm", "hist_gradient_boosting", "recalibrated", *GROWN])
def test_every_way_to_a_probability_gives_the_same(customers: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / CONFIG).write_text((customers / CONFIG).read_text())
    home = Home.open(tmp_path)
    settings = home.settings.model_copy(update={"train": home.settings.train.model_copy(update={"folds": 2})})
    as_written = csv.ConvertOptions(column_types={home.schema.time: pa.string()} if home.schema.time else None)
    table = csv.read_csv(customers / "history.csv", convert_options=as_written)
    rows = rows_from(table, home.schema, target="required", where="history.csv")
    candidate = candidate_of(kind, home, rows, settings)
    version = register(home.artefacts, home.ledger, candidate, rows, origin="train", now=NOW)
    home.ledger.append(
        version, expected_seq=0, kind=PromotionKind.FORCED, at=NOW, by="test", reason="exact", evidence=None
    )
    fitted = candidate.predict(rows.features)

    table = table.drop_columns([home.schema.target])
    app = create_app(home, Portfolio(home))
    served, batches = asyncio.run(answered(app, table))

    np.testing.assert_allclose(served, fitted, atol=EXACT, rtol=0)
    for way, probabilities in batches.items():
        np.testing.assert_array_equal(probabilities, served, err_msg=way)
    log = home.decisions.frame()
    again = load_model(home.artefact(version), version).probabilities(log.features)
    np.testing.assert_array_equal(again, log.probabilities)
    np.testing.assert_array_equal(log.probabilities, np.tile(served, 1 + len(batches)))
    assert all(Portfolio(home).replay(number).identical for number in (1, len(served), len(log)))
    home.close()


async def answered(app: App, table: pa.Table) -> tuple[Floats, dict[str, Floats]]:
    """Probabilities of every row, asked for one by one and in batches of every kind."""
    rows = table.to_pylist()
    async with app.pages.router.lifespan_context(app.pages):
        served = []
        for start in range(0, len(rows), AT_ONCE):
            served += await asyncio.gather(*(predict(app, row) for row in rows[start : start + AT_ONCE]))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=300) as client:

            async def batch(content: bytes, kind: str) -> Floats:
                headers = {"content-type": kind, "accept": ARROW}
                answer = await client.post("/predict/batch?reasons=none", content=content, headers=headers)
                assert answer.status_code == 200, answer.text
                return np.array(pa.ipc.open_stream(answer.content).read_all()["probability"])

            batches = {kind: await batch(content, kind) for kind, content in bodies(table, rows).items()}
    return np.array(served), batches


async def predict(app: Callable[..., Awaitable[None]], row: Json) -> float:
    """One row through `POST /predict`, as the server calls it."""
    sent: list[Any] = []

    async def receive() -> Json:
        return {"type": "http.request", "body": json.dumps(row).encode(), "more_body": False}

    async def send(message: Json) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"reasons=none", "headers": headers}
    await app({**scope, "server": ("127.0.0.1", 80)}, receive, send)
    assert sent[0]["status"] == 200, sent
    return float(json.loads(sent[1]["body"])["probability"])


def bodies(table: pa.Table, rows: Sequence[Json]) -> dict[str, bytes]:
    """The rows in every kind that is read."""
    as_csv, as_arrow = io.BytesIO(), io.BytesIO()
    csv.write_csv(table, as_csv)
    with pa.ipc.new_stream(as_arrow, table.schema) as stream:
        stream.write_table(table)
    return {
        "application/json": json.dumps(rows).encode(),
        "application/x-ndjson": "\n".join(map(json.dumps, rows)).encode(),
        CSV: as_csv.getvalue(),
        ARROW: as_arrow.getvalue(),
    }
