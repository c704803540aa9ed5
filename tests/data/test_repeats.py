"""Rows that come twice in a file are found over its blocks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows
from riskloop.data.repeats import RowKeys


@pytest.mark.parametrize("seed", range(4))
def test_equal_hashes_are_found_wherever_their_blocks_lie(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 60, 50)
    kept = np.flatnonzero(rng.random(50) < 0.8)  # some rows were refused
    keys = RowKeys()
    for block in np.array_split(kept, 4):
        keys.add(hashes[block], block)
    keys.add(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    wanted = [row for row in kept.tolist() if (hashes[kept] == hashes[row]).sum() > 1]
    assert keys.alike().tolist() == wanted


def test_no_rows_and_different_rows_are_none() -> None:
    keys = RowKeys()
    assert keys.alike().tolist() == []
    keys.add(np.arange(5), np.arange(5))
    assert keys.alike().tolist() == []


WRITTEN: dict[str, tuple[str, Callable[[int], object]]] = {
    "zeros in front": ("APPNO", lambda i: f"{1200 + i:07d}"),
    "numbers": ("loan_id", lambda i: 10_000_000 + 7 * i),
    "letters": ("Vertragsnr", lambda i: f"DE-{4000 + i:08d}"),
    "a key by its shape": ("fall", lambda i: f"D-{50_000 + 3 * i}"),
}
LOANS = 2400  # more different numbers than are counted


def loans(written: str, copies: int, changed: bool = False) -> pd.DataFrame:
    """Loans of which some rows are there twice; ``changed``: the second one of a pair says something else."""
    name, made = WRITTEN[written]
    rng = np.random.default_rng(4)
    income = rng.lognormal(10, 0.5, LOANS).round(2)
    bad = (rng.random(LOANS) < 0.2).astype(int)
    frame = pd.DataFrame({name: [made(int(i)) for i in rng.permutation(LOANS)], "income": income, "bad": bad})
    again = frame.sample(copies, random_state=1)
    if changed:
        again["income"] = again["income"].to_numpy() + np.eye(1, copies, 0)[0]
    return pd.concat([frame, again]).sample(frac=1, random_state=2)


@pytest.mark.parametrize("copies", [1, 90])
@pytest.mark.parametrize("written", WRITTEN)
def test_an_id_of_which_rows_are_copied_is_an_id(written: str, copies: int, tmp_path: Path) -> None:
    name = WRITTEN[written][0]
    loans(written, copies).to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("bad"))
    assert (found.name_of("id"), found.name_of("unit")) == (name, None)
    said = [note for note in found.notes if f"in '{name}' and every other column" in note]
    assert len(said) == 1
    assert said[0].startswith("1 row is" if copies == 1 else "90 rows are")
    checked = read_rows(
        tmp_path / "h.csv", parse_settings(config_text(found)).row_schema, target="required", where="h.csv"
    )
    assert (len(checked.rows), len(checked.refused)) == (LOANS, copies)


def test_more_copies_than_may_be_set_aside_are_to_be_taken_out(tmp_path: Path) -> None:
    loans("letters", 600).to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("bad"))
    assert any("600 rows" in note and "take the copies out of the file" in note for note in found.notes)


@pytest.mark.parametrize("written", WRITTEN)
def test_rows_that_share_an_id_and_differ_are_no_copies(written: str, tmp_path: Path) -> None:
    loans(written, 90, changed=True).to_csv(tmp_path / "h.csv", index=False)
    found = examine(tmp_path / "h.csv", Wanted("bad"))
    assert found.name_of("id") is None
    assert not any("every other column" in note for note in found.notes)
