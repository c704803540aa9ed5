"""What people decide about versions and cases: a part of the Python API."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from riskloop import views
from riskloop.core.errors import ConfigError, DataError
from riskloop.core.progress import silent
from riskloop.results import (
    CaseResult,
    ChallengerFileResult,
    ChampionResult,
    ComparisonResult,
    ImportResult,
    PromotionResult,
    RebuildResult,
    RescoreResult,
    ShadowResult,
    SideBySideResult,
)
from riskloop.store.home import Home
from riskloop.store.ledger import current_user

if TYPE_CHECKING:
    import pandas as pd

    from riskloop.data.joined import Joined


class Deciding:
    """A portfolio's versions and cases, compared, promoted, approved, closed."""

    def __init__(self, home: Home) -> None:
        self.home = home

    # ----------------------------------------------------------------------- models from elsewhere

    def import_model(
        self,
        source: str | Path,
        history: "Path | str | pd.DataFrame | None" = None,
        *,
        kind: Literal["lightgbm", "xgboost", "skops", "scorecard"] | None = None,
        scores: str | None = None,
        calibration: Literal["kept", "fitted"] = "kept",
        scale: tuple[float, float, float] | None = None,
        closed: Literal["left", "right"] | None = None,
        complete_until: str | date | datetime | None = None,
        now: datetime | None = None,
    ) -> ImportResult:
        """Register a model that was made elsewhere: the first champion, or the next challenger.

        ``source`` is a file (LightGBM's text, XGBoost's JSON, a skops file, a scorecard as .csv or .xlsx), a folder
        or an address of MLflow; ``history`` its labelled rows, by default `portfolio.history`. Every row is scored by
        the file's own library, or compared with the history's column ``scores``, and has to agree. ``scale`` says what
        a scorecard's points mean: base points, good customers for a bad one at that score, points that double the odds;
        ``closed`` which end of a bin belongs to it. Raises ArtefactError for what is unsafe or scores otherwise,
        DataError for a history that does not fit, GateRefused when a first model stays below the floor.
        """
        from riskloop.data.fetch import fetched, where_of
        from riskloop.data.refused import refused_document
        from riskloop.loop.imported import import_model
        from riskloop.train.foreign.card import PointsScale
        from riskloop.train.foreign.history import read_history
        from riskloop.train.foreign.source import find

        given = self._history() if history is None else history
        at, where = now or datetime.now(UTC), where_of(given) if isinstance(given, (str, Path)) else "the history"
        found = find(str(source), kind)
        with fetched(given) as here:
            read = read_history(
                here, self.home.settings, where=where, scores=scores, at=at, complete_until=complete_until
            )
            document = refused_document(read.checked, where)
        made = import_model(
            self.home.settings,
            self.home.artefacts,
            self.home.ledger,
            found,
            read.checked.rows,
            now=at,
            by=current_user(),
            scores=read.scores,
            scores_name=scores or "",
            calibration=calibration,
            scale=None if scale is None else PointsScale(*scale),
            closed=closed,
            complete_until=read.complete_until,
        )
        return ImportResult(**made, data=document)

    def _history(self) -> "str | Path | Joined":
        """The history that riskloop.toml names. Raises ConfigError where it names none."""
        from riskloop.data.joined import named_history

        named = named_history(self.home.settings.portfolio, self.home.folder)
        if named is None:
            raise ConfigError(
                "Name a history: `riskloop train HISTORY.csv`, or set portfolio.history in riskloop.toml."
            )
        return named

    # ----------------------------------------------------------------------- promotions

    def promote(self, version: int, *, by: str | None = None, reason: str, force: bool = False) -> PromotionResult:
        """Make a version champion if the gate says so on matured decisions, or with ``force`` on a person's word."""
        from riskloop.loop.promotion import promote_on_request

        made = promote_on_request(
            self.home, version, by=by or current_user(), reason=reason, force=force, now=datetime.now(UTC)
        )
        return PromotionResult(**views.promotion(made))

    def rebuild(self, version: int, *, progress: Callable[[str, float], None] | None = None) -> RebuildResult:
        """Make a version again from its record and compare every byte: what it was trained on is on record."""
        from riskloop.loop.rebuild import rebuild

        return RebuildResult(**asdict(rebuild(self.home, version, progress or silent)))

    def champion_at(self, moment: datetime) -> ChampionResult:
        """Which model served at a moment? NotFound before the first promotion."""
        return ChampionResult(**views.champion_at(self.home.ledger, moment, datetime.now(UTC)))

    def rollback(self, *, by: str | None = None, reason: str, seq: int | None = None) -> PromotionResult:
        """Put the champion before the present one back.

        ``seq`` is the promotion that the caller has seen; PromotionConflict when it is not the last one any more.
        """
        from riskloop.loop.promotion import roll_back

        seen = self.home.champion().seq if seq is None else seq
        made = roll_back(
            self.home.ledger, self.home.cases, by=by or current_user(), reason=reason, seq=seen, now=datetime.now(UTC)
        )
        return PromotionResult(**views.promotion(made))

    def compare(
        self, champion: int, challenger: int, *, by: str | None = None, now: datetime | None = None
    ) -> ComparisonResult:
        """The gate's report on two versions, on the matured decisions that neither was trained on.

        That is a test, and spends of the alpha budget as the gate's own tries do; ``spent`` of the answer says how
        much. Where no decision is new to both, it is the report that the gate made, which costs nothing.
        """
        from riskloop.loop.challenge import compare
        from riskloop.loop.challenger_file import judgement_of
        from riskloop.loop.promotion import paid, shown

        home, at = self.home, now or datetime.now(UTC)
        try:
            report = compare(home, champion, challenger, at)
        except DataError:
            found = judgement_of(home.cases, home.ledger, home.artefacts, champion, challenger)
            if found is None:
                raise
            return ComparisonResult(**shown(found, challenger))
        by = by or current_user()
        return ComparisonResult(**paid(home.database, report, champion, challenger, by=by, now=at))

    def challenger_file(self, number: int) -> ChallengerFileResult:
        """What an approver reads of a case's challenger: both models on the evaluated decisions, and the fingerprint.

        NotFound while the case has no report of the gate.
        """
        from riskloop.loop.challenger_file import case_file

        return ChallengerFileResult(**case_file(self.home.cases, self.home.artefacts, number))

    def challenger_file_of(self, champion: int, challenger: int) -> ChallengerFileResult | None:
        """The newest challenger file on two versions; None where the gate has not compared them for a case."""
        from riskloop.loop.challenger_file import pair_file

        found = pair_file(self.home.cases, self.home.ledger, self.home.artefacts, champion, challenger)
        return None if found is None else ChallengerFileResult(**found)

    def side_by_side(self, first: int, second: int, *, now: datetime | None = None) -> SideBySideResult:
        """Curves, measures and segments of two versions on recent matured decisions that neither was trained on."""
        from riskloop.loop.side_by_side import side_by_side

        return SideBySideResult(**side_by_side(self.home, first, second, now or datetime.now(UTC)))

    def shadows(self, *, now: datetime | None = None) -> list[ShadowResult]:
        """What each version of `shadow.versions`, now or before, would have decided on live traffic, by version.

        This is to look, not a test: it costs nothing of the alpha budget.
        """
        from riskloop.loop.shadow import shadows

        return [ShadowResult(**found) for found in shadows(self.home, now or datetime.now(UTC))]

    # ----------------------------------------------------------------------- cases

    def approve(self, number: int, *, by: str | None = None, note: str, evidence: str | None = None) -> CaseResult:
        """Approve the challenger of a case that needs a person, by name.

        ``evidence`` is the fingerprint of the report that was read, as `cases show` prints it, or its first eight
        characters or more: GateRefused when the case has another report by now.
        """
        from riskloop.loop.four_eyes import require_another
        from riskloop.loop.trial import approve_challenger

        case, now = self.home.cases.get(number), datetime.now(UTC)
        by = by or current_user()
        if self.home.settings.gate.four_eyes and case.challenger is not None:
            require_another(self.home.ledger, self.home.cases, case.challenger, by=by)
        approve_challenger(self.home.ledger, self.home.cases, case, by=by, note=note, now=now, evidence=evidence)
        return self.case(number)

    def reject(self, number: int, *, by: str | None = None, note: str) -> CaseResult:
        """Reject the challenger of a case that needs a person."""
        from riskloop.loop.trial import reject_challenger

        case, now = self.home.cases.get(number), datetime.now(UTC)
        reject_challenger(self.home.database, case, by=by or current_user(), note=note, now=now)
        return self.case(number)

    def release(self, number: int, *, by: str | None = None, note: str) -> CaseResult:
        """Let the quarantined rows of a case be learned from again."""
        from riskloop.loop.cases import release

        case = self.home.cases.get(number)
        release(
            self.home.windows, self.home.deliveries, case, by=by or current_user(), note=note, now=datetime.now(UTC)
        )
        return self.case(number)

    def close(self, number: int, *, by: str | None = None, note: str) -> CaseResult:
        """Close a quarantined case as fixed at its source; its rows stay out of every training."""
        from riskloop.loop.cases import close_fixed

        case = self.home.cases.get(number)
        close_fixed(self.home.cases, case, by=by or current_user(), note=note, now=datetime.now(UTC))
        return self.case(number)

    def comment(self, number: int, note: str, *, by: str | None = None) -> CaseResult:
        """Say something about a case, open or closed; it stays on record and moves nothing."""
        from riskloop.loop import people

        people.comment(self.home.cases, number, note, by=by or current_user(), now=datetime.now(UTC))
        return self.case(number)

    def assign(self, number: int, to: str | None, *, by: str | None = None, note: str = "") -> CaseResult:
        """Give a case to a person, or with None to nobody. Conflict where that changes nothing."""
        from riskloop.loop import people

        people.assign(self.home.cases, number, to, note, by=by or current_user(), now=datetime.now(UTC))
        return self.case(number)

    def acknowledge(self, number: int, *, by: str | None = None, note: str = "") -> CaseResult:
        """Say that a case was seen: nobody is told of it again, until it asks for something new (`alerts.again`).

        Conflict where it asks for nothing, or was acknowledged already.
        """
        from riskloop.loop import people

        people.acknowledge(self.home.cases, number, note, by=by or current_user(), now=datetime.now(UTC))
        return self.case(number)

    def rescore(self, number: int, corrected: "Path | str | pd.DataFrame", *, by: str | None = None) -> RescoreResult:
        """The decisions on faulty rows of a case, scored again on corrected ones by the version that made them.

        The log stays as it is. Raises Conflict for a case without quarantined windows, DataError for rows that cannot
        be read or are of nobody who was decided on.
        """
        from riskloop.loop.incident import faulty_windows, read_corrected, rescore
        from riskloop.scoring.model import load_model
        from riskloop.store import audit

        where = str(corrected) if isinstance(corrected, (str, Path)) else "the frame"
        case, now = self.home.cases.get(number), datetime.now(UTC)
        home = self.home
        summary, table = rescore(
            home.decisions,
            faulty_windows(home.windows, case),
            read_corrected(corrected, home.schema, where, home.settings.data),
            lambda version: load_model(home.artefact(version), version),
        )
        with home.database.write() as connection:
            subject, by = f"case {number}", by or current_user()
            audit.record(connection, at=now, by=by, action="rescore", subject=subject, document=summary)
        return RescoreResult(
            case=number,
            **summary,
            rows=[{str(name): value for name, value in row.items()} for row in table.to_dict("records")],
        )

    def case(self, number: int) -> CaseResult:
        """One case with every step, and what people said about it."""
        return CaseResult(**views.case_story(self.home.cases, number))
