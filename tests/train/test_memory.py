"""Learning says what it holds before it holds it: of more rows than fit none are kept, and a sample is a setting."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.core.errors import DataError
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Rows, to_micros
from riskloop.data.read import STANDARD
from riskloop.loop import first
from riskloop.loop.first import read_history
from riskloop.train import memory
from riskloop.train.fit import fit
from riskloop.train.fitted import sample_of
from riskloop.train.memory import at_once, row_bytes

COLUMNS = 12


def settings(train: str) -> Settings:
    features = "".join(f"[features.x{j}]\n" for j in range(COLUMNS))
    return parse_settings(f"[portfolio]\nname = 'x'\nid = 'id'\ntarget = 'bad'\n[train]\n{train}\n{features}")


def rows(n: int) -> Rows:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, COLUMNS))
    bad = (rng.random(n) < 1 / (1 + np.exp(1.5 - x[:, 0]))).astype(np.float64)
    return Rows(x, [str(i) for i in range(n)], np.zeros(n, dtype=np.int64), bad)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, path = rows(6000), tmp_path_factory.mktemp("history") / "history.csv"
    frame = pd.DataFrame(made.features.round(3), columns=[f"x{j}" for j in range(COLUMNS)])
    frame.assign(id=made.ids, bad=made.target).to_csv(path, index=False)
    return path


def read(path: Path, chosen: Settings) -> tuple[Rows, dict[str, object]]:
    now = to_micros(pd.Timestamp("2025-01-01", tz="UTC").to_pydatetime())
    return read_history(path, path.name, chosen.row_schema, chosen, now, None, lambda what, share: None)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_history_that_does_not_fit_is_refused_with_the_setting_that_helps(
    history: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    chosen = settings("")
    each = row_bytes(chosen.row_schema, chosen)
    monkeypatch.setattr(first, "room", lambda: int(share * 6000 * each))
    with pytest.raises(DataError, match="6,000 rows, and learning from all of them takes about") as refused:
        read(history, chosen)
    advice = int(refused.value.message.partition("max_rows = ")[2].split()[0])
    assert 0.6 * share * 6000 <= advice <= share * 6000
    kept, said = read(history, settings(f"max_rows = {advice}"))
    assert len(kept) == advice
    assert said["not_drawn"] == 6000 - advice
    assert f"{6000 - advice:,} other rows are left out" in str(said["sentence"])
    again, _ = read(history, settings(f"max_rows = {advice}"))
    assert again.ids == kept.ids
    others, _ = read(history, settings(f"max_rows = {advice}\nseed = 7"))
    assert others.ids != kept.ids


def test_where_nobody_says_what_is_free_everything_is_read(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first, "room", lambda: None)
    kept, said = read(history, settings(""))
    assert (len(kept), said["not_drawn"]) == (6000, 0)
    assert STANDARD.max_refused > 0


def test_fits_run_side_by_side_as_far_as_the_memory_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings('learners = ["scorecard"]')
    sample = sample_of(rows(1000), chosen, None, None)
    one = 1000 * COLUMNS * 8 * memory.OF_SCORECARD
    for free, expected in ((None, 4), (0.5 * one, 1), (2.5 * one, 2), (100 * one, 4)):
        monkeypatch.setattr(memory, "room", lambda free=free: free)
        assert at_once(sample, chosen, 4) == expected


def test_what_a_scorecard_holds_grows_with_the_rows_as_it_is_said_to() -> None:
    chosen = settings('learners = ["scorecard"]\nfolds = 2\nsearch = 0\nthreads = 1\nbenchmark = false')
    peaks = []
    for n in (12_000, 36_000):
        made = rows(n)
        tracemalloc.start()
        fit(made, chosen)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    growth = (peaks[1] - peaks[0]) / 24_000
    own = 8 * COLUMNS  # of the rows themselves, which were there before
    assert growth < row_bytes(chosen.row_schema, chosen) - own
