"""Events of OpenLineage after each cycle: in a thread of its own, so that a slow or lost server makes nothing wait."""

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from riskloop.core.english import counted
from riskloop.core.errors import DataError, Locked, RiskloopError
from riskloop.core.settings import Settings
from riskloop.export.lineage import due_events, send
from riskloop.store.artefacts import Artefacts
from riskloop.store.cycles import LINEAGE, failed, finished, loop_state
from riskloop.store.leases import held
from riskloop.store.ledger import Ledger
from riskloop.store.notices import keep_sent, sent_to
from riskloop.store.windows import Windows

log = logging.getLogger("riskloop.lineage")
log.addHandler(logging.NullHandler())

CHANNEL: Final = LINEAGE  # of the notices that keep what was sent


def tell_lineage(
    ledger: Ledger, artefacts: Artefacts, windows: Windows, settings: Settings, folder: Path
) -> threading.Thread | None:
    """Send what happened and was not sent; the thread that does it, or None where `lineage.to` is not set.

    A process that ends waits for it, at most as long as one request may take.
    """
    if settings.lineage.to is None:
        return None
    arguments = (ledger, artefacts, windows, settings, folder)
    thread = threading.Thread(target=tell_lineage_now, args=arguments, name="riskloop-lineage")
    thread.start()
    return thread


def tell_lineage_now(ledger: Ledger, artefacts: Artefacts, windows: Windows, settings: Settings, folder: Path) -> bool:
    """Send what was not sent; whether all of it is. What was not delivered is tried again after the next cycle.

    At the first event that cannot be delivered it ends, unless the server speaks of that one event only.
    """
    database, to = ledger.database, settings.lineage
    refused: list[str] = []
    try:
        with held(database, LINEAGE) as lease:
            for event in due_events(ledger, artefacts, windows, settings, sent_to(database, CHANNEL)):
                lease.renew()
                try:
                    send(event.document, to.to or "", folder, to.timeout)
                except DataError as error:
                    refused.append(f"{event.subject}: {error.message}")
                    continue
                with database.write() as connection:
                    keep_sent(connection, event.subject, CHANNEL, datetime.now(UTC))
    except Locked:
        return False  # another process is at it
    except Exception as error:  # noqa: BLE001 - a thread's failure has to be said where people look
        _wait(ledger, error.message if isinstance(error, RiskloopError) else f"{type(error).__name__}: {error}")
        return False
    if refused:
        _wait(ledger, f"{counted(len(refused), 'event')} refused. {refused[0]}")
        return False
    finished(database, LINEAGE)
    return True


def _wait(ledger: Ledger, problem: str) -> None:
    if loop_state(ledger.database, LINEAGE).problem != problem:  # said once, not after every cycle
        log.warning("Lineage events wait: %s", problem, extra={"action": "lineage_failed"})
    failed(ledger.database, problem, LINEAGE)
