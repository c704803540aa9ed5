"""What a scheduler sees of a job: its exit code, and that it was done once or not at all, whatever is in the way."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from tests.serve.conftest import CONFIG, ROW, add_model, promote

from riskloop import cli
from riskloop.portfolio import Portfolio
from riskloop.store.home import Home

N = 60
JOBS = ["score", "outcomes"]
FULL = Path("/dev/full")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "riskloop.toml").write_text(CONFIG)
    home = Home.open(tmp_path)
    promote(home, add_model(home))
    yield home
    home.close()


def people(bad: int = 0) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, "id": f"c{i}", "debt": 99 if i < bad else 4} for i in range(N)])


def labels(bad: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"c{i}" for i in range(N)], "bad": ["?!" if i < bad else i % 2 for i in range(N)]})


def job(name: str, home: Home, bad: int = 0) -> list[str]:
    """The words of a command over a file in which ``bad`` rows cannot be read."""
    if name == "outcomes":
        Portfolio(home).score(people())
        labels(bad).to_csv(home.folder / "in.csv", index=False)
        return ["outcomes", str(home.folder / "in.csv"), "--config", str(home.folder)]
    people(bad).to_csv(home.folder / "in.csv", index=False)
    words = ["score", str(home.folder / "in.csv"), str(home.folder / "out.csv"), "--engine", "local"]
    return [*words, "--config", str(home.folder)]


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit code of a command."""
    monkeypatch.setattr("sys.argv", ["riskloop", *words])
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(("bad", "code"), [(0, 0), (1, 12), (N, 3)])
@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_cannot_say_how_far_it_is_ends_with_its_own_code(
    name: str, bad: int, code: int, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = job(name, home, bad)
    with FULL.open("w", buffering=1, encoding="utf-8") as full:
        monkeypatch.setattr("sys.stderr", full)
        assert run(words, monkeypatch) == code
    assert home.decisions.count() == (N if name == "outcomes" else (N - bad) * (code != 3))
