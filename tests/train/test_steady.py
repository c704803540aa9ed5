"""Columns whose evidence holds: by the plain definition, and as the preparation of wide tables uses them."""

import json

import numpy as np
import pytest

from riskloop.core.settings import parse_settings
from riskloop.core.types import Bools, Floats, Rows
from riskloop.scoring.preparation import Preparation, Step
from riskloop.train import prepare, steady
from riskloop.train.fit import fit
from riskloop.train.steady import steadiest, steadiness


def by_definition(x: Floats, y: Bools, weight: Floats, codes: bool) -> float:
    """One column, bin by bin and half by half."""
    half = np.zeros(len(y), dtype=int)
    half[y], half[~y] = np.arange(y.sum()) % 2, np.arange((~y).sum()) % 2
    if codes:
        cell = np.where(np.isnan(x), 0, np.nan_to_num(x) + 1).astype(int)
    else:
        there = x[~np.isnan(x)]
        edges = np.unique(np.quantile(there, np.arange(1, 10) / 10)) if there.size else there
        cell = np.where(np.isnan(x), 0, 1 + np.searchsorted(edges, np.nan_to_num(x)))
    found = []
    for mine in (0, 1):
        worth = 0.0
        shares = {}
        for h in (0, 1):
            rows = [
                [weight[(half == h) & (y == kind) & (cell == c)].sum() + 0.5 for c in range(cell.max() + 1)]
                for kind in (True, False)
            ]
            shares[h] = np.array(rows) / np.sum(rows, axis=1)[:, None]
        for bad, good, known_bad, known_good in zip(*shares[mine], *shares[1 - mine], strict=True):
            worth += (bad - good) * np.log(known_bad / known_good)
        found.append(worth)
    return min(found)


@pytest.mark.parametrize("cells", [steady.CELLS, 1000])
def test_steadiness_is_what_its_definition_says(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "CELLS", cells)  # columns are looked at in blocks, which changes nothing
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 9))
    x[:, 1], x[:, 2] = np.round(x[:, 1]), 7.0
    x[rng.random(400) < 0.3, 3], x[:, 4] = np.nan, np.nan
    x[:, 5], x[:, 6] = rng.integers(0, 4, 400), rng.integers(0, 60, 400)
    x[rng.random(400) < 0.2, 5] = np.nan
    y, weight = rng.random(400) < 1 / (1 + np.exp(1 - x[:, 0])), rng.random(400) + 0.5
    other = y[rng.permutation(400)]
    found = steadiness(x, (y, other), weight, (5, 6))
    expected = [[by_definition(x[:, j], o, weight, j in (5, 6)) for j in range(9)] for o in (y, other)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert steadiest(x, y, weight, (5, 6), 1).tolist() == [0]


def wide(rows: int, columns: int) -> tuple[Rows, str]:
    """A table of noise but for five columns, one of them of codes."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, columns))
    x[:, 4] = rng.integers(0, 3, rows)
    z = x[:, :4] @ np.array([1.2, -1.0, 0.8, 0.8]) + 1.5 * (x[:, 4] == 1) - 1.5
    y = (rng.random(rows) < 1 / (1 + np.exp(-z))).astype(np.float64)
    text = '[portfolio]\ntarget = "y"\n[train]\nlearners = ["lightgbm"]\nbenchmark = false\nsearch = 2\nfolds = 2\n'
    text += "".join(f"[features.x{j}]\n" for j in range(columns) if j != 4)
    text += '[features.x4]\nkind = "category"\ncategories = ["a", "b", "c"]\n'
    order = [*(j for j in range(columns) if j != 4), 4]
    return Rows(x[:, order], [str(i) for i in range(rows)], np.zeros(rows, dtype=np.int64), y), text


def test_boosters_never_see_more_columns_of_a_wide_table_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that grows with the columns is done once a part; each of hundreds of trees sees `MOST_COLUMNS`."""
    import lightgbm

    rows, text = wide(400, 3000)
    seen: list[int] = []
    made = lightgbm.Dataset.construct

    def construct(self: lightgbm.Dataset) -> lightgbm.Dataset:
        data = made(self)
        seen.append(data.num_feature())
        return data

    monkeypatch.setattr(lightgbm.Dataset, "construct", construct)
    candidate = fit(rows, parse_settings(text))
    assert seen
    assert max(seen) == prepare.MOST_COLUMNS
    manifest = candidate.manifest
    assert manifest.metrics.auc > 0.65
    used = {name for name, share in manifest.importance.items() if share > 0.0}
    assert {"x0", "x1", "x2", "x4"} <= used
    assert len(manifest.importance) == 3000
    steps = json.loads(candidate.files["preparation.json"])["steps"]
    assert len(steps) == prepare.MOST_COLUMNS
    assert {step["how"] for step in steps} == {"keep"}


def test_contributions_of_a_few_columns_of_many_go_to_where_they_come_from() -> None:
    """What stands between ten thousand columns and three must not hold ten thousand times ten thousand numbers."""
    steps = (
        Step("b", "keep", (9_000,)),
        Step("r", "ratio", (3, 9_999)),
        Step("s", "sum", (3, 10_000), shown=True),
    )
    preparation = Preparation(10_000, steps)
    parts = preparation.attributed(np.array([[1.0, 2.0, 4.0, 0.5]]))
    assert parts.shape == (1, 10_001)
    assert {j: parts[0, j] for j in np.flatnonzero(parts[0]).tolist()} == {
        3: 1.0 + 2.0 + 1.0,
        9_000: 1.0,
        9_999: 1.0 + 1.0,
        10_000: 0.5,
    }
    assert sum(len(share) for share in preparation.shares) == 5
