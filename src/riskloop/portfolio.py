"""The Python API: a portfolio opened from its riskloop.toml. The commands and the server are thin layers over it."""

import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from riskloop import views
from riskloop.core.errors import ConfigError, RiskloopError
from riskloop.core.periods import Calendar
from riskloop.core.progress import silent
from riskloop.core.types import Json, to_micros
from riskloop.deciding import Deciding
from riskloop.record import Record
from riskloop.results import (
    BacktestResult,
    CheckResult,
    CycleResult,
    DocumentResult,
    DriftResult,
    ModelResult,
    OutcomesResult,
    ReplayResult,
    StatusResult,
    TrainingResult,
)
from riskloop.store import audit
from riskloop.store.home import CONFIG, Home
from riskloop.store.ledger import current_user

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from riskloop.batch.client import Summary
    from riskloop.batch.local import Champion
    from riskloop.frames import Frames
    from riskloop.identity.people import People
    from riskloop.plots import Plots
    from riskloop.scoring.bintable import BinTable


class Portfolio(Deciding):
    """One lending product: its config, history, decisions, models, cases."""

    @classmethod
    def open(cls, config: str | Path = CONFIG) -> "Portfolio":
        """Open the portfolio of a riskloop.toml (or of the folder that holds one)."""
        return cls(Home.open(config))

    def with_data(self, data: Json) -> "Portfolio":
        """The same portfolio, which reads files as ``data`` says instead of [data] of its riskloop.toml."""
        settings = self.home.settings
        changed = settings.model_copy(update={"data": settings.data.model_copy(update=data)})
        return Portfolio(replace(self.home, settings=changed))

    def train(
        self,
        history: "Path | str | pd.DataFrame | None" = None,
        *,
        complete_until: str | date | datetime | None = None,
        refused: Path | None = None,
        progress: Callable[[str, float], None] | None = None,
        now: datetime | None = None,
    ) -> TrainingResult:
        """Train the learners on a labelled history and register the best.

        Rows whose outcome window had not passed by the history's last decision, or by ``complete_until``, are left
        out. The first version that clears ``train.floor_auc`` becomes champion; later ones wait for the gate or a
        person. Rows that cannot be read are set aside, into the CSV ``refused`` if it is named. Returns version,
        sentence, metrics, comparison and what was read. Raises DataError for a history that breaks the schema in
        more than ``data.max_refused`` of its rows, or does not fit into the memory; GateRefused when a first model
        stays below the floor.
        """
        from riskloop.data.fetch import fetched, where_of
        from riskloop.data.outcomes import read_watermark
        from riskloop.loop.first import first_lessons, read_history, train_first

        source = history if history is not None else self._history()
        where = "the history" if hasattr(source, "columns") else where_of(source)
        at, settings, tick = now or datetime.now(UTC), self.home.settings, progress or silent
        known = None if complete_until is None else read_watermark(complete_until, self.home.schema.earliest)
        with fetched(source) as here:
            rows, read = read_history(here, where, self.home.schema, settings, to_micros(at), refused, tick)
        learned = first_lessons(rows, settings, at, known)
        del rows  # all of them are not there twice
        trained = train_first(
            settings,
            self.home.artefacts,
            self.home.ledger,
            learned,
            now=at,
            by=current_user(),
            progress=progress,
        )
        return TrainingResult(**trained, data=read, bins=self._bins(int(trained["version"])))

    def score(self, frame: "pd.DataFrame", *, reasons: Literal["none", "default", "all"] = "none") -> "pd.DataFrame":
        """Decide on customers and log it; returns the frame with the decisions' columns appended, same order and index.

        The columns are those of `/predict/batch`; ``flags`` holds JSON text, or None where there is nothing to flag.
        With ``reasons`` of the declined (`default`) or of all, a last column holds them as JSON text, strongest first,
        in the words of `reasons.texts`.
        """
        from riskloop.data.read import column_sentences
        from riskloop.scoring.answers import Answers, refuse_taken
        from riskloop.scoring.bodies import table_rows
        from riskloop.scoring.decide import decide
        from riskloop.scoring.decide import reasons as explained
        from riskloop.scoring.model import load_model

        version, settings = self.home.champion().version, self.home.settings
        model = load_model(self.home.artefact(version), version, spoken=settings.spoken)
        refuse_taken([str(name) for name in frame.columns], "the frame")
        now = to_micros(datetime.now(UTC))
        rows = table_rows(frame, model, where="the frame", now=now)
        for sentence in column_sentences([str(name) for name in frame.columns], model.schema):
            warnings.warn(sentence, stacklevel=2)
        decisions = decide(model, rows, now, settings.exploration.rate)
        told = explained(model, decisions, reasons, settings.serve.max_reasons)
        answered = Answers(model, decisions, self.home.decisions.append(decisions).first_id, told)
        answers = answered.table(with_reasons=reasons != "none").to_pandas()
        appended = {name: answers[name].to_numpy() for name in answers if name != "customer_id"}
        return frame.assign(**appended)

    def score_file(
        self,
        source: str | Path,
        target: str | Path,
        *,
        refused: Path | None = None,
        run_key: str | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> "Summary":
        """Decide on a file, a folder or a pattern on all cores, without a server; all of it is logged or nothing.

        ``target`` gets the rows with their predictions; the same file or ``run_key`` again gives the same decisions.
        Either may be an address, such as an object of a store or a table: see `riskloop.data.address`.
        """
        from riskloop.batch.local import LocalEngine

        home, rate = self.home, self.home.settings.exploration.rate
        engine = LocalEngine(home.segments, rate, self.champion_now, home.packed, home.artefact)
        return engine.score(source, target, home.settings.data, refused, run_key, progress)

    def champion_now(self) -> "Champion":
        """Who decides now, and what profiles the decisions; engines ask for it."""
        from riskloop.loop import champion, engines

        promotion = self.home.champion()
        return engines.deciding(promotion, champion.load(self.home, promotion.version))

    def record_outcomes(
        self,
        labels: "Path | str | pd.DataFrame | None" = None,
        *,
        complete_until: str | date | datetime | None = None,
        reason: str | None = None,
        by: str | None = None,
        strict: bool | None = None,
        refused: Path | None = None,
        now: datetime | None = None,
    ) -> OutcomesResult:
        """Hand in what happened: decision_id or the id column, the target (or `default`), optionally known_at.

        ``complete_until`` is the feed's watermark: every outcome that was final by then is reported (a date includes
        that day). It can be handed in without labels, and goes back to an earlier date for a ``reason``. The same file
        twice changes nothing. Rows that cannot be read or belong to no decision are left out, and named in the answer
        and in the CSV ``refused``; those without an outcome yet are counted. With ``strict`` (by default as [data]
        says) one that cannot be read refuses all. Raises DataError naming the first wrong cells, for rows of which
        none belongs to a decision, or a watermark that cannot be true; then nothing is recorded.
        """
        from riskloop.loop.handed_in import hand_in, learned_from_open

        home, at = self.home, now or datetime.now(UTC)
        recorded = hand_in(
            home.feed, home.schema, labels, at,
            by=by or current_user(), complete_until=complete_until, reason=reason, strict=strict, refused=refused,
        )  # fmt: skip
        open_again = None if reason is None else learned_from_open(home.feed, home.ledger, home.artefacts, at)
        notes = recorded.notes if open_again is None else (*recorded.notes, open_again)
        return OutcomesResult(**asdict(replace(recorded, notes=notes)))

    def cycle(
        self,
        now: datetime | None = None,
        say: Callable[[str], None] | None = None,
        progress: Callable[[str, float], None] | None = None,
        *,
        wait: bool = True,
    ) -> CycleResult:
        """One turn of the loop: monitor what is due, diagnose, retrain, judge, promote. See `riskloop.loop.cycle`.

        ``say`` is told what was done, ``progress`` of each fit and its share. Without ``wait`` it does not wait until
        alerts, MLflow and lineage are told; a process that ends before tells them the next time.
        """
        from riskloop.loop.cycle import cycle
        from riskloop.store.cycles import recorded

        try:
            with recorded(self.home.database):
                clock = None if now else lambda: datetime.now(UTC)
                done = cycle(self.home, now or datetime.now(UTC), say or silent, progress or silent, clock)
        finally:
            self.home.trust.keep(thorough=True)
        done.follow(wait)
        return CycleResult(
            closed=[views.window(window) for window in done.closed],
            matured=[views.window(window) for window in done.matured],
            cases=[views.case(case) for case in done.cases],
            lines=done.lines,
        )

    def check(self, source: "Path | str | pd.DataFrame | pa.Table | pa.RecordBatch") -> CheckResult:
        """Look at rows without scoring them for anybody: nothing is logged, and no case is opened.

        Compares a file, a frame, an Arrow table or batch with the champion's history and returns what would be refused
        and flagged, by column, and the diagnosis with every finding. What does not fit the schema (columns, values) is
        a finding, too. Before the first promotion drift is not told. Raises NotFound or MalformedBody for no table.
        """
        from riskloop.data.fetch import fetched, where_of
        from riskloop.loop.champion import load
        from riskloop.loop.check import check

        where = where_of(source) if isinstance(source, (str, Path)) else "The data"
        promotion = self.home.ledger.champion()
        champion = None if promotion is None else load(self.home, promotion.version)
        with fetched(source) as here:
            return CheckResult(**check(champion, self.home.schema, self.home.settings, here, where))

    def backtest(
        self,
        history: "Path | str | pd.DataFrame | None" = None,
        *,
        policies: str = "on_drift",
        outcome_window: timedelta | None = None,
        windows: Calendar | None = None,
        train_on: int | None = None,
        scenario: str | None = None,
        seed: int | None = None,
        work: Path | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> BacktestResult:
        """Would the loop have helped? Replays a history under this portfolio's settings, in a folder of its own.

        Nothing of this portfolio is touched. Raises DataError or ConfigError for a history that cannot be replayed.
        """
        from riskloop.backtest.request import WORK, Request
        from riskloop.backtest.study import backtest

        request = Request(
            history=self._history() if history is None and scenario is None else history,
            outcome_window=outcome_window,
            windows=windows,
            train_on=train_on,
            seed=seed,
            policies=policies,
            scenario=scenario,
            settings=self.home.settings,
            work=work or self.home.folder / WORK,
        )
        return BacktestResult(**backtest(request, progress))

    # ----------------------------------------------------------------------- looking

    @property
    def record(self) -> Record:
        """What is on record as a whole: verified, read by who did what, signed, and freed of a person."""
        return Record(self.home)

    def status(self) -> StatusResult:
        """Champion, last window, open cases."""
        return StatusResult(**views.status(self.home, datetime.now(UTC)))

    def model(self, version: int | None = None) -> ModelResult:
        """One version, by default the champion."""
        number = self.home.champion().version if version is None else version
        found = views.model(self.home.ledger, self.home.artefacts, number)
        return ModelResult(**found, bins=self._bins(number))

    def bins(self, feature: str, version: int | None = None) -> "BinTable":
        """The bins of a feature in a version, by default the champion's, with weights of evidence.

        ``merge``, ``split`` and ``set_special`` of the answer try others on the rows that the version keeps of its
        training; ``save(note)`` makes the next scorecard use them. Raises ConfigError for an unknown feature.
        """
        from riskloop.scoring.bintable import bin_table

        home = self.home
        table = bin_table(home.artefact(home.champion().version if version is None else version), feature)
        return replace(table, keep=self._keep_bins)

    def _keep_bins(self, table: "BinTable", note: str) -> Json:
        from riskloop.loop.handmade import keep
        from riskloop.store.home import read_settings

        home = self.home
        kept = keep(home.config, home.database, table, note, current_user())
        settings = read_settings(home.config).model_copy(update={"data": home.settings.data})
        self.home = replace(home, settings=settings)  # the next training of this very portfolio uses them
        return kept

    def _bins(self, version: int) -> list[Json]:
        from riskloop.scoring.bintable import bin_tables

        return [row for table in bin_tables(self.home.artefact(version)) for row in table.rows]

    def document(
        self,
        about: Literal["model", "case", "period"],
        number: int | None = None,
        *,
        start: date | None = None,
        end: date | None = None,
        file_format: Literal["html", "docx", "pdf"] = "html",
        now: datetime | None = None,
    ) -> DocumentResult:
        """What is on record as a document: a model's report, a case's for signature, or that of a period.

        ``number`` is the version (by default the champion) or the case; ``start`` and ``end`` are a period's first and
        last day. Raises NotFound where there is no such thing, ConfigError where python-docx or Chromium are missing.
        """
        from riskloop.document.make import document

        days, at = (start, end), now or datetime.now(UTC)
        return document(self.home, about, number, days, self.challenger_file, file_format, at)

    def drift(self, windows: int = 12) -> DriftResult:
        """The newest windows with their findings."""
        return DriftResult(views.drift(self.home.windows, windows))

    @property
    def frames(self) -> "Frames":
        """Decisions, outcomes, windows, findings, cases and versions as tables: pandas, Arrow, Polars."""
        from riskloop.frames import Frames

        return Frames(self.home)

    @property
    def plot(self) -> "Plots":
        """The dashboard's charts, for a notebook."""
        from riskloop.plots import Plots

        return Plots(self.home)

    def __repr__(self) -> str:
        """Name, folder and champion."""
        name, where = self.home.settings.portfolio.name, str(self.home.folder)
        try:
            champion = self.home.ledger.champion()
        except RiskloopError:  # a notebook shows it all the same
            return f"<Portfolio '{name}' in {where}: its database does not answer>"
        serves = "no champion yet" if champion is None else f"version {champion.version} serves"
        return f"<Portfolio '{name}' in {where}: {serves}>"

    def _repr_html_(self) -> str | None:
        """The status as a short table."""
        try:
            return self.status()._repr_html_()
        except RiskloopError:
            return None

    @property
    def models(self) -> "pd.DataFrame":
        """Every version as a frame."""
        import pandas as pd

        return pd.DataFrame(views.models(self.home.ledger))

    @property
    def cases(self) -> "pd.DataFrame":
        """The newest cases as a frame."""
        import pandas as pd

        return pd.DataFrame(views.cases(self.home.cases))

    def replay(self, decision_id: str | int, *, by: str | None = None) -> ReplayResult:
        """Score a logged decision again with the model of that day and compare the probabilities to the last bit."""
        from riskloop.scoring.replay import replay
        from riskloop.store.shadow import ShadowScores

        home = self.home
        most, spoken = home.settings.serve.max_reasons, home.settings.spoken
        found = replay(home.decisions, home.artefact, decision_id, most, spoken, ShadowScores(home.database))
        subject = f"decision {decision_id}"
        audit.write(home.database, by=by or current_user(), action="read decision", subject=subject)
        return ReplayResult(**found)

    def export(
        self,
        version: int,
        path: str | Path,
        *,
        dialect: str = "postgresql",
        table: str = "customers",
        base: float = 600.0,
        odds: float = 30.0,
        double: float = 20.0,
    ) -> Path:
        """Write a version for another tool: .csv or .xlsx (a scorecard's table), .sql (a query), .py (one file).

        ``dialect`` and ``table`` are the query's; a score of ``base`` points stands for ``odds`` good customers to one
        bad, and ``double`` points more for twice these odds. Raises NotFound, or ConfigError for what cannot be
        written so.
        """
        from riskloop.export import Scaling, plain_model, python_text, scorecard_rows, sql_text, write_scorecard

        target, scaling = Path(path), Scaling(base, odds, double)
        model = plain_model(self.home.artefact(version), version)
        if target.suffix == ".py":
            target.write_text(python_text(model), encoding="utf-8")
        elif target.suffix == ".sql":
            target.write_text(sql_text(model, dialect, table), encoding="utf-8")
        else:
            write_scorecard(scorecard_rows(model, scaling), scaling, target)
        return target

    def export_schema(self, path: str | Path, version: int | None = None) -> Path:
        """Write what rows have to look like: .py (a pandera schema), .json (a JSON Schema of a request's row).

        A version's schema, or that of riskloop.toml. Raises NotFound, or ConfigError for another ending.
        """
        from riskloop.export import json_schema_text, pandera_text
        from riskloop.scoring.model import load_model

        target, schema = Path(path), self.home.schema
        if version is not None:
            schema = load_model(self.home.artefact(version), version).schema
        if target.suffix not in (".py", ".json"):
            raise ConfigError(f"{target.name} must end in .py (pandera) or .json (JSON Schema).")
        text = pandera_text(schema, target.stem) if target.suffix == ".py" else json_schema_text(schema)
        target.write_text(text, encoding="utf-8")
        return target

    def export_mlflow(self, version: int, uri: str | None = None, *, name: str | None = None) -> Json:
        """Register a version in MLflow, as a model from code beside its artefact folder; its name and number there.

        ``uri`` is the tracking server, by default `mlflow.mirror`. The alias of the champion is the mirror's to move.
        Raises Unreachable where MLflow does not take it, ConfigError without the extra or an address.
        """
        from riskloop.export.mlflow import put_version, registered_name

        home, settings = self.home, self.home.settings.mlflow
        if (where := uri or settings.mirror) is None:
            raise ConfigError("Name the tracking server: --uri http://…, or mlflow.mirror in riskloop.toml.")
        named = name or settings.name or registered_name(home.settings.portfolio.name)
        number = put_version(home.ledger, home.artefacts, version, where, named, settings.timeout)
        return {"version": version, "name": named, "number": number}

    def create_key(self, name: str, roles: list[str], *, expires: str | None = None) -> str:
        """Create an API key; the secret is returned once and stored hashed. ``expires`` is a date or a duration."""
        from riskloop.identity.people import later, roles_named
        from riskloop.store.keys import Keys

        now = datetime.now(UTC)
        keys, expires_at = Keys(self.home.database), later(expires, now)
        return keys.create(name, roles_named(roles), at=now, by=current_user(), expires_at=expires_at)

    def rotate_key(self, name: str, *, grace: str = "7d", expires: str | None = None) -> str:
        """Give a key a new secret, which is returned once; the old one is valid for ``grace``."""
        from riskloop.identity.people import later
        from riskloop.store.keys import Keys

        now = datetime.now(UTC)
        old_until, expires_at = later(grace, now) or now, later(expires, now)
        keys = Keys(self.home.database)
        return keys.rotate(name, at=now, by=current_user(), old_until=old_until, expires_at=expires_at)

    @property
    def keys(self) -> "pd.DataFrame":
        """The keys without their secrets, as a frame."""
        import pandas as pd

        columns = ["name", "roles", "created_at", "revoked_at", "expires_at"]
        return pd.DataFrame(views.keys(self.home.database), columns=columns)

    def revoke_key(self, name: str) -> None:
        """Revoke a key at once."""
        from riskloop.store.keys import Keys

        Keys(self.home.database).revoke(name, at=datetime.now(UTC), by=current_user())

    @property
    def people(self) -> "People":
        """Who logs in at the dashboard."""
        from riskloop.identity.people import People

        return People(self.home.database, current_user())
