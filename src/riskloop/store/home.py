"""The folder of a portfolio: its riskloop.toml and everything that is stored for it."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from riskloop.core.errors import ConfigError, NotReady, StorageError
from riskloop.core.manifest import ModelManifest
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings, parse_settings
from riskloop.core.types import Promotion
from riskloop.store import audit
from riskloop.store.adapters import open_database
from riskloop.store.archive import Archive
from riskloop.store.artefacts import Artefact, Artefacts, Packed
from riskloop.store.cases import Cases
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.deliveries import Deliveries
from riskloop.store.ledger import Ledger, current_user
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.migrations import upgrade
from riskloop.store.outcomes import Outcomes
from riskloop.store.pieces import HERE, Reader
from riskloop.store.segments import Segments
from riskloop.store.trust import Trust, told_settings
from riskloop.store.windows import Windows

CONFIG = "riskloop.toml"
SIGNED = "0013"  # the revision since which versions are signed


@dataclass(frozen=True)
class Home:
    """Settings and stores of one portfolio, built once and passed in."""

    config: Path
    settings: Settings
    database: Database
    reader: Reader = HERE  # where segments are read

    @classmethod
    def open(cls, config: str | Path = CONFIG, settings: Settings | None = None) -> "Home":
        """Read the configuration, open the database and bring its tables up to date.

        With ``settings`` the file is not read: ``config`` is where relative paths start. Settings that changed go on
        record, once there is a record.

        Raises ConfigError when there is no such file or a setting is wrong, StorageError when the database
        cannot be used.
        """
        path = Path(config)
        if path.is_dir():
            path = path / CONFIG
        settings = settings or read_settings(path)
        database = open_database(settings.storage.url, path.parent)
        found = upgrade(database)
        home = cls(path, settings, database)
        if found is not None and found < SIGNED and home.trust.signs:
            # Once, by whoever brings an older portfolio to this version; from then on nothing unsigned is used.
            home.trust.sign_all("riskloop", "on record before there was a key")
        database.settings = home.trust.fingerprint
        with suppress(StorageError):  # a database that may only be read: whoever only looks does nothing by them
            audit.record_settings(database, home.trust.fingerprint, told_settings(settings), current_user())
        return home

    @cached_property
    def schema(self) -> Schema:
        """The features as riskloop.toml describes them now; a model carries its own."""
        return self.settings.row_schema

    @property
    def folder(self) -> Path:
        """Where relative paths of the configuration start."""
        return self.config.parent

    @cached_property
    def artefacts(self) -> Artefacts:
        """The model artefacts."""
        return Artefacts(self.folder / self.settings.storage.artefacts)

    @cached_property
    def reports(self) -> Path:
        """The folder of Evidently's pages."""
        return self.folder / self.settings.storage.reports

    @cached_property
    def documents(self) -> Path:
        """The folder with the texts that people write for the documents."""
        return self.folder / self.settings.documents.folder

    @cached_property
    def ledger(self) -> Ledger:
        """Versions and promotions."""
        return Ledger(self.database, self.trust)

    @cached_property
    def trust(self) -> Trust:
        """The portfolio's key, and what is signed with it."""
        return Trust(self.database, self.settings, self.folder)

    @cached_property
    def segments(self) -> Segments:
        """Decisions in files; `decisions` reads them together with those in the database."""
        root = self.settings.storage.segments
        return Segments(self.database, root if "://" in root else self.folder / root, self.reader)

    @cached_property
    def archive(self) -> Archive:
        """What retention took out of the log."""
        root = self.settings.retention.archive.strip()
        return Archive((root if "://" in root else self.folder / root) if root else None)

    @cached_property
    def decisions(self) -> DecisionLog:
        """The decision log."""
        return DecisionLog(self.database, self.segments, self.archive, self.schema_of)

    @cached_property
    def outcomes(self) -> Outcomes:
        """What happened."""
        return Outcomes(self.database, self.segments)

    @cached_property
    def deliveries(self) -> Deliveries:
        """What was handed in as outcomes, and when."""
        return Deliveries(self.database)

    @cached_property
    def feed(self) -> OutcomeFeed:
        """The outcomes as they come in: which count now, and whether some are late."""
        return OutcomeFeed(self.settings, self.decisions, self.outcomes, self.deliveries)

    @cached_property
    def windows(self) -> Windows:
        """Closed windows."""
        return Windows(self.database)

    @cached_property
    def cases(self) -> Cases:
        """Cases."""
        return Cases(self.database)

    def champion(self) -> Promotion:
        """The promotion in force; NotReady when no model was promoted yet."""
        promotion = self.ledger.champion()
        if promotion is None:
            raise NotReady("No model has been promoted yet. Run `riskloop train` first.")
        return promotion

    @cached_property
    def _schemas(self) -> dict[int, Schema]:
        return {}

    def schema_of(self, version: int) -> Schema:
        """What a version reads, and how it codes that."""
        if version not in self._schemas:
            self._schemas[version] = self.artefact(version).manifest.schema
        return self._schemas[version]

    def packed(self, version: int) -> Packed:
        """What scores of a version's artefact, to be sent to other processes."""
        row = self.ledger.model(version)
        return self.artefacts.pack(row.artefact, row.sha256).without(".npy")

    def artefact(self, version: int) -> Artefact[ModelManifest]:
        """The verified artefact of a version: signed, and every file as it was when it was."""
        row = self.ledger.model(version)
        self.trust.require_model(version, row.sha256, row.signature)
        return self.artefacts.read(row.artefact, ModelManifest, row.sha256)

    def close(self) -> None:
        """Return the database's connections."""
        self.database.close()


def read_settings(config: Path) -> Settings:
    """The settings of a riskloop.toml; ConfigError when it cannot be read or is wrong."""
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The configuration {config} cannot be read ({getattr(error, 'strerror', None) or error}). "
            "`riskloop init HISTORY.csv --target COLUMN` writes one."
        ) from None
    return parse_settings(text, str(config))
