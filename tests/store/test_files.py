"""Personal data lies where only its owner can read it, whatever the umask says."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from riskloop.store.files import make_file, make_folder


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def mask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_every_folder_that_is_made_is_private_and_others_stay(tmp_path: Path, mask: None) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert [mode(tmp_path / name) for name in ("a", "a/b", "")] == [0o700, 0o700, 0o755]


def test_a_file_is_private_and_one_that_is_there_keeps_its_content(tmp_path: Path, mask: None) -> None:
    path = tmp_path / "new" / "file"
    make_file(path)
    assert (mode(path), mode(path.parent), path.read_bytes()) == (0o600, 0o700, b"")
    path.write_bytes(b"kept")
    path.chmod(0o640)
    make_file(path)
    assert (mode(path), path.read_bytes()) == (0o640, b"kept")
