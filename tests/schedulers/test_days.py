"""A day of a portfolio by Airflow and by Dagster themselves, each in an environment of its own: `make test-schedulers`.

Kept out of the usual run: both bring a hundred packages, and start a process for every step.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from tests.data.lender import history

from riskloop.portfolio import Portfolio

ROOT = Path(__file__).parents[2]
DAY = "2025-07-01"
N = 100


def _airflow(folder: Path) -> tuple[list[str], dict[str, str]]:
    home = folder / "airflow"
    (home / "dags").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "deploy" / "airflow" / "riskloop_dag.py", home / "dags")
    program = str(ROOT / ".venv-airflow" / "bin" / "airflow")
    variables = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    subprocess.run([program, "db", "migrate"], env=os.environ | variables, check=True, capture_output=True)
    return [program, "dags", "test", "riskloop", DAY], variables


def _dagster(folder: Path) -> tuple[list[str], dict[str, str]]:
    home = folder / "dagster"
    home.mkdir(exist_ok=True)
    file = str(ROOT / "deploy" / "dagster" / "riskloop_assets.py")
    program = str(ROOT / ".venv-dagster" / "bin" / "dagster")
    words = [program, "asset", "materialize", "--select", "*", "--partition", DAY, "-f", file]
    return words, {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}


SCHEDULERS: dict[str, Callable[[Path], tuple[list[str], dict[str, str]]]] = {"airflow": _airflow, "dagster": _dagster}


@pytest.fixture(params=SCHEDULERS)
def scheduler(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not (ROOT / f".venv-{name}").is_dir():
        pytest.skip(f"{name} is not installed: `make test-schedulers` makes its environment and runs these tests.")
    return name


@pytest.fixture
def portfolio(tmp_path: Path) -> Path:
    """A trained portfolio, the applicants of a day, and what happened to them."""
    people = history(1300)
    people[:1200].to_csv(tmp_path / "history.csv", index=False)
    applicants = people[1200:].drop(columns="default").assign(applied=DAY)
    applicants.to_csv(tmp_path / f"in-{DAY}.csv", index=False)
    people[1200:][["loan_id", "default"]].to_csv(tmp_path / "outcomes.csv", index=False)
    words = ["init", "history.csv", "--target", "default", "--id", "loan_id", "--time", "applied", "-y"]
    for command in (words, ["train"]):
        subprocess.run([sys.executable, "-m", "riskloop.cli", *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_day_is_done_once_however_often_it_runs(scheduler: str, portfolio: Path) -> None:
    words, own = SCHEDULERS[scheduler](portfolio)
    given = {
        "RISKLOOP_CONFIG": str(portfolio / "riskloop.toml"),
        "RISKLOOP_IN": str(portfolio / "in-{day}.csv"),
        "RISKLOOP_OUT": str(portfolio / "out-{day}.csv"),
        "RISKLOOP_OUTCOMES": str(portfolio / "outcomes.csv"),
    }
    for _ in range(2):
        done = subprocess.run(words, env=os.environ | own | given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        scored = pd.read_csv(portfolio / f"out-{DAY}.csv")
        assert scored["decision_id"].tolist() == list(range(1, N + 1))
    opened = Portfolio.open(portfolio)
    assert opened.home.decisions.last_id() == N
    assert [window["decisions"] for window in opened.drift().windows] == [N]
    assert opened.status().decisions == N
    opened.home.close()


def test_a_broken_feed_is_not_scored(scheduler: str, portfolio: Path) -> None:
    file = portfolio / f"in-{DAY}.csv"
    frame = pd.read_csv(file)
    frame.assign(income=frame["income"] * 100).to_csv(file, index=False)
    words, own = SCHEDULERS[scheduler](portfolio)
    given = {
        "RISKLOOP_CONFIG": str(portfolio / "riskloop.toml"),
        "RISKLOOP_IN": str(portfolio / "in-{day}.csv"),
        "RISKLOOP_OUT": str(portfolio / "out-{day}.csv"),
    }
    done = subprocess.run(words, env=os.environ | own | given, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "income is 100 times larger" in done.stdout + done.stderr, done.stdout[-3000:]
    assert not (portfolio / f"out-{DAY}.csv").exists()
    opened = Portfolio.open(portfolio)
    assert opened.home.decisions.last_id() == 0
    opened.home.close()
