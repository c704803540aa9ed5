"""A plain scorecard beside every other model: what does the complexity buy?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from riskloop.core.errors import DataError, RiskloopError
from riskloop.core.manifest import Benchmark
from riskloop.core.stats import paired_delong, upper_quantile
from riskloop.core.types import Floats, Ints
from riskloop.train.fitted import Sample
from riskloop.train.learners import LEARNERS, Learner
from riskloop.train.validate import Part, Progress, Validated, fold_of, validate

CARD: Final[Learner] = replace(LEARNERS["scorecard"], name="plain scorecard")  # nobody's own [learners.scorecard]


def is_card(entry: Learner) -> bool:
    """Is it the built-in scorecard?"""
    return entry.make is CARD.make


def benchmark_of(
    best: Validated,
    validated: Sequence[Validated],
    sample: Sample,
    parts: Sequence[Part],
    workers: int,
    report: Progress,
) -> tuple[Benchmark | None, dict[str, str]]:
    """The best learner against a scorecard on the same folds; a scorecard that competed is not fitted again.

    None where the best is that scorecard. The second value says by name why the scorecard could not be fitted.
    """
    found = next((v for v in validated if is_card(v.learner)), None)
    if found is best:
        return None, {}
    if found is None:
        try:
            (found,), _ = validate([[CARD] * len(parts)], sample, parts, workers, report)
        except RiskloopError as error:
            return None, {CARD.name: f"There is no {CARD.name} beside the model. {error.message}"}
    folds = fold_of(len(sample.y), [test for _, test in parts])
    tested = np.flatnonzero(folds >= 0)
    customers = None if sample.customers is None else sample.customers[tested]
    outcomes = sample.y[tested].astype(np.float64)
    return compared(outcomes, found.raw[tested], best.raw[tested], folds[tested], customers), {}


def compared(
    outcomes: Floats, card: Floats, model: Floats, blocks: Ints | None, customers: Ints | None
) -> Benchmark | None:
    """A model's scores against a scorecard's on the same rows, all (n,); ``blocks`` are the fits that gave them.

    By a paired DeLong test, within blocks and by customer as in the gate. None where no block holds two of each class.
    """
    try:
        test = paired_delong(outcomes, card, model, blocks, customers)
    except DataError:
        return None
    reach = upper_quantile(0.025) * test.std_error
    return Benchmark(
        auc=test.auc_champion,
        model_auc=test.auc_challenger,
        gain=test.difference,
        low=test.difference - reach,
        high=test.difference + reach,
        rows=int(outcomes.size),
    )
