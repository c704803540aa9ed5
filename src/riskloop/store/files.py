"""Folders and files that only their owner can read, whatever the umask says: they hold personal data."""

import os
from pathlib import Path
from typing import Final

FOLDER: Final = 0o700
FILE: Final = 0o600


def make_folder(path: Path) -> None:
    """Make a folder and those above it that lack, each 0700; folders that exist stay as they are."""
    for folder in [*reversed(path.parents), path]:
        if folder.exists():
            continue
        folder.mkdir(exist_ok=True)  # another process may make the same one
        folder.chmod(FOLDER)


def make_file(path: Path) -> None:
    """Make an empty file, 0600, unless there is one; its folder is made, too."""
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE)
    except FileExistsError:
        return
    try:
        os.fchmod(descriptor, FILE)
    finally:
        os.close(descriptor)
