"""A small portfolio after a recession: everything that a cycle needs to retrain, judge and promote."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from riskloop.core.types import to_micros
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.loop.cycle import cycle
from riskloop.portfolio import Portfolio
from riskloop.scoring.decide import decide
from riskloop.scoring.model import load_model
from riskloop.simulation import SCENARIOS
from riskloop.simulation.embedded import ID, TARGET, TIME, World, month_starts, simulate
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome

START = datetime(2024, 12, 31, tzinfo=UTC)
MONTHS = month_starts(date(2025, 1, 1), 3)
PER_MONTH = 1000
BEGUN = datetime(2025, 4, 30, 14, 0, tzinfo=UTC)  # a cycle, when everything has matured
TRAINED = BEGUN + timedelta(minutes=3)
EXTRA = """
[train]
learners = ["scorecard"]
folds = 3
[gate]
max_approval_shift = 0.5
"""


def recession() -> World:
    """The world in which the same data mean another risk."""
    world = SCENARIOS["recession"].world
    assert world is not None
    return world


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder to copy from, made by the first worker of the session that asks for it; the others wait for that."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    folder = (factory.getbasetemp() if alone else factory.getbasetemp().parent) / f"shared-{name}"
    made = folder.with_suffix(".made")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def built(folder: Path, extra: str = EXTRA) -> Portfolio:
    """A trained portfolio; its first model is the champion."""
    history = simulate(month_starts(date(2024, 1, 1), 12), 300, 1)
    path = folder / "history.csv"
    history.to_csv(path, index=False)
    text = infer_config(path, target=TARGET, id=ID, time=TIME, outcome_window=timedelta(days=30))
    kept = text.split("[train]", 1)[0] if "[train]" in text else text
    (folder / "riskloop.toml").write_text(kept + extra, encoding="utf-8")
    portfolio = Portfolio.open(folder)
    portfolio.train(path, now=START)
    return portfolio


def live(
    portfolio: Portfolio,
    month: date,
    seed: int,
    world: World,
    n: int = PER_MONTH,
    known: bool = True,
    declined_too: bool = True,
) -> None:
    """A month of decisions by the champion, and their outcomes; without ``declined_too`` those of the approved."""
    home = portfolio.home
    frame = simulate([month], n, seed, world)
    frame = frame[frame["EDUCATION"] != 0]  # a rare level that the small history may not hold
    rows = rows_from(frame, home.schema, target="required", where="the simulation")
    assert rows.target is not None
    version = home.champion().version
    model = load_model(home.artefact(version), version)
    at = to_micros(datetime(month.year, month.month, 1, tzinfo=UTC))
    decisions = decide(model, rows, at)
    logged = home.decisions.append(decisions)
    if known:
        when = datetime(month.year, month.month, 28, tzinfo=UTC)
        seen = ~decisions.defaults | declined_too
        reported = [Outcome(bool(y), when, logged.first_id + i) for i, y in enumerate(rows.target) if seen[i]]
        home.outcomes.record(reported, when)


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained portfolio without decisions."""
    return once(tmp_path_factory, "trained", lambda folder: built(folder).home.close())


@pytest.fixture(scope="session")
def drifted_folder(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three months of a recession, with all outcomes, and no cycle yet."""

    def make(folder: Path) -> None:
        shutil.copytree(trained_folder, folder, dirs_exist_ok=True)
        portfolio = Portfolio.open(folder)
        for number, month in enumerate(MONTHS):
            live(portfolio, month, 100 + number, recession())
        portfolio.home.close()

    return once(tmp_path_factory, "drifted", make)


@pytest.fixture(scope="session")
def promoted_folder(drifted_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a cycle, whose challenger became champion three minutes after it began."""

    def make(folder: Path) -> None:
        shutil.copytree(drifted_folder, folder, dirs_exist_ok=True)
        portfolio = Portfolio.open(folder)
        cycle(portfolio.home, BEGUN, clock=lambda: TRAINED)
        assert portfolio.home.champion().version == 2
        portfolio.home.close()

    return once(tmp_path_factory, "promoted", make)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A portfolio without a model, for what cases do by themselves."""
    (tmp_path / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    home = Home.open(tmp_path)
    yield home
    home.close()


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Callable[[Path], Portfolio]]:
    """Opens a copy of a folder; closed at the end."""
    opened: list[Portfolio] = []

    def copy(folder: Path) -> Portfolio:
        place = tmp_path / f"copy{len(opened)}"
        shutil.copytree(folder, place)
        opened.append(Portfolio.open(place))
        return opened[-1]

    yield copy
    for portfolio in opened:
        portfolio.home.close()
