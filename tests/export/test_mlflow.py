"""The mirror in MLflow, on a real tracking server in an environment of its own: `make test-mlflow`."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from tests import foreign
from tests.test_cli import run

from riskloop.core.errors import ConfigError, Conflict, Unreachable
from riskloop.core.settings import MlflowSettings
from riskloop.export.mlflow import registered_name, shown, sync
from riskloop.loop import mirror as mirroring
from riskloop.portfolio import Portfolio
from riskloop.store.cycles import MLFLOW, loop_state
from riskloop.store.home import Home

ROOT = Path(__file__).parents[2]
SERVER = Path(os.environ.get("RISKLOOP_TEST_MLFLOW", ROOT / ".venv-mlflow" / "bin" / "mlflow"))
HISTORY = foreign.people()

needs_server = pytest.mark.skipif(
    not SERVER.exists() or find_spec("mlflow") is None,
    reason="no MLflow server: make test-mlflow, or name its program in RISKLOOP_TEST_MLFLOW",
)


@dataclass
class Tracking:
    address: str
    store: Path


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    import socket

    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--serve-artifacts"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/db.sqlite", "--artifacts-destination", str(folder / "store")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [SERVER, *words], stdout=log, stderr=log, env={**os.environ, **quiet}, cwd=folder, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        if not answers(process, address):
            pytest.fail((folder / "log").read_text())
        yield Tracking(address, folder / "store")
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def answers(process: "subprocess.Popen[bytes]", address: str) -> bool:
    """Whether the server is there; it takes some seconds to make its database."""
    wait = threading.Event()
    for _ in range(600):
        if process.poll() is not None:
            return False
        try:
            return bool(requests.get(f"{address}/health", timeout=5).ok)
        except requests.ConnectionError:
            wait.wait(0.2)
    return False


@pytest.fixture
def portfolio(tmp_path: Path) -> Iterator[Portfolio]:
    """Two versions: a scorecard that serves, and a challenger."""
    (tmp_path / "riskloop.toml").write_text(foreign.CONFIG, encoding="utf-8")
    (tmp_path / "card.csv").write_bytes(foreign.card_csv())
    opened = Portfolio.open(tmp_path)
    opened.import_model(tmp_path / "card.csv", HISTORY, scale=foreign.SCALE, closed="right")
    opened.train(HISTORY)
    yield opened
    opened.home.close()


def mirrored(portfolio: Portfolio, address: str, name: str, timeout: float = 20.0) -> Portfolio:
    """The same portfolio with a mirror."""
    changed = {"mlflow": MlflowSettings(mirror=address, name=name, timeout=timeout)}
    settings = portfolio.home.settings.model_copy(update=changed)
    return Portfolio(replace(portfolio.home, settings=settings))


def mirrored_now(home: Home) -> bool:
    return mirroring.mirror_now(home.ledger, home.artefacts, home.settings)


@needs_server
def test_versions_and_the_alias_follow_the_ledger_without_a_pickle(portfolio: Portfolio, tracking: Tracking) -> None:
    import mlflow
    from mlflow import MlflowClient

    portfolio, client = mirrored(portfolio, tracking.address, "loan"), MlflowClient(tracking.address)
    home = portfolio.home
    assert mirrored_now(home)
    assert client.get_model_version_by_alias("loan", "champion").tags["riskloop.version"] == "1"
    portfolio.promote(2, reason="validated", force=True)
    assert mirrored_now(home)
    champion = client.get_model_version_by_alias("loan", "champion")
    promotion = home.champion()
    assert champion.tags["riskloop.version"] == "2"
    assert champion.tags["riskloop.promotion"] == str(promotion.seq)
    assert champion.tags["riskloop.kind"] == "forced"
    assert champion.tags["riskloop.sha256"] == home.ledger.model(2).sha256
    assert len(client.search_model_versions("name='loan'")) == 2
    assert mirrored_now(home)  # changes nothing
    assert len(client.search_model_versions("name='loan'")) == 2
    assert not [path for path in tracking.store.rglob("*") if path.suffix in (".pkl", ".pickle", ".cloudpickle")]

    mlflow.set_tracking_uri(tracking.address)
    loaded = mlflow.pyfunc.load_model("models:/loan@champion")
    answered = loaded.predict(HISTORY.drop(columns="bad"))
    decided = portfolio.score(HISTORY.drop(columns="bad"))
    np.testing.assert_array_equal(answered["probability"], decided["probability"])
    np.testing.assert_array_equal(answered["default"], decided["default"])

    assert portfolio.export_mlflow(1)["number"] == "1", "what is there is left alone"
    again = portfolio.export_mlflow(1, name="by hand")
    assert again == {"version": 1, "name": "by hand", "number": "1"}


@needs_server
def test_what_mlflow_lost_is_made_again(portfolio: Portfolio, tracking: Tracking) -> None:
    from mlflow import MlflowClient

    home, client = mirrored(portfolio, tracking.address, "lost").home, MlflowClient(tracking.address)
    assert mirrored_now(home)
    client.delete_registered_model("lost")
    assert mirrored_now(home)
    assert client.get_model_version_by_alias("lost", "champion").tags["riskloop.version"] == "1"
    client.set_model_version_tag("lost", "1", "riskloop.sha256", "0" * 64)
    with pytest.raises(Conflict, match="version 1 of another portfolio"):
        sync(home.ledger, home.artefacts, tracking.address, "lost", 20.0)


@needs_server
def test_a_mirror_is_a_source_of_models_but_not_of_our_own(portfolio: Portfolio, tracking: Tracking) -> None:
    """`models import` reads an address of MLflow: a model that somebody logged as LightGBM's text."""
    import lightgbm
    import mlflow

    mlflow.set_tracking_uri(tracking.address)
    fitted = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(foreign.coded(HISTORY), HISTORY["bad"])
    with mlflow.start_run():
        logged = mlflow.lightgbm.log_model(fitted.booster_, name="booster")
    found = portfolio.import_model(logged.model_uri, HISTORY)
    assert (found.version, found.kind, found.source) == (3, "lightgbm", logged.model_uri)


