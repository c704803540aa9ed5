"""Everything that riskloop refuses, in one tree.

    RiskloopError                       500  exit 1    something that is our fault
    ├── ConfigError                     500  exit 2    riskloop.toml or a command's options
    ├── DataError                       422  exit 3    a file, a frame or a request breaks the schema
    │   ├── MalformedBody               400  exit 3    not JSON / CSV / Parquet at all
    │   ├── BodyTooLarge                413  exit 3    more than the server takes in one request
    │   └── UnsupportedMedia            415  exit 3    a content type that is not served
    ├── TooSlow                         408  exit 3    the client did not send its request in time
    ├── NotFound                        404  exit 4    no such decision, model, case, file
    │   └── WrongMethod                 405  exit 4    the address is right, GET or POST is not
    ├── Conflict                        409  exit 5    somebody else was first
    │   ├── PromotionConflict           409  exit 5    the champion changed meanwhile
    │   └── Locked                      409  exit 5    another worker runs the cycle
    ├── ArtefactError                   500  exit 6    a model directory is corrupt, unsafe or disagrees
    ├── NotReady                        503  exit 7    no champion yet, or starting
    │   └── Overloaded                  503  exit 7    the queue is full; the answer says when to come back
    ├── StorageError                    503  exit 8    database or disk cannot be read or written
    ├── Unreachable                     502  exit 9    the API, or a webhook, does not answer
    ├── Refused                         422  exit 10   asked for, understood, and not allowed
    │   └── GateRefused                 422  exit 10   the floor or the gate says no
    └── Unauthorised                    401  exit 11   no key, or an unknown one
        ├── Forbidden                   403  exit 11   the key's role does not allow it
        └── TooManyTries                429  exit 11   too many failed logins; the answer says when to come back

Exit code 12 (`PARTLY`) is no error: the work is done, but for rows that were set aside with their reason. Nor is
13 (`UNSOUND`): the record was verified, and is not what was committed; nor 14 (`UNWELL`): `riskloop doctor` found
something that does not work.

A class carries its HTTP status and its exit code; the web layer and the command line only map.
A message says what is wrong, where, and what to do, in one sentence or two.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:  # types brings NumPy, and `riskloop --help` must answer at once
    from riskloop.core.types import Problem


UNWELL: Final = 14  # exit code of a portfolio with something that does not work
UNSOUND: Final = 13  # exit code of a record that was changed
PARTLY: Final = 12  # exit code of work that is done but for rows that were set aside


class RiskloopError(Exception):
    """Root of the tree. ``details`` lists the single problems when there are several."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, details: "Sequence[Problem]" = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)

    def as_json(self) -> dict[str, Any]:
        """The one shape of every refusal, on the wire and under ``--json``."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "details": [{"field": p.field, "problem": p.problem, "value": p.value} for p in self.details],
            }
        }


class ConfigError(RiskloopError):
    """The configuration or an option is missing, unknown or out of range."""

    code, status, exit_code = "bad_config", 500, 2


class DataError(RiskloopError):
    """Rows break the schema: a missing, unknown or out-of-range field."""

    code, status, exit_code = "bad_data", 422, 3


class MalformedBody(DataError):
    """The bytes are not what their name or content type says."""

    code, status = "malformed", 400


class BodyTooLarge(DataError):
    """The body exceeds the configured limit."""

    code, status = "too_large", 413


class UnsupportedMedia(DataError):
    """The content type is not one that this endpoint reads."""

    code, status = "unsupported_media", 415


class TooSlow(RiskloopError):
    """The request did not arrive in time."""

    code, status, exit_code = "too_slow", 408, 3


class NotFound(RiskloopError):
    """The named decision, model, case or file does not exist."""

    code, status, exit_code = "not_found", 404, 4


class WrongMethod(NotFound):
    """The address exists, for another HTTP method."""

    code, status = "wrong_method", 405


class Conflict(RiskloopError):
    """Somebody else changed the same thing first; look, then try again."""

    code, status, exit_code = "conflict", 409, 5


class PromotionConflict(Conflict):
    """The champion changed between the evidence and the promotion."""

    code = "promotion_conflict"


class Locked(Conflict):
    """Another process holds the lease."""

    code = "locked"


class ArtefactError(RiskloopError):
    """A model directory is incomplete, altered, unsafe, or disagrees with its estimator."""

    code, status, exit_code = "bad_artefact", 500, 6


class NotReady(RiskloopError):
    """There is no champion to score with."""

    code, status, exit_code = "not_ready", 503, 7


class Overloaded(NotReady):
    """The queue of waiting requests is full."""

    code = "overloaded"


class StorageError(RiskloopError):
    """The database or the disk cannot be read or written now."""

    code, status, exit_code = "storage", 503, 8


class Unreachable(RiskloopError):
    """A server that should answer does not."""

    code, status, exit_code = "unreachable", 502, 9


class Refused(RiskloopError):
    """Understood, and not allowed."""

    code, status, exit_code = "refused", 422, 10


class GateRefused(Refused):
    """The training floor or the promotion gate said no."""

    code = "gate_refused"


class Unauthorised(RiskloopError):
    """The request carries no valid key."""

    code, status, exit_code = "unauthorised", 401, 11


class Forbidden(Unauthorised):
    """The key's role does not allow this."""

    code, status = "forbidden", 403


class TooManyTries(Unauthorised):
    """Logins failed too often; ``seconds`` have to pass before the next one."""

    code, status = "too_many_tries", 429

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"Too many logins failed. Wait {seconds} second{'' if seconds == 1 else 's'}, then try again. "
            "This try was not made."
        )
        self.seconds = seconds
