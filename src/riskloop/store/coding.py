"""Decisions of several versions in the coding of one schema: features come, go, and get levels over the years."""

from collections.abc import Callable
from typing import Final

from riskloop.core.schema import Schema
from riskloop.core.types import Floats

SchemaOf = Callable[[int], Schema]  # of a version


class Coding:
    """Reads what any version coded as ``schema`` would have coded it."""

    def __init__(self, schema: Schema, schema_of: SchemaOf) -> None:
        self.schema: Final = schema
        self._schema_of = schema_of
        self._knows: dict[int, bool] = {}

    def knows(self, version: int) -> bool:
        """Whether a version's rows tell every input of the schema's model."""
        if version not in self._knows:
            self._knows[version] = not self.schema.lacking(self._schema_of(version))
        return self._knows[version]

    def alike(self, version: int) -> bool:
        """Whether a version's rows can stay as they are."""
        return self.schema.alike(self._schema_of(version))

    def rows(self, version: int, features: Floats) -> Floats:
        """A version's rows (n, …) as (n, len(schema)); NaN for features that it does not know."""
        return self.schema.recoded(features, self._schema_of(version))
