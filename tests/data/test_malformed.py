"""Files that went wrong on their way: never a traceback, never a planted leak as input, always one clear sentence.

`python -m benchmarks.malformed` meets ten thousand of them.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks._malformed import BYTES, CELLS, CONTAINERS, LEAKS, Plan, fate, plans

STOPPING = {  # of what a damage leaves, nothing could be learned, or nobody could say what is meant
    "one class", "no target", "no target's name", "the target's name twice", "no rows", "no dates", "other dates",
    "a name twice", "the same id", "missing ids", "ids in powers", "many words in numbers", "other signs", "no header",
    "huge numbers", "odd targets", "few rows", "columns lost",
}  # fmt: skip
BROKEN = {
    "some tabs",
    "cut off",
    "NULs",
    "nothing",
    "blanks only",
    "a page",
    "an answer",
    "random",
    "a quote",
    "some bytes",
    "a byte",
}


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(plans())
def test_a_damaged_file_is_read_or_refused_in_a_sentence(plan: Plan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fate(plan, Path(folder))


@pytest.mark.parametrize("name", sorted(CELLS))
def test_damages_of_cells_that_leave_a_table_stop_nobody(name: str, tmp_path: Path) -> None:
    said = fate(Plan("h.csv", (name,), (), None, 7), tmp_path)
    assert (said == "read") or name in STOPPING, said


@pytest.mark.parametrize("name", sorted(BYTES))
def test_damages_of_bytes_that_leave_a_table_stop_nobody(name: str, tmp_path: Path) -> None:
    said = fate(Plan("h.csv", (), (name,), None, 7), tmp_path)
    assert (said == "read") or name in BROKEN, said


@pytest.mark.parametrize("container", sorted(CONTAINERS))
@pytest.mark.parametrize("leak", sorted(LEAKS))
def test_leaks_are_found_in_every_container(container: str, leak: str, tmp_path: Path) -> None:
    said = fate(Plan(container, (), (), leak, 3), tmp_path)
    assert said == "read" or container == "h.zip"  # which may hold two files


@pytest.mark.parametrize("container", sorted(set(CONTAINERS) - {"h.csv", "h.txt"}))
def test_a_container_that_is_cut_off_is_refused(container: str, tmp_path: Path) -> None:
    for seed in range(5):
        said = fate(Plan(container, (), ("cut off",), None, seed), tmp_path)
        assert said == "read" or container.split(".", 1)[1].split(".")[0] in said
