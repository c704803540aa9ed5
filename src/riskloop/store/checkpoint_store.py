"""Where signed checkpoints lie outside of the database: a folder, an object store, and who is told by a POST."""

import re
from pathlib import Path
from typing import Any, Final

from riskloop.core.addresses import without_password
from riskloop.core.errors import StorageError, Unreachable
from riskloop.core.settings import TrustSettings
from riskloop.store.files import FILE, make_folder

_URI: Final = re.compile(r"^[a-z][a-z0-9+.-]*://")
_NAME: Final = r"-[0-9TZ]+-\d+\.json"


class CheckpointStore:
    """A folder or an object store. An object store with versioning keeps what somebody overwrites."""

    def __init__(self, named: str, folder: Path) -> None:
        self._where = named if _URI.match(named) else str(folder / named)
        self._remote = bool(_URI.match(named))

    @property
    def name(self) -> str:
        """What messages call it: the address without its password."""
        return str(without_password(self._where)) if self._remote else self._where

    def put(self, name: str, content: bytes) -> None:
        """Write a file that is not there yet; StorageError when that is impossible."""
        try:
            files, root = self._open()
            if not self._remote:
                make_folder(Path(root))
            with files.open_output_stream(f"{root}/{name}") as out:
                out.write(content)
            if not self._remote:
                (Path(root) / name).chmod(FILE)
        except (OSError, ValueError, ImportError) as error:
            raise StorageError(f"{name} cannot be written to {self.name}: {error}.") from None

    def all(self, kind: str = "checkpoint") -> dict[str, bytes]:
        """Every file of a kind by name; empty where the place is not there yet."""
        from pyarrow import fs

        named = re.compile(re.escape(kind) + _NAME).fullmatch

        try:
            files, root = self._open()
            found = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
            names = sorted(info.base_name for info in found if info.is_file and named(info.base_name))
            return {name: files.open_input_stream(f"{root}/{name}").read() for name in names}
        except (OSError, ValueError) as error:
            raise StorageError(f"What lies in {self.name} cannot be read: {error}.") from None

    def _open(self) -> tuple[Any, str]:
        from pyarrow import fs

        if self._remote:
            files, root = fs.FileSystem.from_uri(self._where)
            return files, str(root).rstrip("/")
        return fs.LocalFileSystem(), self._where


def place_of(settings: TrustSettings, folder: Path) -> CheckpointStore | None:
    """The place that riskloop.toml names; None where it names none."""
    return CheckpointStore(settings.checkpoints, folder) if settings.checkpoints.strip() else None


def post(url: str, content: bytes, timeout: float) -> None:
    """Tell a webhook of a checkpoint; it is signed already. Raises Unreachable."""
    import requests

    from riskloop.deadline import Deadline

    headers = {"Content-Type": "application/json"}
    try:
        with Deadline(timeout) as deadline, deadline.session() as session:
            session.post(url, data=content, headers=headers, timeout=timeout, stream=True).raise_for_status()
            if deadline.over:  # its headers were cut off, which looks like their end
                raise requests.Timeout
    except requests.RequestException as error:
        raise Unreachable(f"The webhook of [trust] did not take the checkpoint: {type(error).__name__}.") from None
