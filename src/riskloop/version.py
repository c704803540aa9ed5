"""The version of riskloop. The changelog's newest number equals it."""

__version__ = "0.2.0"
