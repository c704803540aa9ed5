"""From an order to a challenger. What the order holds decides every byte, so the same order makes the same artefact."""

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from riskloop.core.english import counted
from riskloop.core.errors import DataError
from riskloop.core.manifest import RetrainOrder
from riskloop.core.settings import Settings, coded_as
from riskloop.core.types import Json
from riskloop.loop import snapshot
from riskloop.loop.champion import ReferenceModel
from riskloop.loop.trainer import Challenger, Tick, Trainer
from riskloop.retrain.challenger import plan_challenger
from riskloop.retrain.dataset import Pool, pool, unseen_by
from riskloop.retrain.plan import Plan, evaluation_plan
from riskloop.store.artefacts import Artefacts
from riskloop.store.decisions import DecisionLog
from riskloop.store.history import load_history

Say = Callable[[str], None]


def make(
    settings: Settings,
    decisions: DecisionLog,
    artefacts: Artefacts,
    order: RetrainOrder,
    champion: ReferenceModel,
    *,
    least: int = 0,
    say: Say = lambda _sentence: None,
    tick: Tick = lambda _sentence, _share: None,
) -> Challenger:
    """Fit what was ordered, as ``settings`` say; ``champion`` is the order's champion.

    Raises DataError while fewer than ``least`` outcomes of each class can be tested on, ConfigError where the features
    of ``settings`` are others than the champion's.
    """
    settings, training = coded_as(settings, champion.model.schema), champion.manifest.training
    frame = snapshot.read(decisions, order.snapshot, champion.model.schema)
    rows = pool(
        load_history(artefacts, training.history),
        frame,
        identified=champion.model.schema.id is not None,
        share=order.snapshot.share,
    )
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
        champion_learner=None if training.imported is not None else champion.manifest.learner,
        rows=len(rows),
        train=settings.train,
        retrain=settings.retrain,
    )
    say(recipe.sentence)
    ordered = replace(order, settings=_shaping(settings))
    return Trainer(settings, champion, frame, rows, recipe, ordered, tick).make(plan)


def _shaping(settings: Settings) -> Json:
    """The settings that decide what is made of an order, and are not in the manifest already."""
    return {
        "retrain": settings.retrain.model_dump(mode="json", exclude={"max_rows"}),  # the snapshot holds the share
        "gate": settings.gate.model_dump(mode="json", include={"evaluation", "holdout", "blocks"}),
        "portfolio": settings.portfolio.model_dump(mode="json", include={"outcome_window"}),
    }


def _require(rows: Pool, plan: Plan, least: int) -> None:
    defaults = int(np.count_nonzero(rows.labels[plan.tested]))
    if min(defaults, plan.tested.size - defaults) < least:
        raise DataError(
            f"{plan.tested.size:,} matured decisions with {counted(defaults, 'default')} can be tested. The gate needs "
            f"{least} defaults and as many others. More outcomes have to mature."
        )
