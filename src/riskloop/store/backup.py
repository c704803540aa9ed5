"""A portfolio in a folder: settings, all that is on record as a SQLite file, segments, models, pages, texts, hashed.

The same for every database, so that a backup of PostgreSQL can be opened without a server, and restored into either.
"""

import hashlib
import json
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from riskloop.core.errors import ArtefactError, Conflict, NotFound, StorageError
from riskloop.core.types import Json
from riskloop.store import audit
from riskloop.store.archive import AUDIT, DECISIONS, FEATURES, Archive, entries
from riskloop.store.checkpoint_store import CheckpointStore
from riskloop.store.database import Database
from riskloop.store.erasure import erase_again
from riskloop.store.files import FILE, make_folder
from riskloop.store.home import CONFIG, Home
from riskloop.store.ledger import current_user
from riskloop.store.segment_files import SegmentFiles
from riskloop.store.signing import key_file
from riskloop.store.sqlite import Sqlite
from riskloop.store.tombstones import kept_tombstones
from riskloop.store.transfer import Tick, copy, quiet
from riskloop.version import __version__

BACKUP: Final = "backup"  # in the audit trail, whose subject is the folder
INDEX: Final = "backup.json"
DATABASE: Final = "riskloop.db"
MODELS: Final = "models"
KEY: Final = "riskloop.key"
REPORTS: Final = "reports"
SEGMENTS: Final = "segments"
DOCUMENTS: Final = "documents"
ARCHIVE: Final = "archive"


def back_up(home: Home, folder: Path, now: datetime, tick: Tick = quiet) -> Json:
    """Write a backup of this moment into a new folder; returns its index. Others may write on meanwhile.

    Raises Conflict when the folder is not empty.
    """
    _must_be_empty(folder)
    make_folder(folder)
    with suppress(StorageError):  # a database that may only be read can be backed up; then nobody erases in it, either
        audit.write(home.database, by=current_user(), action=BACKUP, subject=str(folder.absolute()))
    shutil.copyfile(home.config, folder / CONFIG)
    database = Sqlite(folder / DATABASE)
    try:
        rows = copy(home.database, database, tick)
    finally:
        database.close()  # the last connection leaves one file, without a log beside it that could be forgotten
    # After the database: a model is stored before it is registered, so every registered one is there by now.
    for source, name in ((home.artefacts.root, MODELS), (home.reports, REPORTS), (home.documents, DOCUMENTS)):
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(".git"))
    paths = home.segments.paths()
    if paths:
        home.segments.files.copy_to(SegmentFiles(folder / SEGMENTS), paths)
    _copy_archive(home.database, home.archive, folder)
    key = key_file(home.settings.trust, home.folder)
    if key is not None and home.trust.beside and key.exists():
        # A key that lies in the folder goes along: the backup holds everything that the folder does.
        shutil.copyfile(key, folder / KEY)
        (folder / KEY).chmod(FILE)
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in _files(folder)}
    index: Json = {"riskloop": __version__, "made_at": now.isoformat(), "rows": rows, "files": files}
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    return index


def _copy_archive(database: Database, archive: Archive, folder: Path) -> None:
    """The archive's files go along, those that are there."""
    with database.read() as connection:
        taken = entries(connection, DECISIONS, FEATURES, AUDIT)
    files = archive.files
    there = [e.path for e in taken if e.path is not None and files is not None and files.exists(e.path)]
    if files is not None and there:
        files.copy_to(SegmentFiles(folder / ARCHIVE), there)


def restore(folder: Path, config: Path, tick: Tick = quiet, erasures: str | None = None) -> Json:
    """Bring a backup to life beside ``config``; returns its index, with the decisions that were ``erased_again``.

    Who was erased since the backup was made is erased again, by the tombstones that lie where checkpoints go, or in the
    folder or object store ``erasures``; ``doubts`` in the answer says what of that is not known.

    A riskloop.toml that is there already says where the database is, which must be empty; else the backup's own is put
    there. Raises NotFound when the folder is no backup, ArtefactError naming the first file that was altered.
    """
    index = checked(folder)
    make_folder(config.parent)
    if not config.exists():
        shutil.copyfile(folder / CONFIG, config)
    home = Home.open(config)
    try:
        key = key_file(home.settings.trust, home.folder)
        if key is not None and not key.exists() and (folder / KEY).is_file():
            make_folder(key.parent)
            shutil.copyfile(folder / KEY, key)
            key.chmod(FILE)
        for root, name in ((home.artefacts.root, MODELS), (home.reports, REPORTS)):
            _must_be_empty(root)
            if (folder / name).is_dir():
                make_folder(root)
                shutil.copytree(folder / name, root, dirs_exist_ok=True)
        if (folder / DOCUMENTS).is_dir():
            shutil.copytree(folder / DOCUMENTS, home.documents, dirs_exist_ok=True, copy_function=_copy_missing)
        for name, files in ((SEGMENTS, home.segments.files), (ARCHIVE, home.archive.files)):
            kept = SegmentFiles(folder / name)
            if files is not None:
                kept.copy_to(files, kept.listed())
        opened = home.folder / ".restoring.db"  # a copy: an old backup is migrated, and stays as it is
        shutil.copyfile(folder / DATABASE, opened)
        database = Sqlite(opened)
        try:
            copy(database, home.database, tick)
        finally:
            database.close()
            for path in home.folder.glob(".restoring.db*"):
                path.unlink()
        place = None if erasures is None else CheckpointStore(erasures, Path.cwd())
        tombstones, doubts = kept_tombstones(home.trust, place)
        again = erase_again(home.database, home.segments, home.archive, tombstones)
        home.trust.move_in()
        index = {**index, "erased_again": again, "doubts": doubts}
    finally:
        home.close()
    return index


def checked(folder: Path) -> Json:
    """The index of a backup, after its files were compared with it."""
    try:
        index: Json = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        files: dict[str, Any] = dict(index["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise NotFound(f"{folder} is not a backup that riskloop wrote: {INDEX} is missing or cannot be read.") from None
    for name, sha256 in files.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != sha256:
            raise ArtefactError(f"The backup {folder} cannot be used: {name} is missing or was altered.")
    return index


def _copy_missing(source: str, target: str) -> str:
    """Copy a text of people, unless one of that name came with riskloop.toml, from version control."""
    return target if Path(target).exists() else shutil.copy2(source, target)


def _must_be_empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty; name a folder that is.")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
