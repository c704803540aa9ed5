"""From an order to a challenger. What the order holds decides every byte, so the same order makes the same artefact."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from riskloop.core.english import counted
from riskloop.core.errors import DataError
from riskloop.core.manifest import Order
from riskloop.core.settings import Settings
from riskloop.core.types import DecisionFrame, Floats, Json
from riskloop.loop import snapshot
from riskloop.loop.champion import Served
from riskloop.loop.trainer import Made, Tick, Trainer
from riskloop.retrain.challenger import ChallengerPlan, plan_challenger
from riskloop.retrain.dataset import Pool, pool, unseen_by
from riskloop.retrain.plan import Plan, evaluation_plan
from riskloop.store.history import load_history
from riskloop.store.home import Home

Say = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """A challenger with everything that it was made of."""

    made: Made
    frame: DecisionFrame
    rows: Pool
    plan: Plan
    recipe: ChallengerPlan


def make(
    home: Home,
    order: Order,
    served: Served,
    *,
    least: int = 0,
    say: Say = lambda _sentence: None,
    tick: Tick = lambda _sentence, _share: None,
) -> Work:
    """Fit what was ordered, as ``home.settings`` says; ``served`` is the order's champion.

    Raises DataError while fewer than ``least`` outcomes of each class can be tested on.
    """
    settings, training = home.settings, served.manifest.training
    frame = snapshot.read(home, order.snapshot)
    rows = pool(load_history(home.artefacts, training.history), frame, identified=served.model.schema.id is not None)
    plan = evaluation_plan(
        rows,
        settings.gate,
        unseen=unseen_by(training.record, rows),
        since=order.since,
    )
    _require(rows, plan, least)
    recipe = plan_challenger(
        order.action,
        order.diagnosis,
        champion_learner=served.manifest.learner,
        rows=len(rows),
        train=settings.train,
        retrain=settings.retrain,
    )
    say(recipe.sentence)
    ordered = replace(order, settings=_shaping(settings))
    declined = _declined(frame, order.since)
    trainer = Trainer(home, served, rows, recipe, order.since, ordered, tick, declined)
    return Work(trainer.make(plan), frame, rows, plan, recipe)


def _shaping(settings: Settings) -> Json:
    """The settings that decide what is made of an order, and are not in the manifest already."""
    return {
        "retrain": settings.retrain.model_dump(mode="json"),
        "gate": settings.gate.model_dump(mode="json", include={"evaluation", "holdout", "blocks"}),
        "portfolio": settings.portfolio.model_dump(mode="json", include={"outcome_window"}),
    }


def _declined(frame: DecisionFrame, since: int | None) -> Floats | None:
    """Features of who applied in the time that is learned from and has no outcome; mostly who was declined.

    None where some were approved at random: their weights stand for the declined already.
    """
    known = ~np.isnan(frame.outcomes)
    if not known.any() or (frame.exploration is not None and (frame.exploration[known] > 0.0).any()):
        return None
    times = frame.times
    inside = (times <= times[known].max()) & (times >= (times.min() if since is None else since))
    features: Floats = frame.features[~known & inside]
    return features


def _require(rows: Pool, plan: Plan, least: int) -> None:
    defaults = int(np.count_nonzero(rows.labels[plan.tested]))
    if min(defaults, plan.tested.size - defaults) < least:
        raise DataError(
            f"{plan.tested.size:,} matured decisions with {counted(defaults, 'default')} can be tested. The gate needs "
            f"{least} defaults and as many others. More outcomes have to mature."
        )
