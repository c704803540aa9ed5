"""A case is opened again when many more outcomes of its new world are known than its challenger learned from."""

from datetime import datetime

from riskloop.cases import Case, Signal, move
from riskloop.cases.renewal import Renewable, renewable
from riskloop.core.settings import DriftSettings
from riskloop.core.types import DecisionFrame
from riskloop.decide.policy import renews
from riskloop.loop import snapshot
from riskloop.loop.challenge import since
from riskloop.loop.champion import ReferenceModel
from riskloop.monitor.performance import ranks_worse
from riskloop.store import audit
from riskloop.store.cases import open_case, remember_look
from riskloop.store.database import Database
from riskloop.store.home import Home

CASES = 1000  # newest ones that are looked through


def renew(home: Home, champion: ReferenceModel, now: datetime) -> Case | None:
    """Open a case where a better model is likely by now; None where none is."""
    for found in renewable(home.cases.latest(CASES), home.ledger.alike(champion.version)):
        first = home.windows.get(found.case.window_id)
        start = since(home.windows, home.cases, found.case, home.settings.policy.again)
        if first is None or start is None:
            continue
        taken = snapshot.take_judged(home.feed, home.windows, now, start)
        known = snapshot.count_matured(home.outcomes, taken, start)
        if not renews(found.case.diagnosis, home.settings.policy, learned=found.learned, known=known):
            continue
        if found.in_vain:
            # A further look needs as many more outcomes as a waiting case does: each is another chance to be wrong.
            looked = found.case.looked
            if looked is not None and known < home.settings.gate.retry_growth * looked:
                continue
            frame = snapshot.read(home.decisions, taken, champion.model.schema, start=start)
            worse = _still_worse(frame, champion, home.settings.drift)
            _remember(home.database, found.case, known, worse, now)
            if not worse:
                continue
        # A champion that was made for this world does no harm there; where no better one was found, it still does.
        harmed = champion.version if found.in_vain else None
        step = move(None, Signal.GROWN, _sentence(found, first.name, known), harmed=harmed)
        with home.database.write() as connection:
            return open_case(
                connection,
                step,
                at=now,
                diagnosis=found.case.diagnosis,
                window_id=found.case.window_id,
                champion=champion.version,
            )
    return None


def _sentence(found: Renewable, first: str, known: int) -> str:
    rejected = " and was rejected" if found.in_vain else ""
    return (
        f"Customers differ from the history since {first}. Version {found.version} learned from {found.learned:,} of "
        f"their outcomes{rejected}. {known:,} are known now, so a better model is likely."
    )


def _still_worse(frame: DecisionFrame, champion: ReferenceModel, drift: DriftSettings) -> bool:
    """Whether all known outcomes of a new world together show that the champion ranks worse than at its training."""
    scores = champion.model.probabilities(frame.features)
    return ranks_worse(
        scores,
        frame.outcomes,
        champion.probabilities,
        champion.outcomes,
        alpha=drift.alpha,
        trained=champion.trained,
        band=drift.auc_band,
    )


def _remember(database: Database, case: Case, known: int, worse: bool, now: datetime) -> None:
    with database.write() as connection:
        remember_look(connection, case, known)
        document = {"known": known, "worse": worse}
        audit.record(connection, at=now, by="riskloop", action="renewal", subject=f"case {case.id}", document=document)
