"""`riskloop doctor`: what is wrong with a portfolio and its surroundings, and how to mend it.

It only looks: it makes no database, brings no tables up to date, and writes nothing.
"""

import ctypes
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from riskloop import views
from riskloop.core.english import counted, lasting, named
from riskloop.core.errors import ConfigError, NotFound, RiskloopError
from riskloop.core.settings import Settings, coded_as
from riskloop.identity.client import is_loopback
from riskloop.results import DoctorResult
from riskloop.store.adapters import open_database
from riskloop.store.cycles import loop_state
from riskloop.store.database import Database
from riskloop.store.home import CONFIG, Home, read_settings
from riskloop.store.keys import asks_who
from riskloop.store.migrations import HEAD, revision
from riskloop.store.running import running
from riskloop.store.signing import key_file
from riskloop.store.windows import next_file_due
from riskloop.tracing import wanted

OK: Final = "ok"
WARNING: Final = "warning"
FAILED: Final = "failed"
LEAST_FREE: Final = 200 * 2**20  # bytes; with less, nothing is logged soon
LITTLE_FREE: Final = 2 * 2**30
CLOCKS: Final = 5.0  # seconds between the clocks of this machine and of the database
PATIENCE: Final = 5.0  # seconds for a server's answer
EXTRAS: Final = {  # package that an extra brings: its name, and what lacks without it
    "evidently": ("evidently", "Evidently's pages of drifted windows"),
    "docx": ("documents", "documents as Word files"),
    "openpyxl": ("excel", "scorecards as workbooks"),
    "pyreadstat": ("formats", "SAS, SPSS and Stata files"),
    "psycopg": ("postgres", "PostgreSQL"),
    "authlib": ("sso", "single sign-on"),
    "pyspark": ("spark", "scoring on Spark"),
    "mlflow": ("mlflow", "MLflow"),
    "opentelemetry.sdk": ("otel", "traces"),
    "xgboost": ("xgboost", "the learner xgboost"),
    "catboost": ("catboost", "the learner catboost"),
    "duckdb": ("duckdb", "queries of DuckDB"),
    "adbc_driver_postgresql": ("adbc", "queries of PostgreSQL as Arrow"),
}
OPENMP: Final = "`apt-get install libgomp1` (Debian), `dnf install libgomp` (Red Hat) or `brew install libomp` (macOS)"
SCHEMES: Final = {"postgresql": "postgres", "adbc": "adbc", "duckdb": "duckdb"}  # of addresses of a history

Told = tuple[str, str, str]  # state, what was found, what to do


def examine(config: Path = Path(CONFIG)) -> DoctorResult:
    """Look at a config, its store, champion, server, loop and feeds; never raises for what it finds."""
    examination = _Checkup(config / CONFIG if config.is_dir() else config)
    checks = [
        {"check": name, "state": state, "says": says, "remedy": remedy}
        for name, look in examination.looks()
        for state, says, remedy in look()
    ]
    counts = {state: sum(check["state"] == state for check in checks) for state in (OK, WARNING, FAILED)}
    parts = [counted(counts[FAILED], "check") + " failed"] if counts[FAILED] else []
    parts += [counted(counts[WARNING], "warning")] if counts[WARNING] else []
    sentence = f"{' and '.join(parts)}." if parts else f"All {counts[OK]} checks are well."
    return DoctorResult(not counts[FAILED], sentence, checks)


