"""A file tried in a process of its own, by the library that wrote it: a damaged one can end the process that reads it.

LightGBM and XGBoost trust what they read. Here they load it and score odd rows, and what then happens is a sentence.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping
from signal import Signals
from typing import Any, Final

import numpy as np

from riskloop.core.errors import ArtefactError
from riskloop.core.types import Floats
from riskloop.train.foreign.source import ForeignFile

PATIENCE: Final = 300.0  # seconds
LIBRARIES: Final = {"lightgbm": "LightGBM", "xgboost": "XGBoost"}


def try_alone(found: ForeignFile, patience: float = PATIENCE) -> None:
    """Let a file's library read and use it elsewhere; raises ArtefactError where that process is lost.

    A file that the library refuses in words is refused by its reader, not here.
    """
    if found.kind not in LIBRARIES:
        return
    library = LIBRARIES[found.kind]
    command = [sys.executable, "-P", "-m", __name__, found.kind]
    try:
        done = subprocess.run(  # noqa: S603 - this very file
            command, input=found.content, capture_output=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        raise ArtefactError(
            f"{library} does not come to an end with {found.name} within {patience:g} s, so the file is damaged. "
            "Nothing was registered."
        ) from None
    if done.returncode < 0:
        raise ArtefactError(
            f"{library} itself ends with {Signals(-done.returncode).name} when it reads {found.name}, so the file is "
            "damaged. Nothing was registered; save the model again."
        )


def _lightgbm(content: bytes) -> None:
    from riskloop.scoring.lightgbm import Booster
    from riskloop.train.foreign.boosters import lightgbm_text

    booster = Booster(lightgbm_text(content).encode(), "it")
    booster.raw(_odd_rows(booster.width))


def _xgboost(content: bytes) -> None:
    import importlib

    xgboost: Any = importlib.import_module("xgboost")
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    kinds = ["c" if kind == "c" else "q" for kind in booster.feature_types or ["q"] * booster.num_features()]
    rows = xgboost.DMatrix(_odd_rows(len(kinds)).astype(np.float32), feature_types=kinds, enable_categorical=True)
    booster.predict(rows, pred_leaf=True, validate_features=False)


def _odd_rows(width: int) -> Floats:
    """Rows (n, width) of small and large numbers, of whole ones as codes are, and of none."""
    rng = np.random.default_rng(0)
    edges = [np.full((1, width), value) for value in (0.0, np.nan, 1e30, -1e30)]
    rows: Floats = np.vstack([*edges, rng.normal(0.0, 10.0, (60, width)), rng.integers(0, 40, (60, width))])
    rows[rng.random(rows.shape) < 0.05] = np.nan
    return rows


READERS: Final[Mapping[str, Callable[[bytes], None]]] = {"lightgbm": _lightgbm, "xgboost": _xgboost}

if __name__ == "__main__":
    READERS[sys.argv[1]](sys.stdin.buffer.read())
