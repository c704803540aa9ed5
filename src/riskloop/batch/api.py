"""The client's side of `/predict/batch`: one chunk out, its answers back, whatever happens in between."""

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from riskloop.core.errors import ConfigError, RiskloopError, StorageError, Unreachable
from riskloop.core.schema import Schema
from riskloop.core.types import Problem

if TYPE_CHECKING:
    import pyarrow as pa

Say = Callable[[str], None]  # takes a sentence for people

ARROW: Final = "application/vnd.apache.arrow.stream"
PATIENCE: Final = 60.0  # seconds of trouble with one chunk before giving up
TIMEOUT: Final = (5.0, 120.0)  # to connect, and between two bytes
BUSY: Final = (429, 502, 503, 504)  # come back later


class Api:
    """Sends chunks; safe to use from several threads, each of which keeps its own connection."""

    def __init__(self, url: str, key: str | None = None, patience: float = PATIENCE, say: Say | None = None) -> None:
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigError("The API key holds characters that no key has; copy it as it was shown.")
        self.url = url
        self.patience = patience
        self.may_have_logged = False  # whether the server may have logged rows of any chunk, answered or not
        self._key = key
        self._say = say
        self._waiting = False  # whether it was said that there is trouble
        self._local = threading.local()
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def score(self, body: bytes, media_type: str, idempotency_key: str, first_row: int) -> "pa.Table":
        """The answers to a chunk, in its order. Sent again until it is answered, it is still logged once.

        Raises Unreachable or StorageError when the trouble lasts, and whatever the server refuses with.
        """
        import pyarrow as pa

        headers = {"Content-Type": media_type, "Accept": ARROW, "Idempotency-Key": idempotency_key}
        until, pause = time.monotonic() + self.patience, 0.1
        while True:
            trouble: RiskloopError
            try:
                answer = self._session().post(
                    f"{self.url}/predict/batch",
                    params={"first_row": first_row},
                    data=body,
                    headers=headers,
                    timeout=TIMEOUT,
                )
                refusal = None if answer.ok else _refusal(answer)
                self.may_have_logged |= _may_have_logged(answer, refusal)
                if answer.ok:
                    self._goes_on()
                    return pa.ipc.open_stream(answer.content).read_all()
                trouble = refusal or _foreign(answer, self.url)
                if answer.status_code not in BUSY:
                    raise trouble
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                self.may_have_logged |= not _never_sent(error)
                trouble = Unreachable(
                    f"The API at {self.url} does not answer ({_reason(error)}). Start it with `riskloop serve`, "
                    "give its address with --url, or score without a server: --engine local. The same command goes on "
                    "where this one stopped."
                )
            except requests.RequestException as error:
                raise Unreachable(f"'{self.url}' cannot be used as the API's address: {error}.") from None
            pause_now = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, no secret
            if time.monotonic() + pause > until or self._stopped.wait(pause_now):
                raise trouble
            self._waits(trouble, until)
            pause = min(2 * pause, 2.0)

    def _waits(self, trouble: RiskloopError, until: float) -> None:
        """Say once why nothing goes on, and for how long it is tried."""
        with self._lock:
            if self._say is not None and not self._waiting:
                self._waiting = True
                left = max(1, round(until - time.monotonic()))
                self._say(
                    f"{trouble.message.split('. ')[0].rstrip('.')}. Trying again for {left} seconds. "
                    "(--engine local needs no server.)"
                )

    def _goes_on(self) -> None:
        with self._lock:
            if self._say is not None and self._waiting:
                self._waiting = False
                self._say("It answers again.")

    def schema(self) -> Schema | None:
        """The champion's, by which rows are looked at before they are sent; None when the key may not see it."""
        try:
            answer = self._session().get(f"{self.url}/model", timeout=TIMEOUT)
            return msgspec.convert(answer.json()["schema"], Schema) if answer.ok else None
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return None  # what is wrong will be said when rows are sent

    def stop(self) -> None:
        """No more retries."""
        self._stopped.set()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # no proxy from the environment between a lender and its own server
            if self._key is not None:
                session.headers["X-API-Key"] = self._key
        return session


def _refusal(answer: requests.Response) -> RiskloopError | None:
    """The server's error as the exception that it was there; None when these are not riskloop's words."""
    try:
        error = answer.json()["error"]
        details = [Problem(d["field"], d["problem"], d["value"]) for d in error["details"]]
        kind = _kinds().get(error["code"], RiskloopError)
        return kind(str(error["message"]), details)
    except (ValueError, KeyError, TypeError):
        return None


def _foreign(answer: requests.Response, url: str) -> RiskloopError:
    if answer.status_code in BUSY:
        return StorageError(f"{url} answered {answer.status_code} {answer.reason}; try again later.")
    return Unreachable(f"What answers at {url} is not riskloop (status {answer.status_code}); check the address.")


def _may_have_logged(answer: requests.Response, refusal: RiskloopError | None) -> bool:
    """A refusal of riskloop's own means that nothing was; a proxy in between does not know."""
    return answer.ok or (answer.status_code >= 500 and (refusal is None or refusal.status == RiskloopError.status))


def _never_sent(error: Exception) -> bool:
    """Whether no connection was made: the address is wrong, or nobody listens."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _kinds() -> dict[str, type[RiskloopError]]:
    found, todo = {}, [RiskloopError]
    while todo:
        kind = todo.pop()
        found[kind.code] = kind
        todo += kind.__subclasses__()
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "it took too long"
    return "the connection was refused or broke"
