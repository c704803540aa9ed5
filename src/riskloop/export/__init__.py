"""A model version for other tools: a scorecard as a table or as SQL, any built-in model as one Python file."""

from riskloop.core.scaling import Scaling
from riskloop.export.card import CardRow, scorecard_rows, write_scorecard
from riskloop.export.plain import PlainModel, plain_model
from riskloop.export.rows import json_schema_text, pandera_text
from riskloop.export.script import python_text
from riskloop.export.sql import DIALECTS, sql_text

__all__ = [
    "DIALECTS",
    "CardRow",
    "PlainModel",
    "Scaling",
    "json_schema_text",
    "pandera_text",
    "plain_model",
    "python_text",
    "scorecard_rows",
    "sql_text",
    "write_scorecard",
]
