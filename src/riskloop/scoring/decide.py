"""Checked rows and a model become decisions: the step that everything else here serves, written once.

The API, batches, notebooks, back-tests and replays all call :func:`decide`, so that the same customer gets the same
probability, decision and flags whichever way they come in.
"""

import json
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from riskloop.core.exploration import Flags, explore, rate_of
from riskloop.core.types import Decision, Decisions, Ints, Reason, Rows, to_micros
from riskloop.scoring.model import Model

Explain = Literal["none", "default", "all"]  # which decisions get reasons: none, the declined, all

ROUNDED: Final = 4  # units in the last place


def decide(model: Model, rows: Rows, now: int, exploration: float = 0.0) -> Decisions:
    """What ``model`` decides on ``rows`` at ``now`` (microseconds), which is also the time of rows that have none.

    ``exploration`` is the probability with which a declined customer is approved at random (`exploration.rate`).
    """
    features = np.ascontiguousarray(rows.features)
    probabilities = model.probabilities(features)
    defaults, flags = probabilities >= model.threshold, _flags(model, rows)
    if exploration:
        defaults, flags = explore(defaults, rows.ids, features, model.version, exploration, flags)
    return Decisions(
        customer_ids=rows.ids,
        times=[time or now for time in rows.times.tolist()],
        scored_at=now,
        model_version=model.version,
        probabilities=probabilities,
        defaults=defaults,
        features=features,
        flags=[json.dumps(flag) if flag else None for flag in flags] if any(flags) else None,
    )


def decide_again(model: Model, decision: Decision) -> tuple[float, bool]:
    """A logged decision made again: its probability, and whether probability, decision and exploration are the same.

    Processors round e^x differently in the last bit, so that a probability of another machine may be some bits apart.
    """
    rate = rate_of(decision.flags)
    rows = Rows(
        features=decision.features.reshape(1, -1),
        ids=[decision.customer_id],
        times=np.array([to_micros(decision.time)]),
        unseen={0: decision.flags.get("unseen", {})},
    )
    again = decide(model, rows, to_micros(decision.scored_at), rate)
    probability, default = float(again.probabilities[0]), bool(again.defaults[0])
    explored = rate_of(json.loads((again.flags or [None])[0] or "{}"))
    same = abs(probability - decision.probability) <= ROUNDED * float(np.spacing(decision.probability))
    return probability, same and (default, explored) == (decision.default, rate)


def _flags(model: Model, rows: Rows) -> list[Flags | None]:
    """What is missing in each row, and the text of levels that were never seen; None where there is neither."""
    flags: list[Flags | None] = [None] * len(rows)
    odd = ~(rows.features < model.schema.limits)  # missing values are below no limit
    if not odd.any():
        return flags
    for row, column in zip(*(found.tolist() for found in np.nonzero(odd)), strict=True):
        flag = flags[row] = flags[row] or {}
        feature, value = model.schema.features[column], rows.features[row, column]
        if np.isnan(value):
            flag.setdefault("missing", []).append(feature.name)
        else:
            text = rows.unseen.get(row, {}).get(feature.name) or feature.text(value)
            flag.setdefault("unseen", {})[feature.name] = text
    return flags


def reasons(
    model: Model, decisions: Decisions, wanted: Explain | Sequence[Explain], most: int
) -> dict[int, list[Reason]]:
    """The ``most`` strongest contributions to each decision that ``wanted`` (one word for all, or one each) names."""
    chosen = _chosen(decisions, wanted) if most else np.empty(0, dtype=np.int64)
    if chosen.size == 0:
        return {}
    rows = decisions.features[chosen]
    return {
        row: model.reasons(features, parts, most)
        for row, features, parts in zip(chosen.tolist(), rows, model.contributions(rows), strict=True)
    }


def _chosen(decisions: Decisions, wanted: Explain | Sequence[Explain]) -> Ints:
    if wanted == "none":
        return np.empty(0, dtype=np.int64)
    if wanted == "all":
        return np.arange(len(decisions))
    if wanted == "default" or all(word == "default" for word in wanted):
        return np.flatnonzero(decisions.defaults)
    each = zip(wanted, decisions.defaults.tolist(), strict=True)
    return np.flatnonzero([word == "all" or (word == "default" and default) for word, default in each])
