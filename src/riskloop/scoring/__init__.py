"""The one way from rows and a model to decisions; everything that scores customers calls it.

Light on purpose: it needs NumPy and msgspec, so that a bulk engine's workers can import it without the rest.
Arrow is imported where a table is read or written, LightGBM's library is called without its Python package.
"""

from riskloop.scoring.answers import Answer, Answers, described
from riskloop.scoring.decide import Explain, decide, decide_again, reasons
from riskloop.scoring.model import Model, RiskLevel, load_model

__all__ = [
    "Answer",
    "Answers",
    "Explain",
    "Model",
    "RiskLevel",
    "decide",
    "decide_again",
    "described",
    "load_model",
    "reasons",
]
