"""What to fit for an ordered action: a recalibration, the champion's recipe again, or a new selection of learners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from riskloop.core.errors import DataError
from riskloop.core.settings import RetrainSettings, TrainSettings
from riskloop.core.types import Action, Diagnosis
from riskloop.retrain.dataset import Weighting, weightings

# Seconds of one fit per million rows on 2 cores, measured; a learner of the user's own is taken for a slow one.
_SECONDS: Final[Mapping[str, float]] = {
    "lightgbm": 9.0,
    "scorecard": 7.0,
    "hist_gradient_boosting": 22.0,
    "xgboost": 20.0,
    "catboost": 47.0,
}
_SECONDS_UNKNOWN: Final = 60.0


@dataclass(frozen=True, slots=True)
class ChallengerPlan:
    """What the loop fits."""

    kind: Literal["recalibrate", "refit", "reselect"]
    learners: tuple[str, ...]  # that compete, the champion's first; empty for a recalibration
    weightings: tuple[Weighting, ...]  # candidates; more than one: validate, then choose
    sentence: str

    @property
    def origin(self) -> Literal["retrain", "recalibrate"]:
        """As the ledger calls it."""
        return "recalibrate" if self.kind == "recalibrate" else "retrain"


def plan_challenger(
    action: Action,
    diagnosis: Diagnosis,
    *,
    champion_learner: str | None,
    rows: int,
    train: TrainSettings,
    retrain: RetrainSettings,
) -> ChallengerPlan:
    """From the policy's order to a plan; raises DataError for an action that fits nothing.

    ``champion_learner`` is None for a champion that was imported: nobody here can fit it again, and all learners of
    the config compete. Else a changed mix of customers leaves the recipe alone; after concept drift all compete again,
    as far as the time budget goes. That is decided by the number of rows, not by the clock, so that the same record
    fits the same.
    """
    if action is Action.RECALIBRATE:
        sentence = "The ranking holds and the level does not: the champion is recalibrated, its model stays."
        return ChallengerPlan("recalibrate", (), (Weighting("uniform"),), sentence)
    if action is not Action.RETRAIN:
        raise DataError(f"The action '{action.value}' makes no challenger; only 'recalibrate' and 'retrain' do.")
    drifted = diagnosis is Diagnosis.CONCEPT_DRIFT
    candidates = weightings(retrain, drifted=drifted, shifted=diagnosis is Diagnosis.COVARIATE_SHIFT)
    if diagnosis is Diagnosis.COVARIATE_SHIFT and champion_learner is not None:
        sentence = f"Other customers, same behaviour: the champion's learner '{champion_learner}' is fitted again."
        return ChallengerPlan("refit", (champion_learner,), candidates, sentence)
    fits = train.folds + len(candidates) + 1
    learners = affordable(train.learners, champion_learner, rows=rows, fits=fits, seconds=retrain.seconds)
    elsewhere = " The champion was imported, so its own recipe is not among them." if champion_learner is None else ""
    left_out = [name for name in train.learners if name not in learners]
    out = f"; {', '.join(left_out)} would take longer than {retrain.seconds:g} s" if left_out else ""
    sentence = f"The learners {', '.join(learners)} compete on the matured rows{out}.{elsewhere}"
    return ChallengerPlan("reselect" if len(learners) > 1 else "refit", learners, candidates, sentence)


def affordable(
    learners: Sequence[str], champion_learner: str | None, *, rows: int, fits: int, seconds: float
) -> tuple[str, ...]:
    """The learners whose fits together stay within ``seconds``, cheapest first.

    The champion's is always among them; without one, the cheapest.
    """
    others = sorted((name for name in learners if name != champion_learner), key=lambda name: (_cost(name), name))
    first = champion_learner or others.pop(0)
    chosen, spent = [first], _cost(first) * rows * fits
    for name in others:
        cost = _cost(name) * rows * fits
        if spent + cost > seconds:
            break
        chosen.append(name)
        spent += cost
    return tuple(chosen)


def _cost(learner: str) -> float:
    return _SECONDS.get(learner, _SECONDS_UNKNOWN) / 1e6
