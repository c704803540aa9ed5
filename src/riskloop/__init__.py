"""riskloop: a probability-of-default model run as a closed loop."""

__version__ = "0.1.0"
