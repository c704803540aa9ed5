"""The doctor: each thing that can be broken is broken here, found, and named with what mends it."""

import re
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serve.conftest import CONFIG, add_model, promote
from tests.serve.conftest import Running as Server
from tests.test_cli import run

from riskloop.core.errors import UNWELL
from riskloop.core.types import Json
from riskloop.doctor import EXTRAS, examine
from riskloop.store.home import Home
from riskloop.store.running import announced


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = CONFIG.replace("[serve]", f"[serve]\nport = {port}")
    (tmp_path / "riskloop.toml").write_text(text)
    home = Home.open(tmp_path)
    promote(home, add_model(home))
    home.trust.keep(force=True)
    home.close()
    return tmp_path


def found(folder: Path) -> dict[str, list[Json]]:
    by_check: dict[str, list[Json]] = {}
    for check in examine(folder).checks:
        by_check.setdefault(check["check"], []).append(check)
    return by_check


def states(folder: Path) -> dict[str, str]:
    """The worst state of each check."""
    rank = ("ok", "warning", "failed")
    return {name: max((c["state"] for c in all_), key=rank.index) for name, all_ in found(folder).items()}


def test_a_sound_portfolio_is_well_and_nothing_is_written(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    expected = dict.fromkeys(
        ("config", "folder", "disk", "extras", "database", "pages", "champion", "record", "loop", "feeds"), "ok"
    )
    assert states(folder) | {"disk": "ok"} == {**expected, "server": "warning", "alerts": "warning"}
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "db-" not in path.name}
    assert after == {path: content for path, content in before.items() if "db-" not in path.name}
    ran = run("doctor", folder=folder)
    assert (ran.code, ran.err) == (0, "")
    assert "champion  Version 1 loads; its files are as they were signed." in ran.out
    assert all(check["remedy"] for checks in found(folder).values() for check in checks if check["state"] != "ok")


def setting(text: str) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        config = folder / "riskloop.toml"
        config.write_text(config.read_text() + text)

    return add


def alter_model(folder: Path) -> None:
    (model,) = folder.glob("models/*/scorecard.json")
    model.write_text(model.read_text() + " ")


def damage_pages(folder: Path) -> None:
    path = folder / "riskloop.db"
    content = path.read_bytes()
    path.write_bytes(content[:-4096] + b"\xff" * 4096)


def sql(statement: str) -> Callable[[Path], None]:
    def execute(folder: Path) -> None:
        import sqlite3

        connection = sqlite3.connect(folder / "riskloop.db")
        with connection:
            connection.execute(statement)
        connection.close()

    return execute


BROKEN: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "no config": (lambda folder: (folder / "riskloop.toml").unlink(), "config", "failed", "riskloop init"),
    "a wrong setting": (setting("[gate]\nalpha = 7\n"), "config", "failed", "alpha"),
    "an unknown setting": (setting("[gate]\nalfa = 0.05\n"), "config", "failed", "alfa"),
    "no database": (lambda folder: (folder / "riskloop.db").unlink(), "database", "warning", "riskloop train"),
    "older tables": (sql("UPDATE alembic_version SET version_num = '0001'"), "database", "warning", "riskloop migrate"),
    "newer tables": (sql("UPDATE alembic_version SET version_num = '9999'"), "database", "failed", "newer version"),
    "damaged pages": (damage_pages, "pages", "failed", "restore a backup"),
    "an altered model": (alter_model, "champion", "failed", "scorecard.json was altered"),
    "a lost key": (lambda folder: (folder / "riskloop.key").unlink(), "champion", "failed", "riskloop.key"),
    "an open key": (lambda folder: (folder / "riskloop.key").chmod(0o644), "folder", "failed", "chmod 600"),
    "a changed checkpoint": (sql("UPDATE checkpoints SET signature = zeroblob(64)"), "record", "failed", "verify"),
    "an address for all": (setting('host = "0.0.0.0"\n'), "server", "failed", "keys create"),
    "a loop that failed": (sql("UPDATE cycles SET failures = 3, problem = 'No disk.'"), "loop", "warning", "No disk"),
    "a loop given up": (sql("UPDATE cycles SET given_up = 1, problem = 'Gone.'"), "loop", "failed", "riskloop up"),
    "a secret that lacks": (
        setting('[alerts.channels.team]\nkind = "slack"\nurl_env = "NO_SUCH_VARIABLE"\n'),
        "alerts", "failed", "NO_SUCH_VARIABLE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_with_its_remedy(folder: Path, name: str) -> None:
    spoil, check, state, said = BROKEN[name]
    spoil(folder)
    assert states(folder)[check] == state, found(folder)
    worst = [c for c in found(folder)[check] if c["state"] == state]
    assert any(said in f"{c['says']} {c['remedy']}" for c in worst), worst
    ran = run("doctor", "--json", folder=folder)
    assert ran.code == (UNWELL if "failed" in states(folder).values() else 0)
    assert ran.document["well"] is (ran.code == 0)


def test_a_running_server_is_asked(folder: Path) -> None:
    home = Home.open(folder)
    server = Server(home)
    server.start()
    with announced(folder, "127.0.0.1", server.port):
        (told,) = found(folder)["server"]
        assert (told["state"], told["says"]) == ("ok", f"{server.url} is ready.")
        server.stop()
        (told,) = found(folder)["server"]
        assert told["state"] == "failed"
        assert "does not answer" in told["says"]
    home.close()


def test_a_port_that_somebody_else_has_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = folder / "riskloop.toml"
        config.write_text(
            "\n".join(
                f"port = {taken.getsockname()[1]}" if line.startswith("port = ") else line
                for line in config.read_text().splitlines()
            )
        )
        assert any("Another program listens" in check["says"] for check in found(folder)["server"])


def test_a_full_disk_and_an_extra_that_lacks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting('[sso]\nissuer = "https://id.example"\nclient_id = "x"\nurl = "https://r.example"\n')(folder)
    monkeypatch.setattr("riskloop.doctor.find_spec", lambda package: None if package == "authlib" else package)
    for free, state in ((10**8, "failed"), (10**9, "warning"), (10**11, "ok")):
        monkeypatch.setattr("shutil.disk_usage", lambda _path, free=free: type("Usage", (), {"free": free}))
        assert states(folder)["disk"] == state
    assert "riskloop[sso]" in found(folder)["extras"][0]["remedy"]


def test_every_extra_is_known_by_a_package_that_it_brings() -> None:
    document = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(document["project"]["optional-dependencies"]) - {"bench"}
    assert {extra for extra, _ in EXTRAS.values()} == extras


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ('[mlflow]\nmirror = "http://127.0.0.1:5000"\n', "mlflow"),
        ('[train]\nlearners = ["scorecard", "xgboost"]\n', "xgboost"),
        ('[train]\nlearners = ["catboost"]\n', "catboost"),
        ('[portfolio]\nhistory = "postgresql+psycopg://risk@db/lake loans"\n', "postgres"),
        ('[portfolio]\nhistory = "adbc+postgresql://risk@db/lake SELECT 1"\n', "adbc"),
        ('[portfolio]\nhistory = "duckdb:///lake.duckdb loans"\n', "duckdb"),
        ("", "otel"),
    ],
)
def test_what_the_settings_ask_for_and_lacks_is_named_with_how_to_get_it(
    text: str, extra: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder / "riskloop.toml"
    head, _, line = text.partition("\n")
    known = config.read_text()
    for name in ("learners", "history"):  # given once
        known = re.sub(rf"(?m)^{name} = .*\n", "", known) if line.startswith(name) else known
    config.write_text(known.replace(head, f"{head}\n{line}", 1) if head and head in known else f"{known}\n{text}")
    if extra == "otel":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    lacking = {package for package, (name, _) in EXTRAS.items() if name == extra}
    monkeypatch.setattr("riskloop.doctor.find_spec", lambda package: None if package in lacking else package)
    told = [check for check in found(folder)["extras"] if check["state"] == "failed"]
    assert [check["remedy"] for check in told] == [f"pip install 'riskloop[{extra}]'"]


def test_a_machine_without_openmp_is_told_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("ctypes.CDLL", load)
    (told,) = (check for check in found(folder)["extras"] if check["state"] == "failed")
    assert "libgomp.so.1" in told["says"]
    assert "apt-get install libgomp1" in told["remedy"]
