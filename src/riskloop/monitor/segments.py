"""Segments: the groups of customers on which the champion's performance is also looked at one by one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from riskloop.core import stats
from riskloop.core.schema import Schema
from riskloop.core.types import Floats

MOST_LEVELS: Final = 20

Members = npt.NDArray[np.object_]


def segments_of(
    schema: Schema, reference: Floats, features: Floats, columns: Sequence[str] | None = None
) -> Mapping[str, Members]:
    """The segment of every row of ``features`` (n, k) by each column: levels as they are, numbers in quarters.

    Quarters are the reference's (m, k), so that a segment means the same in every window. Without ``columns`` the
    protected and the categorical ones are taken. A column without values in the reference gives no segments.
    """
    chosen = columns or [
        f.name for f in schema.features if f.protected or (f.kind == "category" and len(f.categories) <= MOST_LEVELS)
    ]
    found: dict[str, Any] = {}
    for name in chosen:
        j = schema.names.index(name)
        feature, values = schema.features[j], features[:, j]
        if feature.kind == "category":
            found[name] = _levels(feature.categories, values)
            continue
        names, places = stats.quarters(values, reference[:, j])
        if names:
            found[name] = np.asarray([*names, "missing"], dtype=object)[places]  # the last one is at −1
    return found


def _levels(levels: Sequence[str], values: Floats) -> Members:
    named = np.asarray([*levels, "missing"], dtype=object)
    known = np.isin(values, np.arange(len(levels)))
    members: Members = named[np.where(known, values, len(levels)).astype(np.int64)]
    return members
