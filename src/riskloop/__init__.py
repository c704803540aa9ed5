"""riskloop: a probability-of-default model run as a closed loop.

``from riskloop import Portfolio`` is the whole public API; it is loaded when it is first asked for, so that
``riskloop --help`` does not pay for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from riskloop.portfolio import Portfolio

__version__ = "0.2.0"
__all__ = ["Portfolio", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Portfolio":
        from riskloop.portfolio import Portfolio

        return Portfolio
    raise AttributeError(f"module 'riskloop' has no attribute '{name}'")