class _Checkup:
    """One look at one folder; what cannot be opened stays None, and what needs it is left out."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.settings: Settings | None = None
        self.database: Database | None = None
        self.home: Home | None = None

    def looks(self) -> Iterator[tuple[str, Callable[[], Iterator[Told]]]]:
        """The checks in their order, each made when the ones before are done."""
        yield "config", self._guarded(self.look_at_config, "Mend it; docs/settings.md lists every setting.")
        if self.settings is None:
            return
        yield "folder", self._guarded(self.look_at_folder, "See to the folder.")
        yield "disk", self._guarded(self.look_at_disk, "See to the disk.")
        yield "extras", self._guarded(self.look_at_extras, "")
        yield "database", self._guarded(self.look_at_database, "See docs/deploy.md.")
        yield "server", self._guarded(self.look_at_server, "Start it with `riskloop up`.")
        yield "alerts", self._guarded(self.look_at_alerts, "See docs/alerting.md.")
        if self.home is None:
            return
        try:
            yield "pages", self._guarded(self.look_at_pages, "Restore a backup.")
            yield "champion", self._guarded(self.look_at_champion, "Look with `riskloop verify`; restore a backup.")
            yield "record", self._guarded(self.look_at_record, "Look with `riskloop verify`.")
            yield "loop", self._guarded(self.look_at_loop, "Run `riskloop up`, or `riskloop watch`.")
            yield "feeds", self._guarded(self.look_at_feeds, "Hand in what is due.")
        finally:
            self.home.close()

    @staticmethod
    def _guarded(look: Callable[[], Iterator[Told]], remedy: str) -> Callable[[], Iterator[Told]]:
        """A check whose refusal is its finding."""

        def guarded() -> Iterator[Told]:
            try:
                yield from look()
            except RiskloopError as error:
                yield FAILED, error.message, remedy
            except OSError as error:
                yield FAILED, f"{error.filename or 'A file'}: {error.strerror or error}.", remedy

        return guarded

    # ----------------------------------------------------------------------- this machine

    def look_at_config(self) -> Iterator[Told]:
        """It can be read and every setting is right."""
        self.settings = settings = read_settings(self.config)
        features = counted(len(settings.features), "feature")
        yield OK, f"{self.config}: portfolio '{settings.portfolio.name}', {features}.", ""

    def look_at_folder(self) -> Iterator[Told]:
        """What is written can be written, and nobody else reads the key."""
        settings, folder = self._settings, self.config.parent
        named = (settings.storage.artefacts, settings.storage.reports, settings.storage.segments)
        places = [folder, *(folder / name for name in named if "://" not in name)]
        closed = [place for place in places if place.exists() and not os.access(place, os.R_OK | os.W_OK | os.X_OK)]
        if closed:
            yield FAILED, f"This user may not write in {', '.join(map(str, closed))}.", "Change the owner or the mode."
        key = key_file(settings.trust, folder)
        if key is not None and key.exists() and key.stat().st_mode & 0o077:
            yield FAILED, f"Others may read the key {key}.", f"chmod 600 {key}; then make a new one: see docs/trust.md."
        elif not closed:
            yield OK, f"This user may write in {folder.absolute()}.", ""

    def look_at_disk(self) -> Iterator[Told]:
        """There is room for decisions."""
        free = shutil.disk_usage(self.config.parent).free
        says = f"{free / 2**30:,.1f} GiB are free."
        if free < LEAST_FREE:
            yield FAILED, says, "Make room: without it no decision is logged, so none is answered."
        elif free < LITTLE_FREE:
            yield WARNING, says, "Make room soon."
        else:
            yield OK, says, ""

    def look_at_extras(self) -> Iterator[Told]:
        """What the settings need is installed; the rest is only named."""
        needed = _needed(self._settings)
        missing = {extra: lacks for package, (extra, lacks) in EXTRAS.items() if not _is_there(package)}
        for extra in sorted(needed & set(missing)):
            yield FAILED, f"riskloop.toml needs {missing[extra]}.", f"pip install 'riskloop[{extra}]'"
        if not needed & set(missing):
            more = "; ".join(f"{lacks}: pip install 'riskloop[{extra}]'" for extra, lacks in missing.items())
            yield OK, f"Everything that riskloop.toml needs is installed.{f' Not there: {more}.' if more else ''}", ""
        problem = _lightgbm_problem()
        if problem is not None:
            yield (
                FAILED,
                f"LightGBM cannot be loaded, so nothing can be trained: {problem}.",
                f"Install OpenMP: {OPENMP}.",
            )

    # ----------------------------------------------------------------------- the store

    def look_at_database(self) -> Iterator[Told]:
        """It answers, its tables are of this version, and its clock is right."""
        try:
            database = open_database(self._settings.storage.url, self.config.parent, make=False)
        except NotFound as error:
            yield WARNING, error.message, "Run `riskloop train`, or restore a backup."
            return
        with database.read() as connection:
            found, now = revision(connection), database.now(connection)
        if found is None or found < HEAD:
            at = "empty" if found is None else f"of an earlier version (revision {found} of {HEAD})"
            yield WARNING, f"{database.name}: the tables are {at}.", "Run `riskloop backup`, then `riskloop migrate`."
        elif found > HEAD:
            yield FAILED, f"{database.name}: a newer version wrote it ({found}).", "Install that version of riskloop."
        else:
            yield OK, f"{database.name} answers; its tables are at revision {HEAD}.", ""
            self.home = Home(self.config, self._settings, database)
        apart = abs(now / 1e6 - time.time())
        if apart > CLOCKS:
            yield WARNING, f"Its clock and this machine's are {lasting(apart)} apart.", "Let both follow a time server."
        if self.home is None:
            database.close()

    def look_at_pages(self) -> Iterator[Told]:
        """The database's own check of its pages."""
        damage = self._home.database.trouble() or self._home.database.examine()
        if damage is None:
            yield OK, "The database's own check finds no damage.", ""
        else:
            yield FAILED, damage, "Stop the server and restore a backup."

    def look_at_champion(self) -> Iterator[Told]:
        """It loads from signed files that are as they were, and this portfolio can sign."""
        from riskloop.scoring.model import load_model

        home = self._home
        promotion = home.ledger.champion()
        if promotion is None:
            yield WARNING, "No model serves yet.", "Run `riskloop train HISTORY.csv`."
            return
        model = load_model(home.artefact(promotion.version), promotion.version)
        try:
            coded_as(home.settings, model.schema)
        except ConfigError as error:
            yield WARNING, error.message, ""
        how = "signed" if home.trust.signs else "registered"
        yield OK, f"Version {promotion.version} loads; its files are as they were {how}.", ""

    def look_at_record(self) -> Iterator[Told]:
        """The last checkpoint agrees with what is on record."""
        home = self._home
        if not home.trust.signs:
            yield WARNING, "Nothing is signed: [trust] names no key.", "Name one; see docs/trust.md."
            return
        state = home.trust.state()
        if state.problem is not None:
            yield FAILED, state.problem, "Look with `riskloop verify`."
        elif state.age is None:
            yield OK, "No checkpoint was signed yet.", ""
        else:
            yield OK, f"The last checkpoint, {lasting(state.age.total_seconds())} old, agrees with the record.", ""

    # ----------------------------------------------------------------------- what runs

    def look_at_server(self) -> Iterator[Told]:
        """The server of this folder is ready; where none runs, its port is free and its address allowed."""
        serve, server = self._settings.serve, running(self.config.parent)
        if self.home is not None and not is_loopback(serve.host) and not asks_who(self._settings, self.home.database):
            says = f"There are no keys, so nothing is served on {serve.host}."
            yield FAILED, says, "Create one: `riskloop keys create NAME --role operate`."
        if server is None:
            yield WARNING, "No server of this folder runs on this machine.", "Start it with `riskloop up`."
            with closing(socket.socket()) as probe:
                probe.settimeout(1.0)
                if serve.port and probe.connect_ex(("127.0.0.1", serve.port)) == 0:
                    yield WARNING, f"Another program listens on port {serve.port}.", "Choose another [serve] port."
            return
        import requests

        session = requests.Session()
        session.trust_env = False
        try:
            answer = session.get(f"{server.url}/readyz", timeout=PATIENCE)
            document = answer.json()
        except (requests.RequestException, ValueError) as error:
            said = f"Process {server.pid} serves {server.url} and does not answer ({type(error).__name__})."
            yield FAILED, said, "Look into its log, and restart it."
            return
        problems = document.get("problems", [])
        if answer.status_code != requests.codes.ok:
            says = " ".join(problems) or "No model is loaded."
            yield FAILED, f"{server.url} is not ready: {says}", "Look at `riskloop status`."
        elif problems:
            yield WARNING, f"{server.url} serves. {' '.join(problems)}", "Look at `riskloop status`."
        else:
            yield OK, f"{server.url} is ready.", ""

    def look_at_loop(self) -> Iterator[Told]:
        """Cycles finish."""
        state, late = loop_state(self._home.database), self._settings.watch.late
        trouble = state.trouble(late)
        if state.stands_still(late):
            yield FAILED, str(trouble), "Run `riskloop up`, or `riskloop watch`."
        elif trouble is not None:
            yield WARNING, trouble, "Look into the worker's log."
        elif state.age is None:
            yield OK, "No cycle was due yet.", ""
        else:
            yield OK, f"The last cycle finished {lasting(state.age.total_seconds())} ago.", ""

    def look_at_feeds(self) -> Iterator[Told]:
        """Files and outcomes have come when they were due."""
        home, now = self._home, datetime.now(UTC)
        state = views.outcomes(home.feed, home.windows, now)
        due = next_file_due(home.decisions, home.settings)
        well = True
        if state["late"]:
            well = False
            yield WARNING, state["late"], "Hand them in: `riskloop outcomes FILE`."
        elif waiting := [name for name in state["not_judged"] if name not in state["judged_next"]]:
            well = False
            yield WARNING, f"The outcomes of {named(waiting)} are due.", "Hand them in: `riskloop outcomes FILE`."
        if due is not None and due < now:
            well = False
            yield WARNING, f"A file of decisions was due on {due:%Y-%m-%d}.", "Score it: `riskloop score IN OUT`."
        if well:
            yield OK, "Nothing is due.", ""

    def look_at_alerts(self) -> Iterator[Told]:
        """Somebody is told, and was."""
        from riskloop.alerts import channels_of

        found = channels_of(self._settings.alerts)
        channels = [channel.name for channel in found if not isinstance(channel, ConfigError)]
        for lacking in (channel for channel in found if isinstance(channel, ConfigError)):
            yield FAILED, f"{lacking.message} (as this shell sees it)", "Set the variable for server and worker."
        if not found:
            yield WARNING, "Nobody is told of faults and drift.", "Name a channel in [alerts]; see docs/alerting.md."
        unsent = [] if self.home is None else views.unsent_alerts(self.home.database)
        if unsent:
            says = f"{counted(len(unsent), 'alert')} did not reach {unsent[0]['channel']}: {unsent[0]['problem']}."
            yield WARNING, says, "Look at `riskloop alerts list`; try `riskloop alerts test`."
        elif channels:
            yield OK, f"Alerts go to {', '.join(channels)}.", ""

    @property
    def _settings(self) -> Settings:
        if self.settings is None:
            raise NotFound("There are no settings.")
        return self.settings

    @property
    def _home(self) -> Home:
        if self.home is None:
            raise NotFound("There is no portfolio.")
        return self.home


def _needed(settings: Settings) -> set[str]:
    """The extras that the settings, or OpenTelemetry's variables, ask for."""
    asked = {
        "postgres": settings.storage.url.startswith("postgresql"),
        "sso": settings.sso.issuer is not None,
        "mlflow": settings.mlflow.mirror is not None,
        "otel": wanted(),
        "xgboost": "xgboost" in settings.train.learners,
        "catboost": "catboost" in settings.train.learners,
    }
    scheme = re.match(r"(\w+)(\+\w+)?:/", settings.portfolio.history or "")
    from_address = {SCHEMES[scheme[1]]} if scheme is not None and scheme[1] in SCHEMES else set()
    return {extra for extra, needed in asked.items() if needed} | from_address


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # what it is a part of is not there
        return False


def _lightgbm_problem() -> str | None:
    """Why LightGBM's library cannot be loaded; None when it can. The wheel lacks OpenMP, as slim images do."""
    for file in files("lightgbm") or ():
        if file.name.startswith("lib_lightgbm"):
            try:
                ctypes.CDLL(str(file.locate()))
            except OSError as error:
                return str(error)
    return None
