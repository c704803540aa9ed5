"""The servers that `benchmarks.serving` compares. Each runs in a process of its own: NAME PORT FOLDER."""

import importlib
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn

from riskloop.scoring.answers import Answer
from riskloop.scoring.model import load_model
from riskloop.serve.process import LOGGING, bind
from riskloop.store.home import Home

PIPELINE: Final = "pipeline.skops"  # of the usual design, written by `benchmarks.serving`


class Bare:
    """A bare ASGI function that decodes the row, calls the model and answers. It logs nothing."""

    def __init__(self, home: Home) -> None:
        version = home.champion().version
        self._model = load_model(home.artefact(version), version)
        self._decoder = self._model.decoder
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        message = await receive()
        parsed = self._decoder.row(message["body"], time.time_ns() // 1000)
        model = self._model
        probability = float(model.probabilities(_matrix(parsed.features))[0])
        default = probability >= model.threshold
        level = model.risk_level(probability)
        answer = Answer(
            "0", parsed.customer_id, default, probability, level, model.threshold, model.version, [], "2025-05-01"
        )
        body = self._encode(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _matrix(row: bytes) -> Any:
    import numpy as np

    return np.frombuffer(row, dtype="<f8").reshape(1, -1)


def pydantic(home: Home) -> Any:
    """FastAPI with a pydantic model of the row, and no scoring at all."""
    from fastapi import FastAPI

    app, row = FastAPI(), _row_model(home)

    def predict(customer: Any) -> dict[str, Any]:
        return {"default": False, "probability": 0.5, "risk_level": "low", "model_version": 1}

    predict.__annotations__["customer"] = row

    async def predict_async(customer: Any) -> dict[str, Any]:
        return predict(customer)

    predict_async.__annotations__["customer"] = row
    app.post("/predict")(predict_async)
    return app


def usual(home: Home) -> Any:
    """The usual design: FastAPI, pydantic, a frame of one row, a scikit-learn pipeline. It logs nothing."""
    import pandas as pd
    from fastapi import FastAPI
    from skops import io as skops_io

    app, row = FastAPI(), _row_model(home)
    path = home.folder / PIPELINE
    pipeline = skops_io.load(path, trusted=skops_io.get_untrusted_types(file=path))
    names = [home.schema.names[i] for i in home.schema.model_columns]

    def predict(customer: Any) -> dict[str, Any]:
        frame = pd.DataFrame([customer.model_dump()])[names]
        probability = float(pipeline.predict_proba(frame)[0, 1])
        return {"default": probability >= 0.5, "probability": probability}

    predict.__annotations__["customer"] = row
    app.post("/predict")(predict)
    return app


def _row_model(home: Home) -> Any:
    from pydantic import create_model

    schema = home.schema
    fields: dict[str, Any] = {}
    for feature in schema.features:
        kind: Any = float if feature.kind == "number" else str | int
        fields[feature.name] = (kind | None, None) if feature.nullable else (kind, ...)
    for name in (schema.id, schema.time):
        if name is not None:
            fields[name] = (str | int | None, None)
    return create_model("Row", **fields)


def _without_chain() -> None:
    """Write decisions as before there was a chain: what `benchmarks.trust` compares with."""
    sqlite: Any = importlib.import_module("riskloop.store.sqlite")

    def insert(cursor: Any, groups: Any, _chunk: Any) -> list[Any]:
        logged, count = [], sum(len(group) for group in groups)
        following = int(cursor.execute(sqlite._TAKE, (count,)).fetchone()[0]) - count + 1
        for group in groups:
            cursor.executemany(sqlite._INSERT, sqlite.decision_tuples(following, group))
            logged.append(sqlite.Logged(following, len(group)))
            following += len(group)
        return logged

    sqlite._insert = insert


def serve() -> None:
    """Serve one of them on a port of 127.0.0.1."""
    name, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if name in ("riskloop", "unchained"):
        from riskloop.serve.process import run_server

        if name == "unchained":
            _without_chain()

        run_server(folder, port=port)
        return
    home = Home.open(folder)
    app = {"bare": Bare, "pydantic": pydantic, "usual": usual}[name](home)
    config = uvicorn.Config(app, access_log=False, log_config=LOGGING, lifespan="off" if name == "bare" else "auto")
    uvicorn.Server(config).run([bind("127.0.0.1", port)])


if __name__ == "__main__":
    serve()
