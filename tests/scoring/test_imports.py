"""What scores can be imported without what serves, stores and trains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests import handmade

from riskloop.core.schema import Feature, Schema
from riskloop.store.artefacts import Artefacts

HEAVY = {
    *("fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "pandas", "pyarrow", "sklearn", "scipy", "lightgbm"),
    *("pydantic", "requests", "evidently", "plotly"),
}
IMPORTS = ("riskloop.scoring", "riskloop.scoring.bodies", "riskloop.scoring.writers")
CARD = {"intercept": 0.0, "features": [{"bounds": [1.0], "points": [0.0, 2.0], "missing": 0.0, "mean": 0.0}]}
SCORE = """
import sys
from pathlib import Path
from riskloop.core.manifest import ModelManifest
from riskloop.scoring import Answers, decide, load_model, reasons
from riskloop.store.artefacts import Artefacts

model = load_model(Artefacts(Path(sys.argv[1])).read(sys.argv[2], ModelManifest), 1)
decisions = decide(model, model.decoder.rows([model.decoder.row(b'{"x": 2}', 0)]), 1)
(answer,) = Answers(model, decisions, 1, reasons(model, decisions, "all", 2)).each()
assert answer.default, answer
assert [reason.feature for reason in answer.reasons] == ["x"]
"""


def loaded(program: str, *arguments: str) -> set[str]:
    """The heavy packages that a process has imported after ``program``."""
    text = f"{program}\nimport sys\nprint(*(sys.modules.keys() & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", text, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.parametrize("module", IMPORTS)
def test_scoring_is_light(module: str) -> None:
    assert loaded(f"import {module}") == set()


def test_a_model_is_loaded_and_decides_without_the_rest(tmp_path: Path) -> None:
    manifest = handmade.manifest(Schema((Feature("x"),), "bad"))
    artefact = Artefacts(tmp_path).write(manifest, {"scorecard.json": json.dumps(CARD).encode()})
    assert loaded(SCORE, str(tmp_path), artefact.name) == set()