def test_a_lost_server_loses_nothing_and_is_said(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="pip install 'riskloop[mlflow]'")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    portfolio = mirrored(portfolio, "http://me:secret@127.0.0.1:9", "loan", timeout=1.0)
    home = portfolio.home
    for failures in (1, 2):
        assert not mirrored_now(home)
        state = loop_state(home.database, MLFLOW)
        assert state.failures == failures
        assert "MLflow at http://127.0.0.1:9 does not take the versions" in str(state.problem)
        assert "secret" not in str(state.problem)
    status = portfolio.status()
    assert status.mirror is not None
    assert status.mirror["failures"] == 2
    assert status.loop["failures"] == 0, "the loop's own row is another one"
    assert portfolio.status().champion is not None
    with pytest.raises(Unreachable):
        portfolio.export_mlflow(1)


def test_the_cycle_does_not_wait(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    home, release, begun = mirrored(portfolio, "http://127.0.0.1:9", "loan").home, threading.Event(), threading.Event()

    def slow(*_: Any) -> Any:
        begun.set()
        release.wait(60)
        raise Unreachable("too slow")

    monkeypatch.setattr(mirroring, "sync", slow)
    thread = mirroring.mirror(home.ledger, home.artefacts, home.settings)
    assert thread is not None
    assert begun.wait(60)
    assert thread.is_alive()
    second = mirroring.mirror(home.ledger, home.artefacts, home.settings)
    assert second is not None
    second.join(60)
    assert not second.is_alive(), "one at a time: the other one does not queue up"
    release.set()
    thread.join(60)
    assert loop_state(home.database, MLFLOW).problem == "too slow"


def test_the_command_says_what_it_needs_and_what_it_cannot_reach(portfolio: Portfolio) -> None:
    folder = portfolio.home.folder
    nowhere = run("export", "mlflow", "1", folder=folder)
    assert nowhere.code == ConfigError.exit_code
    assert "--uri http://" in nowhere.err
    if find_spec("mlflow") is None:
        lacking = run("export", "mlflow", "1", "--uri", "http://127.0.0.1:9", folder=folder)
        assert lacking.code == ConfigError.exit_code
        assert "riskloop[mlflow]" in lacking.err


@needs_server
def test_the_command_puts_one_version_there_once(portfolio: Portfolio, tracking: Tracking) -> None:
    from mlflow import MlflowClient

    words = ("export", "mlflow", "2", "--uri", tracking.address, "--name", "by-command")
    for _ in range(2):
        done = run(*words, folder=portfolio.home.folder)
        assert done.code == 0, done.err
        assert "by-command" in done.out
    (found,) = MlflowClient(tracking.address).search_model_versions("name = 'by-command'")
    assert found.tags["riskloop.version"] == "2"


@needs_server
def test_a_single_cycle_of_the_command_moves_the_alias(portfolio: Portfolio, tracking: Tracking) -> None:
    """As the page says; in a process that ends right after it, in which MLflow could start no thread any more."""
    from mlflow import MlflowClient

    config = portfolio.home.folder / "riskloop.toml"
    config.write_text(f'{config.read_text()}\n[mlflow]\nmirror = "{tracking.address}"\nname = "once"\n')
    command = [sys.executable, "-m", "riskloop.cli", "watch", "--once"]
    done = subprocess.run(command, cwd=portfolio.home.folder, capture_output=True, text=True, check=True, timeout=240)
    assert "The mirror waits" not in done.stdout + done.stderr
    alias = MlflowClient(tracking.address).get_model_version_by_alias("once", "champion")
    assert alias.tags["riskloop.version"] == "1"


def test_no_mirror_no_thread(portfolio: Portfolio) -> None:
    assert mirroring.mirror(portfolio.home.ledger, portfolio.home.artefacts, portfolio.home.settings) is None
    assert portfolio.status().mirror is None


@pytest.mark.parametrize(
    ("uri", "said"),
    [("http://a:b@host:5000/x", "http://host:5000/x"), ("sqlite:///m.db", "sqlite:///m.db")],
)
def test_an_address_is_shown_without_its_password(uri: str, said: str) -> None:
    assert shown(uri) == said
    assert registered_name("Loans: A/B") == "Loans- A-B"
