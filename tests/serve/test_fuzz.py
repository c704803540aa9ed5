"""Every operation is asked what nobody thought of, in every role; `benchmarks/fuzz.py` does it longer."""

from pathlib import Path

import httpx

from benchmarks.fuzz import NOBODY, PHASES, SEED, Fuzzed, describe, fuzz, keys
from riskloop.portfolio import Portfolio
from riskloop.store.home import Home
from riskloop.store.keys import Role

from .conftest import ROW, Running


def test_no_request_brings_a_5xx_or_an_answer_that_is_not_documented(
    home: Home, server: Running, client: httpx.Client, tmp_path: Path
) -> None:
    for number in range(5):
        assert client.post("/predict", json={**ROW, "id": f"c{number}"}).status_code == 200
    known = keys(Portfolio(home))
    describe(server.url, known[Role.OPERATE], tmp_path)
    done = Fuzzed()
    for role, key in known.items():
        phases = PHASES if role == Role.OPERATE else "fuzzing,stateful"
        fuzz(server.url, key, role, tmp_path, done, seed=SEED, examples=3, phases=phases)
    assert done.found == []
    assert set(done.requests) == {*Role, NOBODY}
    assert {200, 401, 403, 404, 422} <= set(done.statuses)
    assert done.requests.total() > 300
