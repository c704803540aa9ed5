"""What reaches a person when something fails that nobody expected: one sentence, and the right exit code."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from riskloop import cli
from riskloop.core.errors import RiskloopError, StorageError


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError("malloc of size 4096 failed"), StorageError.exit_code, "not enough memory"),
        (pa.ArrowMemoryError("malloc of size 4096 failed"), StorageError.exit_code, "not enough memory"),
        (ZeroDivisionError("by zero"), RiskloopError.exit_code, "A defect in riskloop"),
        (OSError(28, "No space left on device", "x.db"), StorageError.exit_code, "No space left on device: x.db"),
    ],
)
def test_what_nobody_expected_is_one_sentence(
    error: Exception, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr("riskloop.cli.tree.app", fails)
    monkeypatch.setattr("sys.argv", ["riskloop", "train"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert ended.value.code == code
    assert said in told
    assert told.count("\n") == 1


COMMANDS = {"--version": 0, "--help": 0, "keys --help": 0, "status": 2, "status --json": 2, "nonsense": 2}
CLOSED = [">&-", "2>&-", "<&-", ">&- 2>&- <&-"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_scheduler_may_close_every_stream(command: str, tmp_path: Path) -> None:
    """No traceback, the code of an open terminal, and no file that is opened later in a stream's place."""
    for way in ["", *CLOSED]:
        done = _shell(f"{sys.executable} -m riskloop.cli {command} {way}", tmp_path)
        assert "Traceback" not in done.stdout + done.stderr
        assert "defect" not in done.stdout + done.stderr
        assert done.returncode == COMMANDS[command], (way, done)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_that_cannot_be_written_is_one_sentence(command: str, tmp_path: Path) -> None:
    done = _shell(f"{sys.executable} -m riskloop.cli {command} > /dev/full", tmp_path)
    assert done.returncode == (COMMANDS[command] or StorageError.exit_code)
    assert done.stderr.startswith("riskloop: ")
    assert done.stderr.count("\n") == 1
    assert ("No space left" in done.stderr) == (COMMANDS[command] == 0)


def _shell(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("way", ["2> /dev/full", "2> >(true)"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_said_beside_the_answer_changes_no_code(command: str, way: str, tmp_path: Path) -> None:
    done = _shell(f"{sys.executable} -m riskloop.cli {command} {way}", tmp_path)
    assert done.returncode == COMMANDS[command]
