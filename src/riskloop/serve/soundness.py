"""Whether the log can be trusted. A log that loses or garbles what is written must not be answered from."""

import logging
import time
from typing import Final

from riskloop.core.errors import RiskloopError, StorageError
from riskloop.serve.metrics import ServingMetrics
from riskloop.store.database import Database

log = logging.getLogger("riskloop.serve")

DAILY: Final = 86_400.0  # seconds between two checks of every page
AGAIN: Final = 60.0  # seconds until every page is checked again after damage that stays; sooner while it is new
BUSY: Final = 5.0  # … when it could not be checked, and at first after damage


class Soundness:
    """Looks at the database's files each second, and at every page at the start, daily, and after each trouble."""

    def __init__(self, database: Database, metrics: ServingMetrics) -> None:
        self._database = database
        self._metrics = metrics
        self._next = 0.0  # when every page is checked, by the monotonic clock
        self._wait = BUSY  # seconds until the check after the next damage
        self.problem: str | None = None  # why nothing is answered

    def require(self) -> None:
        """Raise StorageError while the log cannot be trusted."""
        if self.problem is not None:
            raise StorageError(self.problem)

    def look(self) -> None:
        """Look once. Blocks; never raises."""
        try:
            problem = self._database.trouble()
            if problem is not None:
                self._next = 0.0  # before it is trusted again, every page is looked at
            elif time.monotonic() < self._next:
                return
            else:
                problem = self._database.examine()
                self._next = time.monotonic() + (DAILY if problem is None else self._wait)
                self._wait = BUSY if problem is None else min(2 * self._wait, AGAIN)
        except RiskloopError as error:
            log.warning("%s", error.message, extra={"action": "log_unchecked"})
            self._next = time.monotonic() + BUSY
            return
        except Exception as error:
            log.error("The log could not be checked: %r", error, exc_info=error, extra={"action": "internal_error"})
            self._next = time.monotonic() + BUSY
            return
        self._say(problem)

    def _say(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            self._metrics.log_distrusted += 1
        if problem is not None and problem != self.problem:
            log.critical("%s", problem, extra={"action": "log_distrusted"})
        if problem is None and self.problem is not None:
            log.info("The log is sound again; requests are answered", extra={"action": "log_trusted"})
        self.problem = problem
        self._metrics.log_trusted = problem is None
