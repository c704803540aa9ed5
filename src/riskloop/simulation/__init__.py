"""Ways the world changes, with the truth known: streams of production months for tests, backtests and the demo.

A scenario changes the embedded portfolio by its `World`, and any labelled frame by choosing which of its rows come
in: no row and no label is invented (save labels that scenario ``label_noise`` hands to the wrong customers).
"""

from riskloop.simulation.catalogue import SCENARIOS, Scenario, scenario_named
from riskloop.simulation.source import CustomerSource, Embedded, FrameSource, Roles
from riskloop.simulation.stream import Month, stream, true_auc

__all__ = [
    "SCENARIOS",
    "CustomerSource",
    "Embedded",
    "FrameSource",
    "Month",
    "Roles",
    "Scenario",
    "scenario_named",
    "stream",
    "true_auc",
]
