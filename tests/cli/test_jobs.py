"""What a scheduler sees of a job: its exit code, and that it was done once or not at all, whatever is in the way."""

import os
import signal
import subprocess
import sys
import time
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


def there(home: Home) -> set[Path]:
    """The files of the folder, without those that SQLite makes and takes away."""
    return {path for path in home.folder.iterdir() if not path.name.startswith("riskloop.db-")}


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


@pytest.mark.parametrize("name", [*JOBS, "train"])
def test_refused_rows_never_take_the_place_of_what_is_read(
    name: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, source = job("score" if name == "train" else name, home, 1), home.folder / "in.csv"
    if name == "train":
        people().assign(bad=[i % 2 for i in range(N)]).to_csv(source, index=False)
        words = ["train", str(source), "--config", str(home.folder)]
    before, link = source.read_bytes(), home.folder / "link.csv"
    link.symlink_to(source)
    count = home.decisions.count()
    for refused in (source, link):
        assert run([*words, "--refused", str(refused)], monkeypatch) == 2
        assert "name another file for the refused rows" in capsys.readouterr().err
        assert source.read_bytes() == before
    assert home.decisions.count() == count
    assert not (home.folder / "out.csv").exists()


@pytest.mark.parametrize("kind", ["pipe", "folder", "the input", "one of several inputs", "the refused rows"])
@pytest.mark.parametrize("engine", ["local", "api"])
def test_an_output_takes_the_place_of_a_file_only(
    kind: str, engine: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, folder = job("score", home), home.folder
    source, target = folder / "in.csv", folder / "out.csv"
    more: list[str] = []
    if kind == "pipe":
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    elif kind == "the input":
        target = source
    elif kind == "the refused rows":
        more = ["--refused", str(target)]
    else:
        (folder / "day").mkdir()
        target = source.rename(folder / "day" / "in.csv")
        source = target.parent
    before = target.stat() if target.exists() else None
    words = ["score", str(source), str(target), "--engine", engine, "--config", str(folder), "--patience", "0", *more]
    assert run(words, monkeypatch) == 2
    assert str(target) in capsys.readouterr().err
    assert (target.stat() if target.exists() else None) == before
    assert home.decisions.count() == 0


@pytest.mark.parametrize("place", [1, 2, 4])
@pytest.mark.parametrize("word", ["non\udcff.csv", "\udcc3\udcbc.csv"])
def test_a_name_that_is_no_text_here_is_one_sentence(
    place: int, word: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name of another encoding, and a UTF-8 one under LC_ALL=C where Python reads ASCII."""
    words = [*job("score", home), "--refused", "aside.csv"]
    words[place if place < 4 else -1] = word
    assert run(words, monkeypatch) == 2
    said = capsys.readouterr().err
    assert "no text here: rename the file" in said
    assert said.count("\n") == 1
    assert home.decisions.count() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_a_scheduler_stops_ends_by_its_signal_and_leaves_nothing(
    name: str, number: signal.Signals, home: Home, request: pytest.FixtureRequest
) -> None:
    words, kept = job(name, home), home.folder / "tmp"
    inherited = signal.signal(number, signal.SIG_DFL)  # under nohup the children would ignore it, as they should
    request.addfinalizer(lambda: signal.signal(number, inherited))
    kept.mkdir()
    words[1] = "/dev/stdin"
    command = [sys.executable, "-m", "riskloop.cli", *words]
    before = there(home)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(kept)}, text=True
    ) as process:
        assert process.stdin is not None
        while not any(kept.glob("*/*")):  # it reads, and nobody writes on
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -number
    assert said.splitlines()[-1] == "riskloop: stopped."
    assert not any(kept.iterdir())
    assert there(home) == before
