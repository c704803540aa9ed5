"""The commands as a user meets them: what they print, where, and how they refuse."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

from riskloop import cli
from riskloop.cli.tree import app
from riskloop.core.errors import ConfigError
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate
from riskloop.worker import is_served


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def run(*words: str, folder: Path) -> Ran:
    """One command, in this process, started in ``folder``."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = sys.argv
    sys.argv = ["riskloop", *words]
    try:
        with chdir(folder), redirect_stdout(out), redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    return Ran(code, out.getvalue(), err.getvalue())


def customers(months: int, per_month: int, first: date = date(2024, 1, 1), seed: int = 3) -> pd.DataFrame:
    return simulate(month_starts(first, months), per_month, seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a history, its config and one trained model."""
    folder = tmp_path_factory.mktemp("portfolio")
    history = customers(8, 250)
    history.to_csv(folder / "history.csv", index=False)
    history.drop(columns=TARGET).to_csv(folder / "clean.csv", index=False)
    assert (
        run("init", "history.csv", "--target", TARGET, "--time", TIME, "--outcome-window", "30d", folder=folder).code
        == 0
    )
    config = folder / "riskloop.toml"
    text = config.read_text(encoding="utf-8").replace(
        '# learners = ["scorecard", "lightgbm", "hist_gradient_boosting"]', 'learners = ["scorecard"]'
    )
    assert 'learners = ["scorecard"]' in text
    config.write_text(text, encoding="utf-8")
    assert run("train", folder=folder).code == 0
    return folder


@pytest.fixture(scope="module")
def decided(made: Path) -> Path:
    """The same with a month of decisions and their outcomes."""
    month = customers(1, 300, date(2024, 9, 1), seed=4)
    Portfolio.open(made).score(month.drop(columns=TARGET))
    month[[ID, TARGET]].to_csv(made / "labels.csv", index=False)
    return made


# --------------------------------------------------------------------------- what every command does


def commands(group: Any = None, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every command with its words, found in the application itself."""
    group = group or typer.main.get_command(app)
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        words = (*path, name)
        found += commands(command, words) if hasattr(command, "commands") else [(words, command)]
    return found


SERVERS = {("serve",), ("up",)}  # they run until they are stopped


@pytest.mark.parametrize(("words", "command"), commands(), ids=[" ".join(words) for words, _ in commands()])
def test_every_command_has_help_and_speaks_json(words: tuple[str, ...], command: Any) -> None:
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options or words in SERVERS


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("models", "list"),
        ("models", "show", "1"),
        ("cases", "list"),
        ("drift",),
        ("keys", "list"),
        ("replay", "1"),
        ("outcomes", "labels.csv"),
        ("watch", "--once", "--now", "2024-10-02"),
        ("train",),
    ],
    ids=" ".join,
)
def test_json_is_one_document_and_nothing_else(decided: Path, words: tuple[str, ...]) -> None:
    ran = run(*words, "--json", folder=decided)
    assert (ran.code, ran.err) == (0, "")
    assert isinstance(ran.document, dict | list)
    assert ran.out.count("\n") == 1
    spoken = run(*words, folder=decided)
    assert spoken.code == 0
    assert spoken.out.strip()


