"""The fits behind one challenger: weighting and learner are chosen by validation, never on rows that the gate tests."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.stats import auc, density_ratio_weights
from riskloop.core.types import Floats, Ints
from riskloop.loop.champion import Served
from riskloop.retrain.challenger import ChallengerPlan
from riskloop.retrain.dataset import Pool, TrainingSet, Weighting, choose, thinned, training_set
from riskloop.retrain.plan import Plan, Split, latest_block
from riskloop.store.home import Home
from riskloop.train.calibrate import Calibration, fit_calibration
from riskloop.train.candidate import Candidate
from riskloop.train.fit import fit, fit_once, recalibrate

VALIDATED: Final = 0.3  # share of the new world's rows, the latest, that choices are validated on
MOST: Final = 20_000  # rows of one validation fit: ways to weight differ by more than such fits err


@dataclass(frozen=True)
class Choice:
    """One way to fit, and what it was chosen by."""

    learner: str
    weighting: Weighting
    calibration: Calibration  # of this learner's raw scores, from the validation block
    tried: Mapping[str, float]  # AUC on the validation block by learner and weighting


@dataclass(frozen=True)
class Made:
    """The fit that may be promoted, and scores of the tested rows that it, or its likes, had not seen."""

    candidate: Candidate
    trained_on: TrainingSet
    choice: Choice
    scores: Floats  # (tested rows,) calibrated, in the plan's order


class Trainer:
    """Fits for one case on one pool of matured rows."""

    def __init__(self, home: Home, served: Served, rows: Pool, recipe: ChallengerPlan, since: int | None) -> None:
        self.home = home
        self.served = served
        self.rows = rows
        self.recipe = recipe
        self.since = since

    def make(self, plan: Plan) -> Made:
        """Follow the plan: one held-out block, or every block by fits without it and a final fit on everything.

        Out of fold, each block's weighting and learner are chosen without it too: choosing on all rows and testing
        on the same would favour the challenger.
        """
        if plan.final is None:
            choice = self.choose(plan.splits[0].train)
            candidate, used = self._candidate(plan.splits[0].train, choice)
            return Made(candidate, used, choice, candidate.predict(self.rows.rows.features[plan.tested]))
        scores = np.concatenate([self._scores(split, self.choose(split.train)) for split in plan.splits])
        choice = self.choose(plan.final)
        candidate, used = self._candidate(plan.final, choice)
        return Made(candidate, used, choice, scores)

    # ------------------------------------------------------------------- choosing

    def choose(self, index: Ints) -> Choice:
        """The best weighting for the first learner, then the best learner, on the latest block of ``index``."""
        learners = self.recipe.learners or (str(self.served.manifest["learner"]),)
        plain = Choice(learners[0], self.recipe.weightings[0], Calibration(), {})
        block = self._validation(index)
        if self.recipe.kind == "recalibrate" or block is None:
            return plain
        weighted = self._tried(block, [(learners[0], weighting) for weighting in self.recipe.weightings])
        if not weighted:
            return plain
        weighting = choose([(pair[1], score) for pair, (score, _) in weighted.items()])
        competing = weighted | self._tried(block, [(name, weighting) for name in learners[1:]])
        best = max((pair for pair in competing if pair[1] == weighting), key=lambda pair: competing[pair][0])
        calibration = fit_calibration(competing[best][1], self.rows.labels[block.test])
        tried = {f"{name}, {way.name}": score for (name, way), (score, _) in competing.items()}
        return Choice(best[0], weighting, calibration, tried)

    def _validation(self, index: Ints) -> Split | None:
        """The latest part of the new world's rows in ``index``; None when it cannot tell anything."""
        recent = index if self.since is None else index[self.rows.rows.times[index] >= self.since]
        if recent.size < 2:
            return None
        block = latest_block(self.rows, index, recent, VALIDATED, self.home.settings.portfolio.outcome_window)
        labels = self.rows.labels[block.test]
        return block if min(labels.sum(), labels.size - labels.sum()) >= 10 else None

    def _tried(
        self, block: Split, ways: Sequence[tuple[str, Weighting]]
    ) -> dict[tuple[str, Weighting], tuple[float, Floats]]:
        """AUC and raw scores on the block, by learner and weighting; fits run side by side, one thread each."""
        settings = self.home.settings
        index, each = thinned(self.rows, block.train, MOST, since=self.since, seed=settings.train.seed)
        labels, features = self.rows.labels[block.test], self.rows.rows.features[block.test]

        def attempt(way: tuple[str, Weighting]) -> tuple[float, Floats] | None:
            try:
                used = self._training_set(index, way[1], each)
                raw = fit_once(used.rows, settings, way[0], used.weights)(features)
            except DataError:  # a weighting that leaves one class
                return None
            return auc(labels, raw), raw

        if any(weighting.density for _, weighting in ways):
            _ = self.ratios  # computed once, before the threads share it
        with ThreadPoolExecutor(settings.train.threads or len(os.sched_getaffinity(0))) as pool:
            results = list(pool.map(attempt, ways))
        return {way: result for way, result in zip(ways, results, strict=True) if result is not None}

    # ------------------------------------------------------------------- fitting

    def _scores(self, split: Split, choice: Choice) -> Floats:
        """Calibrated scores of a block by a fit without it."""
        features = self.rows.rows.features[split.test]
        if self.recipe.kind == "recalibrate":
            return self._candidate(split.train, choice)[0].predict(features)
        used = self._training_set(split.train, choice.weighting)
        return choice.calibration.apply(fit_once(used.rows, self.home.settings, choice.learner, used.weights)(features))

    def _candidate(self, index: Ints, choice: Choice) -> tuple[Candidate, TrainingSet]:
        used = self._training_set(index, choice.weighting)
        if self.recipe.kind == "recalibrate":
            return self._recalibrated(used), used
        candidate = fit(
            used.rows,
            self.home.settings,
            weights=used.weights,
            learners=(choice.learner,),
            present=None if self.since is None else used.rows.times >= self.since,
            parent=self.served.version,
            origin="retrain",
            history=self.served.manifest["training"]["history"],
            record=used.record,
        )
        return candidate, used

    def _recalibrated(self, used: TrainingSet) -> Candidate:
        recent = used.rows if self.since is None else used.rows.take(used.rows.times >= self.since)
        if recent.target is None or not len(recent):
            raise DataError("No matured decisions since the change can be learned from yet.")
        scorer = self.served.scorer
        return recalibrate(
            self.home.artefact(self.served.version),
            self.served.version,
            scorer.probabilities,
            scorer.probabilities(recent.features),
            recent.target,
            self.home.settings,
            training={**self.served.manifest["training"], "record": used.record},
        )

    def _training_set(self, index: Ints, weighting: Weighting, stands_for: Floats | None = None) -> TrainingSet:
        return training_set(
            self.rows,
            index,
            self.home.settings.retrain,
            weighting=weighting,
            since=self.since,
            ratios=self.ratios[index] if weighting.density else None,
            stands_for=stands_for,
        )

    @cached_property
    def ratios(self) -> Floats:
        """How much more often each old row's kind of customer comes now; 1 for the rows of now. No outcome is used."""
        inputs = list(self.served.scorer.schema.model_columns)
        features, times = self.rows.rows.features[:, inputs], self.rows.rows.times
        now = times >= (self.since or 0)
        ratios = np.ones(len(self.rows))
        if now.any() and not now.all():
            ratios[~now] = density_ratio_weights(features[~now], features[now]).weights
        return ratios
