import json
import resource
from pathlib import Path

import pytest

from riskloop.core.errors import ArtefactError, StorageError
from riskloop.core.manifest import FORMAT, Manifest
from riskloop.store.artefacts import MANIFEST, Artefacts


class Note(Manifest, frozen=True, kw_only=True):
    """A small kind of artefact."""

    threshold: float


NOTE = Note(threshold=0.3)


def test_written_files_come_back(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    written = artefacts.write(NOTE, {"model.txt": b"trees"})
    read = artefacts.read(written.name, Note, written.sha256)
    assert read.bytes("model.txt") == b"trees"
    assert read.manifest == written.manifest
    assert read.manifest.threshold == 0.3
    assert read.manifest.format == FORMAT


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    first = artefacts.write(NOTE, {"m": b"1"})
    second = artefacts.write(NOTE, {"m": b"1"})
    assert first == second
    assert [p.name for p in tmp_path.iterdir()] == [first.name]


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    written = artefacts.write(NOTE, {"model.txt": b"trees"})
    (written.path / "model.txt").write_bytes(b"treez")
    with pytest.raises(ArtefactError, match="was altered"):
        artefacts.read(written.name, Note)


def test_an_altered_manifest_is_refused(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    written = artefacts.write(NOTE, {})
    manifest = json.loads((written.path / MANIFEST).read_text())
    (written.path / MANIFEST).write_text(json.dumps({**manifest, "threshold": 0.9}))
    with pytest.raises(ArtefactError, match="manifest"):
        artefacts.read(written.name, Note, written.sha256)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "not json", '{"format": 1, "files": {}}', '{"format": 1, "threshold": "x"}']
)
def test_a_manifest_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / MANIFEST).write_text(text)
    with pytest.raises(ArtefactError, match="not a Note that riskloop wrote"):
        Artefacts(tmp_path).read("x", Note)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / MANIFEST).write_text(json.dumps({"format": FORMAT + 1, "files": {}}))
    with pytest.raises(ArtefactError, match="Upgrade"):
        Artefacts(tmp_path).read("x", Note)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(StorageError, match="Nothing was registered"):
            Artefacts(tmp_path).write(NOTE, {"model.txt": b"x" * 10_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []
