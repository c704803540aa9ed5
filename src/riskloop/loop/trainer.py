"""The fits behind one challenger: weighting and learner are chosen by validation, never on rows that the gate tests."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import cached_property
from itertools import count
from typing import Final

import numpy as np
from msgspec.structs import replace

from riskloop.core.errors import DataError
from riskloop.core.manifest import Calibration, RetrainOrder, Size, TrainingRecord
from riskloop.core.settings import Settings
from riskloop.core.stats import auc, density_ratio_weights
from riskloop.core.types import DecisionFrame, Floats, Ints, Rows
from riskloop.loop.champion import ReferenceModel
from riskloop.retrain.challenger import ChallengerPlan
from riskloop.retrain.dataset import Pool, TrainingSet, Weighting, choose, thinned, training_set
from riskloop.retrain.plan import Plan, Split, latest_block
from riskloop.train.benchmark import CARD, compared, is_card
from riskloop.train.calibrate import fit_calibration, level_of, levelled
from riskloop.train.candidate import Candidate
from riskloop.train.fit import LongRun, fit, fit_once, recalibrate
from riskloop.train.learners import learner
from riskloop.train.validate import OutOfFold, enough

Tick = Callable[[str, float], None]

VALIDATED: Final = 0.3  # share of the new world's rows, the latest, that choices are validated on
MOST: Final = 10_000  # rows of one validation fit: ways to weight differ by more than such fits err
MOST_TESTED: Final = 250_000  # rows of a fit that is only tested: fewer than the final fit's make it no better


@dataclass(frozen=True)
class Choice:
    """One way to fit, and what it was chosen by."""

    learner: str
    weighting: Weighting
    calibration: Calibration  # of this learner's raw scores, from the validation block
    tried: Mapping[str, float]  # AUC on the validation block by learner and weighting


@dataclass(frozen=True)
class Challenger:
    """The fit that may be promoted, what it was made of, and scores of rows that it, or its likes, had not seen."""

    candidate: Candidate
    trained_on: TrainingSet
    choice: Choice
    recipe: ChallengerPlan
    frame: DecisionFrame
    rows: Pool
    plan: Plan
    scores: Floats  # (tested rows,) calibrated, in the plan's order
    card: Floats | None  # (tested rows,) raw, of a plain scorecard that was fitted alike; None: there is none


@dataclass(frozen=True)
class ScoredBlock:
    """One block of time, scored by a fit without it."""

    test: Ints
    learner: str
    raw: Floats  # log-odds
    scores: Floats  # calibrated
    card: Floats | None  # raw scores of a plain scorecard


class Trainer:
    """Fits for one order on one pool of matured rows. ``order`` goes into the manifest, for the rebuilding.

    ``frame`` holds the decisions that the pool was made of, also those without an outcome.
    """

    def __init__(
        self,
        settings: Settings,
        champion: ReferenceModel,
        frame: DecisionFrame,
        rows: Pool,
        recipe: ChallengerPlan,
        order: RetrainOrder,
        tick: Tick = lambda _sentence, _share: None,
    ) -> None:
        self.settings = settings
        self.champion = champion
        self.frame = frame
        self.rows = rows
        self.recipe = recipe
        self.since = order.since
        self.order = order
        self._tick = tick
        self._steps = count(1)
        self._total = 1
        self._without_card: str | None = None

    @property
    def _size(self) -> Size | None:
        """The champion's size of trees: it was chosen once, on the whole history."""
        return self.champion.manifest.training.size

    def make(self, plan: Plan) -> Challenger:
        """Follow the plan: one held-out block, or every block by fits without it and a final fit on everything.

        Out of fold, each block's weighting and learner are chosen without it too: choosing on all rows and testing
        on the same would favour the challenger.
        """
        one = len(self.recipe.weightings) + max(0, len(self.recipe.learners) - 1) + 1
        self._total = one * (len(plan.splits) + (plan.final is not None))
        if plan.final is None:
            choice = self.choose(plan.splits[0].train)
            candidate, used = self._candidate(plan.splits[0].train, choice, ())
            scores = candidate.predict(self.rows.rows.features[plan.tested])
            card = self._card(used, choice, self.rows.rows.features[plan.tested])
        else:
            blocks = [self._block(split) for split in plan.splits]
            choice = self.choose(plan.final)
            candidate, used = self._candidate(plan.final, choice, blocks)
            scores = np.concatenate([self._scores(block, blocks) for block in blocks])
            card = self._cards(blocks)
        candidate = self._benchmarked(candidate, plan, scores, card)
        return Challenger(candidate, used, choice, self.recipe, self.frame, self.rows, plan, scores, card)

    def _card(self, used: TrainingSet, choice: Choice, features: Floats) -> Floats | None:
        """Raw scores of a plain scorecard that learns from the same rows, weighted alike."""
        if not self.settings.train.benchmark or self.recipe.kind == "recalibrate" or self._is_card(choice.learner):
            return None
        try:
            return fit_once(used.rows, self.settings, CARD, used.weights, used.changed)(features)
        except DataError as error:
            self._without_card = f"There is no {CARD.name} beside the challenger. {error.message}"
            return None

    def _cards(self, blocks: Sequence[ScoredBlock]) -> Floats | None:
        """The scorecard's scores of all blocks; None where each block's learner is a scorecard itself."""
        if all(block.card is None for block in blocks):
            return None
        found = [block.raw if self._is_card(block.learner) else block.card for block in blocks]
        cards = [card for card in found if card is not None]
        return np.concatenate(cards) if len(cards) == len(blocks) else None

    def _is_card(self, name: str) -> bool:
        return is_card(learner(name, self.settings))

    def _benchmarked(self, candidate: Candidate, plan: Plan, scores: Floats, card: Floats | None) -> Candidate:
        """With the scorecard beside it in the manifest. A recalibration ranks like its parent and keeps that one's."""
        manifest = candidate.manifest
        training = manifest.training
        if self._without_card is not None:
            training = replace(training, left_out=training.left_out | {CARD.name: self._without_card})
        if card is not None:
            labels, customers = self.rows.labels[plan.tested], self.rows.customers[plan.tested]
            training = replace(training, benchmark=compared(labels, card, scores, plan.blocks, customers))
        return replaced(candidate, manifest=replace(manifest, training=training))

    def _done(self, what: str) -> None:
        self._tick(what, min(1.0, next(self._steps) / self._total))

    # ------------------------------------------------------------------- choosing

    def choose(self, index: Ints) -> Choice:
        """A weighting for the first learner, then a learner, by the latest block of ``index``."""
        learners = self.recipe.learners or (self.champion.manifest.learner,)
        plain = Choice(learners[0], self.recipe.weightings[0], Calibration(), {})
        block = self._validation(index)
        if self.recipe.kind == "recalibrate" or block is None:
            return plain
        weighted = self._tried(block, [(learners[0], weighting) for weighting in self.recipe.weightings])
        if not weighted:
            return plain
        labels, customers = self.rows.labels[block.test], self.rows.customers[block.test]
        _, weighting = choose(labels, [(pair, raw) for pair, (_, raw) in weighted.items()], customers)
        competing = weighted | self._tried(block, [(name, weighting) for name in learners[1:]])
        best = choose(labels, [(pair, raw) for pair, (_, raw) in competing.items() if pair[1] == weighting], customers)
        calibration = self._line(competing[best][1], block.test, index)
        tried = {f"{name}, {way.name}": score for (name, way), (score, _) in competing.items()}
        return Choice(best[0], weighting, calibration, tried)

    def _validation(self, index: Ints) -> Split | None:
        """The latest part of the new world's rows in ``index``; None when it cannot tell anything."""
        recent = index if self.since is None else index[self.rows.rows.times[index] >= self.since]
        if recent.size < 2:
            return None
        block = latest_block(self.rows, index, recent, VALIDATED)
        labels = self.rows.labels[block.test]
        return block if min(labels.sum(), labels.size - labels.sum()) >= 10 else None

    def _tried(
        self, block: Split, ways: Sequence[tuple[str, Weighting]]
    ) -> dict[tuple[str, Weighting], tuple[float, Floats]]:
        """AUC and raw scores on the block, by learner and weighting; fits run side by side, one thread each."""
        settings = self.settings
        index, each = thinned(self.rows, block.train, MOST, since=self.since, seed=settings.train.seed)
        labels, features = self.rows.labels[block.test], self.rows.rows.features[block.test]

        def attempt(way: tuple[str, Weighting]) -> tuple[float, Floats] | None:
            try:
                used = self._training_set(index, way[1], each)
                raw = fit_once(used.rows, settings, way[0], used.weights, used.changed, self._size)(features)
            except DataError:  # a weighting that leaves one class
                return None
            self._done(f"{way[0]}, {way[1].name}")
            return auc(labels, raw), raw

        if any(weighting.density for _, weighting in ways):
            _ = self.ratios  # computed once, before the threads share it
        with ThreadPoolExecutor(settings.train.threads or len(os.sched_getaffinity(0))) as pool:
            results = list(pool.map(attempt, ways))
        return {way: result for way, result in zip(ways, results, strict=True) if result is not None}

    # ------------------------------------------------------------------- fitting

    def _block(self, split: Split) -> ScoredBlock:
        """A block's scores by a fit without it, whose way was chosen without it."""
        choice, settings = self.choose(split.train), self.settings
        features = self.rows.rows.features[split.test]
        if self.recipe.kind == "recalibrate":
            scores = self._recalibrated(self._training_set(split.train, choice.weighting)).predict(features)
            self._done("recalibration without a block")
            return ScoredBlock(split.test, choice.learner, np.full(scores.size, np.nan), scores, None)
        index, each = thinned(self.rows, split.train, MOST_TESTED, since=self.since, seed=settings.train.seed)
        used = self._training_set(index, choice.weighting, each)
        raw = fit_once(used.rows, settings, choice.learner, used.weights, used.changed, self._size)(features)
        self._done(f"{choice.learner} without a block")
        card = self._card(used, choice, features)
        return ScoredBlock(split.test, choice.learner, raw, choice.calibration.apply(raw), card)

    def _scores(self, block: ScoredBlock, blocks: Sequence[ScoredBlock]) -> Floats:
        """A block's scores, calibrated on the other blocks, as those of the final model are on all of them.

        The line of its own validation rows, of which there are a third as many, is only taken where those are too few.
        """
        others = [other for other in blocks if other is not block and other.learner == block.learner]
        test = np.concatenate([np.empty(0, dtype=np.int64), *(other.test for other in others)])
        if self.recipe.kind == "recalibrate" or not enough(self.rows.labels[test], self.settings.train.folds):
            return block.scores
        known = np.setdiff1d(np.arange(len(self.rows)), block.test)
        return self._line(np.concatenate([other.raw for other in others]), test, known).apply(block.raw)

    def _line(self, raw: Floats, test: Ints, known: Ints) -> Calibration:
        """The calibration of ``raw`` scores of rows ``test``, levelled by the ``known`` ones as the final model is."""
        labels, times, train = self.rows.labels, self.rows.rows.times, self.settings.train
        level = level_of(times[known], labels[known], float(labels[test].mean()), train)
        return levelled(fit_calibration(raw, labels[test]), raw, times[test], train, level)

    def _candidate(self, index: Ints, choice: Choice, blocks: Sequence[ScoredBlock]) -> tuple[Candidate, TrainingSet]:
        used = self._training_set(index, choice.weighting)
        if self.recipe.kind == "recalibrate":
            candidate = self._recalibrated(used)
        else:
            candidate = fit(
                used.rows,
                self.settings,
                weights=used.weights,
                learners=(choice.learner,),
                present=None if self.since is None else used.rows.times >= self.since,
                changed=used.changed is not None,
                size=self._size,
                judged=self._judged(used, choice, blocks),
                declined=_declined(self.frame, self.since),
                parent=self.champion.version,
                origin="retrain",
                history=self.champion.manifest.training.history,
                record=self._record(used),
            )
        self._done("all rows")
        return candidate, used

    def _judged(self, used: TrainingSet, choice: Choice, blocks: Sequence[ScoredBlock]) -> OutOfFold | None:
        """The blocks' scores, where they are of the chosen learner and enough: five more fits are spared."""
        place = np.full(len(self.rows), -1, dtype=np.int64)
        place[used.index] = np.arange(used.index.size)
        raw, parts = np.full(used.index.size, np.nan), []
        for block in blocks:
            there = place[block.test] >= 0
            if block.learner == choice.learner and enough(self.rows.labels[block.test[there]], 1):
                parts.append(place[block.test[there]])
                raw[parts[-1]] = block.raw[there]
        tested = self.rows.labels[used.index[~np.isnan(raw)]]
        return OutOfFold(raw, tuple(parts)) if parts and enough(tested, self.settings.train.folds) else None

    def _recalibrated(self, used: TrainingSet) -> Candidate:
        recent = used.rows if self.since is None else used.rows.take(used.rows.times >= self.since)
        if recent.target is None or not len(recent):
            raise DataError("No decision since the change has matured yet.")
        model, others = self.champion.model, _declined(self.frame, self.since)
        return recalibrate(
            self.champion.artefact,
            self.champion.version,
            model.probabilities,
            model.probabilities(recent.features),
            recent.target,
            self.settings,
            training=replace(self.champion.manifest.training, record=self._record(used)),
            cycle=self._cycle(used.rows),
            declined=None if others is None else others.features,
        )

    def _cycle(self, rows: Rows) -> LongRun | None:
        """All that is known of the cycle; None where PDs are those of a point in time, to score no row for nothing."""
        if self.settings.train.calibration == "point_in_time" or rows.target is None:
            return None
        return LongRun(rows.times, self.champion.model.probabilities(rows.features), rows.target)

    def _record(self, used: TrainingSet) -> TrainingRecord:
        return replace(used.record, order=self.order)

    def _training_set(self, index: Ints, weighting: Weighting, stands_for: Floats | None = None) -> TrainingSet:
        return training_set(
            self.rows,
            index,
            self.settings.retrain,
            weighting=weighting,
            since=self.since,
            ratios=self.ratios[index] if weighting.density else None,
            stands_for=stands_for,
        )

    @cached_property
    def ratios(self) -> Floats:
        """How much more often each old row's kind of customer comes now; 1 for the rows of now. No outcome is used."""
        features, times = self.rows.rows.features[:, self.champion.inputs], self.rows.rows.times
        now = times >= (self.since or 0)
        ratios = np.ones(len(self.rows))
        if now.any() and not now.all():
            ratios[~now] = density_ratio_weights(features[~now], features[now]).weights
        return ratios


def _declined(frame: DecisionFrame, since: int | None) -> Rows | None:
    """Who applied in the time that is learned from and has no outcome; mostly who was declined.

    None where some were approved at random: their weights stand for the declined already.
    """
    known = ~np.isnan(frame.outcomes)
    if not known.any() or (frame.exploration is not None and (frame.exploration[known] > 0.0).any()):
        return None
    times = frame.times
    inside = (times <= times[known].max()) & (times >= (times.min() if since is None else since))
    others = frame.take(np.flatnonzero(~known & inside))
    return Rows(others.features, others.customer_ids, others.times)
