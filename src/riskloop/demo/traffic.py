"""Customers who keep coming while models change: one request after the other, every answer counted."""

from collections import Counter
from collections.abc import Sequence
from threading import Condition, Thread
from typing import Any, Final

import requests

GENTLE: Final = 20.0  # seconds, shared by the customers who still queue: fewer left, longer pauses, never nobody
TIMEOUT: Final = 30.0


class Traffic(Thread):
    """Sends queued customers to /predict: gently by default, at full speed when somebody waits for the end.

    Gently means that a queue of any length lasts through a long retraining, so that a promotion meets traffic.
    """

    def __init__(self, url: str) -> None:
        super().__init__(name="demo-traffic", daemon=True)
        self.url = url
        self.sent = 0
        self.failures: list[str] = []
        self.versions: Counter[int] = Counter()
        self._queue: list[dict[str, Any]] = []
        self._hurry = False
        self._ended = False
        self._busy = False
        self._changed = Condition()

    def feed(self, customers: Sequence[dict[str, Any]]) -> None:
        """Let these customers come next."""
        with self._changed:
            self._queue.extend(customers)
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until every queued customer has an answer."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._queue and not self._busy)
            self._hurry = False

    def stop(self) -> None:
        """End after the request that is under way."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self.join()

    def run(self) -> None:
        """Send until told to stop."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the machine has no business with the loopback
            while (customer := self._next()) is not None:
                self._send(session, customer)
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._hurry or self._ended, timeout=self._pause())

    def _pause(self) -> float:
        return 0.0 if self._hurry else GENTLE / (len(self._queue) + 1)

    def _next(self) -> dict[str, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            if self._ended:
                return None
            self._busy = True
            return self._queue.pop(0)

    def _send(self, session: requests.Session, customer: dict[str, Any]) -> None:
        self.sent += 1
        try:
            answer = session.post(f"{self.url}/predict", json=customer, timeout=TIMEOUT)
            if answer.status_code == 200:
                self.versions[int(answer.json()["model_version"])] += 1
            else:
                self.failures.append(f"{answer.status_code}: {answer.text[:200]}")
        except (requests.RequestException, ValueError, KeyError) as error:
            self.failures.append(str(error))
