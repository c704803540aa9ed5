"""The mirror in MLflow, after each cycle: in a thread of its own, so that a slow or lost server makes nothing wait."""

import logging
import threading

from riskloop.core.errors import Locked, RiskloopError
from riskloop.core.settings import Settings
from riskloop.export.mlflow import registered_name, sync
from riskloop.store.artefacts import Artefacts
from riskloop.store.cycles import MLFLOW, failed, finished, loop_state
from riskloop.store.leases import held
from riskloop.store.ledger import Ledger

log = logging.getLogger("riskloop.mlflow")


def mirror(ledger: Ledger, artefacts: Artefacts, settings: Settings) -> threading.Thread | None:
    """Bring MLflow up to the ledger; the thread that does it, or None where `mlflow.mirror` is not set.

    A process that ends waits for it, at most as long as the server's time-outs.
    """
    if settings.mlflow.mirror is None:
        return None
    thread = threading.Thread(target=mirror_now, args=(ledger, artefacts, settings), name="riskloop-mlflow")
    thread.start()
    return thread


def mirror_now(ledger: Ledger, artefacts: Artefacts, settings: Settings) -> bool:
    """Bring MLflow up to the ledger; whether it is. How it ended is on record, and tried again after the next cycle."""
    database, to = ledger.database, settings.mlflow
    name = to.name or registered_name(settings.portfolio.name)
    try:
        with held(database, MLFLOW):
            done = sync(ledger, artefacts, to.mirror or "", name, to.timeout)
    except Locked:
        return False  # another process is at it
    except Exception as error:  # noqa: BLE001 - whatever a client library raises must not end the worker
        problem = error.message if isinstance(error, RiskloopError) else f"{type(error).__name__}: {error}"
        if loop_state(database, MLFLOW).problem != problem:  # said once, not after every cycle
            log.warning("The mirror waits: %s", problem, extra={"action": "mirror_failed"})
        failed(database, problem, MLFLOW)
        return False
    finished(database, MLFLOW)
    if done.added or done.moved:
        log.info("MLflow has %d versions; the champion is %s", len(done.versions), done.champion)
    return True
