"""Model artefacts: directories that are either whole or not there.

An artefact is a folder named after the sha256 of its manifest; the manifest holds the sha256 of every other
file. It is written beside its final place, synchronised, and renamed: a reader never sees half of one, and a
changed byte is found before it can score. Nothing in it is code, and nothing is unpickled.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic

from riskloop.core.errors import ArtefactError, StorageError
from riskloop.core.manifest import M, parse, seal
from riskloop.store.files import FILE, FOLDER, make_folder

MANIFEST: Final = "manifest.json"
STAGING: Final = ".writing-"
_OLD: Final = 86_400  # seconds
_NAME: Final = 16  # hex digits of the hash that name the folder


@dataclass(frozen=True)
class Artefact(Generic[M]):
    """A verified artefact: every file was hashed when it was read."""

    name: str
    path: Path
    sha256: str  # of the manifest's bytes
    manifest: M = field(compare=False)  # the hash stands for all of it
    contents: Mapping[str, bytes] = field(
        compare=False
    )  # the very bytes that were hashed, so that a later change cannot slip in

    def bytes(self, file: str) -> bytes:
        """The content of one file."""
        try:
            return self.contents[file]
        except KeyError:
            raise ArtefactError(f"The artefact '{self.name}' has no file '{file}'; train again.") from None


@dataclass(frozen=True)
class Packed:
    """The files of an artefact on their way to another process or machine, which checks every hash."""

    name: str
    sha256: str  # of the manifest, as it is registered
    files: Mapping[str, bytes]

    def without(self, *endings: str) -> "Packed":
        """Less of them: what only monitoring and the gate need does not have to travel."""
        kept = {name: content for name, content in self.files.items() if not name.endswith(endings)}
        return Packed(self.name, self.sha256, kept)

    def unpack(self, kind: type[M]) -> Artefact[M]:
        """The artefact, as `Artefacts.read` gives it; ArtefactError for the first file that was altered."""
        text = self.files.get(MANIFEST, b"")
        if hashlib.sha256(text).hexdigest() != self.sha256:
            raise ArtefactError(f"The manifest of the artefact '{self.name}' was altered on its way.")
        manifest = parse(text, kind)
        contents = {name: content for name, content in self.files.items() if name != MANIFEST}
        for name, content in contents.items():
            if hashlib.sha256(content).hexdigest() != manifest.files.get(name):
                raise ArtefactError(f"The file '{name}' of the artefact '{self.name}' was altered on its way.")
        return Artefact(self.name, Path(self.name), self.sha256, manifest, contents)


class Artefacts:
    """The folder below which all artefacts of a portfolio live."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self, manifest: M, files: Mapping[str, bytes]) -> Artefact[M]:
        """What `write` would store, as `read` would read it; nothing is written."""
        sealed = seal(manifest, files)
        name = sealed.sha256[:_NAME]
        return Artefact(name, self.root / name, sealed.sha256, parse(sealed.text, type(manifest)), dict(files))

    def write(self, manifest: M, files: Mapping[str, bytes]) -> Artefact[M]:
        """Store an artefact atomically; the same content twice is stored once.

        Raises StorageError when the disk refuses; then nothing is left behind.
        """
        name, sha256 = self.place(manifest, files)
        return self.read(name, type(manifest), sha256)

    def place(self, manifest: M, files: Mapping[str, bytes]) -> tuple[str, str]:
        """As `write`, for what is too large to be read back at once; the name and the hash."""
        sealed = seal(manifest, files)
        name = sealed.sha256[:_NAME]
        final = self.root / name
        if not final.exists():
            try:
                self._place(final, {**files, MANIFEST: sealed.text})
            except OSError as error:
                raise StorageError(
                    f"The model cannot be written to {self.root}: {error.strerror or error}. "
                    "Nothing was registered; free space or rights, then run it again."
                ) from error
        return name, sealed.sha256

    def read(self, name: str, kind: type[M], sha256: str | None = None) -> Artefact[M]:
        """Load an artefact of one kind and check every hash, the manifest's included when ``sha256`` is given.

        Raises ArtefactError naming the first file that is missing or altered, or what is wrong with the manifest.
        """
        path = self.root / name
        try:
            text = (path / MANIFEST).read_bytes()
        except OSError as error:
            raise ArtefactError(f"The artefact {path} cannot be read: {error.strerror or error}.") from None
        found = hashlib.sha256(text).hexdigest()
        if sha256 is not None and found != sha256:
            raise ArtefactError(f"The manifest of {path} was altered: its sha256 is not the registered one.")
        try:
            manifest = parse(text, kind)
        except ArtefactError as error:
            raise ArtefactError(f"The manifest of {path} cannot be used. {error}") from None
        contents = {file: _checked(path / file, sha256) for file, sha256 in manifest.files.items()}
        return Artefact(name, path, found, manifest, contents)

    def pack(self, name: str, sha256: str) -> "Packed":
        """The files of an artefact, to be sent to a machine that cannot see this folder."""
        try:
            files = {path.name: path.read_bytes() for path in (self.root / name).iterdir()}
        except OSError as error:
            raise ArtefactError(f"The artefact {self.root / name} cannot be read: {error.strerror or error}.") from None
        return Packed(name, sha256, files)

    def _place(self, final: Path, files: Mapping[str, bytes]) -> None:
        make_folder(self.root)
        _sweep(self.root)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=self.root))
        staging.chmod(FOLDER)
        try:
            for name, content in files.items():
                with (staging / name).open("wb") as out:
                    os.fchmod(out.fileno(), FILE)
                    out.write(content)
                    out.flush()
                    os.fsync(out.fileno())
            _sync_folder(staging)
            try:
                staging.rename(final)
            except OSError:
                if not final.exists():  # else another process stored the same content first
                    raise
            _sync_folder(self.root)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what killed processes left half-written; a day is longer than any writing takes."""
    for left in root.glob(f"{STAGING}*"):
        if time.time() - left.stat().st_mtime > _OLD:
            shutil.rmtree(left, ignore_errors=True)


def _checked(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"The artefact file {path} cannot be read: {error.strerror or error}.") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ArtefactError(
            f"The artefact file {path} was altered: its sha256 is not the one in the manifest. "
            "Restore it from a backup or train again."
        )
    return content


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