def test_help_comes_at_once() -> None:
    """Heavy libraries are loaded by the command that needs them."""
    code = (
        "import sys, riskloop.cli; print([m for m in ('numpy', 'pandas', 'sqlalchemy', 'fastapi') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_status_loads_no_library_that_it_does_not_need(made: Path) -> None:
    code = (
        "import sys; sys.argv = ['riskloop', 'status']; from riskloop.cli import main; main();"
        "heavy = 'pandas pyarrow alembic requests fastapi lightgbm sklearn scipy rich riskloop.web.search';"
        "heavy += ' sqlalchemy.dialects.postgresql';"
        "print([m for m in heavy.split() if m in sys.modules], file=sys.stderr)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=made)
    assert loaded.stderr.strip() == "[]"


def test_the_first_model_is_champion_and_the_same_history_trains_the_same(made: Path) -> None:
    again = run("train", "--json", folder=made).document
    assert again["version"] == 1
    assert run("status", "--json", folder=made).document["champion"]["version"] == 1


def test_a_decision_is_replayed_to_the_last_bit(decided: Path) -> None:
    replayed = run("replay", "1", "--json", folder=decided).document
    assert replayed["identical"]
    assert replayed["probability"] == replayed["replayed_probability"]


def test_the_same_outcomes_twice_change_nothing(decided: Path) -> None:
    run("outcomes", "labels.csv", folder=decided)
    again = run("outcomes", "labels.csv", "--json", folder=decided).document
    assert (again["recorded"], again["repeated"]) == (0, 300)


def test_outcomes_that_are_not_there_yet_are_counted_and_fail_no_job(decided: Path) -> None:
    run("outcomes", "labels.csv", folder=decided)
    labels = pd.read_csv(decided / "labels.csv", dtype=str)
    labels.loc[::3, TARGET] = ""
    labels.to_csv(decided / "partly.csv", index=False)
    said = run("outcomes", "partly.csv", folder=decided)
    assert said.code == 0
    assert "100 rows have no outcome yet and are left out: blank (100)" in said.out
    assert run("outcomes", "partly.csv", "--json", folder=decided).document["waiting"] == 100
    labels.assign(**{TARGET: ""}).to_csv(decided / "open.csv", index=False)
    assert run("outcomes", "open.csv", folder=decided).code == 0  # decisions, and nothing known of them yet
    labels[TARGET], labels[ID] = "", labels[ID] + "x"
    labels.to_csv(decided / "strangers.csv", index=False)
    refused = run("outcomes", "strangers.csv", folder=decided)
    assert refused.code == 3
    assert "None of the 300 outcomes belongs to a decision, and nothing was recorded" in refused.err


# --------------------------------------------------------------------------- how it refuses

Damage = Callable[[list[str]], list[str]]


def cells(line: str, **changed: str) -> str:
    """A line of the history with some cells changed, by the column's position: c1="x"."""
    parts = line.split(",")
    for name, value in changed.items():
        parts[int(name[1:])] = value
    return ",".join(parts)


HISTORIES: dict[str, tuple[Damage, list[str]]] = {
    "a ragged line": (lambda x: [*x[:5], "1,2,3", *x[5:]], ["line 6", "has 3 fields instead of"]),
    "a missing column": (lambda x: [",".join(y.split(",")[:-4] + y.split(",")[-3:]) for y in x], ["missing"]),
    "a misspelt column": (
        lambda x: [x[0].replace("LIMIT_BAL", "LIMIT_BALANCE"), *x[1:]],
        ["LIMIT_BALANCE", "riskloop.toml"],
    ),
    "text in a number": (lambda x: [*x[:3], cells(x[3], c1="abc"), *x[4:]], ["line 4", "LIMIT_BAL", "'abc'"]),
    "NaN": (lambda x: [*x[:3], cells(x[3], c1="NaN"), *x[4:]], ["line 4", "LIMIT_BAL", "missing"]),
    "infinity": (lambda x: [*x[:3], cells(x[3], c1="inf"), *x[4:]], ["line 4", "LIMIT_BAL", "infinite"]),
    "a new category": (lambda x: [*x[:3], cells(x[3], c2="7"), *x[4:]], ["line 4", "SEX", "'7'"]),
    "a duplicate id": (lambda x: [*x, x[5]], ["ID", "duplicate"]),
    "one class": (lambda x: [x[0], *(y[:-1] + "0" for y in x[1:])], [TARGET, "0"]),
    "an empty file": (lambda x: [], ["empty"]),
    "a header without rows": (lambda x: x[:1], ["no rows"]),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_bad_history_is_refused_in_one_sentence_and_changes_nothing(made: Path, name: str) -> None:
    damage, said = HISTORIES[name]
    lines = (made / "history.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("ID,LIMIT_BAL,SEX")
    assert lines[0].endswith(TARGET)
    (made / "bad.csv").write_text("".join(line + "\n" for line in damage(lines)), encoding="utf-8")
    before = run("models", "list", "--json", folder=made).document
    ran = run("train", "bad.csv", "--strict", folder=made)
    assert (ran.code, ran.out) == (3, "")
    first = ran.err.splitlines()[0]
    assert first.startswith("riskloop: bad.csv ")
    assert all(word in ran.err for word in said), ran.err
    assert "Traceback" not in ran.err
    refused = run("train", "bad.csv", "--strict", "--json", folder=made)
    assert (refused.code, refused.err) == (3, "")
    assert refused.document["error"]["message"] in first
    assert run("models", "list", "--json", folder=made).document == before


def test_bad_rows_are_set_aside_with_their_place_and_reason(made: Path) -> None:
    lines = (made / "history.csv").read_text(encoding="utf-8").splitlines()
    damaged = [*lines[:3], cells(lines[3], c1="abc"), *lines[4:7], "1,2,3", *lines[7:]]
    (made / "bad.csv").write_text("".join(line + "\n" for line in damaged), encoding="utf-8")
    ran = run("train", "bad.csv", "--refused", "refused.csv", "--json", folder=made)
    assert ran.code == 12
    assert (ran.document["data"]["refused"], ran.document["data"]["used"]) == (2, len(lines) - 2)
    refused = (made / "refused.csv").read_text(encoding="utf-8").splitlines()
    assert refused[0].startswith("refused_place,refused_column,refused_problem,refused_value,ID,LIMIT_BAL")
    assert refused[1].startswith("line 4,LIMIT_BAL,is not a number,abc,")
    assert refused[2].startswith("line 8,,has 3 fields instead of")


REFUSALS: list[tuple[tuple[str, ...], int, str]] = [
    (("train", "nothere.csv"), 4, "nothere.csv does not exist"),
    (("init", "history.csv", "--target", "defalt", "--config", "other.toml"), 3, "no column 'defalt'"),
    (("init", "history.csv", "--target", TARGET), 2, "--force"),
    (("status", "--config", "nope.toml"), 2, "riskloop init"),
    (("models", "show", "77"), 4, "77"),
    (("models", "promote", "1", "--reason", "x"), 5, "champion already"),
    (("models", "rollback", "--reason", "x"), 10, "no earlier one"),
    (("cases", "show", "77"), 4, "77"),
    (("cases", "approve", "77", "--note", "x"), 4, "77"),
    (("replay", "999999"), 4, "999999"),
    (("replay", "abc"), 4, "whole numbers"),
    (("replay", "9" * 30), 4, "This number is too large"),
    (("models", "show", "9" * 30), 4, "This number is too large"),
    (("outcomes", "nothere.csv"), 4, "nothere.csv"),
    (("score", "clean.csv", "out.csv", "--url", "http://127.0.0.1:9", "--patience", "0"), 9, "riskloop serve"),
    (("score", "clean.csv", "nodir/out.csv", "--url", "http://127.0.0.1:9"), 4, "nodir"),
    (("serve", "--host", "0.0.0.0"), 10, "keys create"),  # noqa: S104 - what is refused
    (("watch", "--once", "--now", "yesterday"), 2, "ISO 8601"),
    (("keys", "create", "anna", "--role", "king"), 2, "king"),
    (("keys", "revoke", "nobody"), 4, "nobody"),
    (("train", "--colour"), 2, "--colour"),
    (("paint",), 2, "paint"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSALS, ids=[" ".join(words) for words, _, _ in REFUSALS])
def test_refusals_have_a_sentence_and_the_exit_code_of_their_class(
    made: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = run(*words, folder=made)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_an_altered_model_is_refused_by_name(made: Path, tmp_path: Path) -> None:
    """Whoever reads the artefact is told which file is wrong; nothing is scored with it."""
    customers(8, 250).to_csv(tmp_path / "history.csv", index=False)
    (tmp_path / "riskloop.toml").write_bytes((made / "riskloop.toml").read_bytes())
    assert run("train", folder=tmp_path).code == 0
    (model,) = (tmp_path / "models").glob("*/scorecard.json")
    model.write_text(model.read_text(encoding="utf-8") + " ", encoding="utf-8")
    ran = run("status", folder=tmp_path)
    assert ran.code == 6
    assert "scorecard.json was altered" in ran.err


def test_a_damaged_database_is_a_sentence(made: Path, tmp_path: Path) -> None:
    (tmp_path / "riskloop.toml").write_bytes((made / "riskloop.toml").read_bytes())
    (tmp_path / "riskloop.db").write_bytes(b"no database" * 1000)
    ran = run("status", folder=tmp_path)
    assert ran.code == 8
    assert "riskloop.db" in ran.err


def test_a_file_is_scored_here_where_no_server_runs(made: Path) -> None:
    with socket.socket() as free:  # a port that nobody listens on
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = made / "other.toml"
    config.write_text(
        (made / "riskloop.toml").read_text(encoding="utf-8").replace("# port = 8000", f"port = {port}", 1),
        encoding="utf-8",
    )
    assert f"\nport = {port}" in config.read_text(encoding="utf-8")
    assert not is_served(None, config)
    ran = run("score", "clean.csv", "here.csv", "--config", "other.toml", folder=made)
    assert ran.code == 0
    assert "No server of this folder runs" in ran.err
    assert (made / "here.csv").is_file()
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        server.listen()
        assert is_served(None, config)
    assert is_served("http://risk.bank:80", config)
    assert is_served("http://risk.bank:80", made / "nothing.toml")


def test_a_folder_without_portfolio_and_server_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        monkeypatch.setattr("riskloop.worker.api_url", lambda url, config: f"http://127.0.0.1:{port}")
        for config in (tmp_path, tmp_path / "nothing.toml"):
            with pytest.raises(ConfigError, match=r"There is no .*\.toml in .*--config or its server with --url"):
                is_served(None, config)
        server.listen()
        assert is_served(None, tmp_path)


def test_a_backtest_takes_the_history_of_the_configuration(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(request: Any, tick: Any) -> Any:
        asked.append(request)
        raise ConfigError("enough")

    monkeypatch.setattr("riskloop.backtest.study.backtest", noted)
    for folder, words in ((made, ()), (made.parent, ("--config", str(made / "riskloop.toml")))):
        assert run("backtest", *words, folder=folder).code == 2
        assert (folder / asked[-1].history).resolve() == (made / "history.csv").resolve()
        assert asked[-1].target == TARGET or asked[-1].column("target") == TARGET
