"""What bulk engines ask of the loop: who decides now, and what profiles the decisions for monitoring."""

from riskloop.batch.local import Champion
from riskloop.core.types import Promotion
from riskloop.loop.champion import ReferenceModel


def deciding(promotion: Promotion, loaded: ReferenceModel) -> Champion:
    """The champion as an engine takes it."""
    return Champion(promotion, loaded.model, loaded.reference.profiler)
