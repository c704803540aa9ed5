"""riskloop: a probability-of-default model run as a closed loop.

``from riskloop import Portfolio`` opens one; what its methods return and raise is here, too. All of it is loaded when
it is first asked for, so that ``riskloop --help`` does not pay for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from riskloop.version import __version__

if TYPE_CHECKING:
    from riskloop.core.errors import (
        ArtefactError,
        BodyTooLarge,
        ConfigError,
        Conflict,
        DataError,
        Forbidden,
        GateRefused,
        Locked,
        MalformedBody,
        NotFound,
        NotReady,
        Overloaded,
        PromotionConflict,
        Refused,
        RiskloopError,
        StorageError,
        TooManyTries,
        TooSlow,
        Unauthorised,
        Unreachable,
        UnsupportedMedia,
        WrongMethod,
    )
    from riskloop.portfolio import Portfolio
    from riskloop.record import ErasureResult, RetentionResult, VerifyResult
    from riskloop.results import (
        BacktestResult,
        CaseResult,
        ChallengerFileResult,
        ChampionResult,
        CheckResult,
        ComparisonResult,
        CycleResult,
        DoctorResult,
        DocumentResult,
        DriftResult,
        ModelResult,
        OutcomesResult,
        PromotionResult,
        RebuildResult,
        ReplayResult,
        RescoreResult,
        Result,
        SideBySideResult,
        StatusResult,
        TableResult,
        TrainingResult,
    )

__all__ = [
    "ArtefactError",
    "BacktestResult",
    "BodyTooLarge",
    "CaseResult",
    "ChallengerFileResult",
    "ChampionResult",
    "CheckResult",
    "ComparisonResult",
    "ConfigError",
    "Conflict",
    "CycleResult",
    "DataError",
    "DoctorResult",
    "DocumentResult",
    "DriftResult",
    "ErasureResult",
    "Forbidden",
    "GateRefused",
    "Locked",
    "MalformedBody",
    "ModelResult",
    "NotFound",
    "NotReady",
    "OutcomesResult",
    "Overloaded",
    "Portfolio",
    "PromotionConflict",
    "PromotionResult",
    "RebuildResult",
    "Refused",
    "ReplayResult",
    "RescoreResult",
    "Result",
    "RetentionResult",
    "RiskloopError",
    "SideBySideResult",
    "StatusResult",
    "StorageError",
    "TableResult",
    "TooManyTries",
    "TooSlow",
    "TrainingResult",
    "Unauthorised",
    "Unreachable",
    "UnsupportedMedia",
    "VerifyResult",
    "WrongMethod",
    "__version__",
]


_PLACES = {"Portfolio": "portfolio"} | dict.fromkeys(("ErasureResult", "RetentionResult", "VerifyResult"), "record")


def __getattr__(name: str) -> Any:
    if name in __all__:
        place = _PLACES.get(name, "results" if name.endswith("Result") else "core.errors")
        return getattr(import_module(f"riskloop.{place}"), name)
    raise AttributeError(f"module 'riskloop' has no attribute '{name}'")
