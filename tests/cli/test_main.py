"""What reaches a person when something fails that nobody expected: one sentence, and the right exit code."""

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
