"""A fitted estimator as a file that cannot run code: scorecards as JSON, trees as LightGBM's text, others as skops."""

from riskloop.store.estimators import dump_estimator
from riskloop.train.blend import Blend
from riskloop.train.boosters import GrownTrees
from riskloop.train.learners import LIGHTGBM, SCORECARD, SKOPS, Estimator
from riskloop.train.scorecard import Scorecard
from riskloop.train.trees import hist_gradient_boosting_text, lightgbm_text, scaled_sum


def dump(estimator: Estimator) -> tuple[str, bytes]:
    """File name and content of a fitted estimator, in a format that cannot run code. Raises ArtefactError."""
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier

    if isinstance(estimator, Scorecard):
        return SCORECARD, estimator.dump()
    if isinstance(estimator, Blend):
        parts = (estimator.refit, estimator.former, estimator.correction)
        return LIGHTGBM, scaled_sum([dump(part)[1] for part in parts], 0.5)
    if isinstance(estimator, LGBMClassifier):
        return LIGHTGBM, lightgbm_text(estimator)
    if isinstance(estimator, HistGradientBoostingClassifier):
        return LIGHTGBM, hist_gradient_boosting_text(estimator)
    if isinstance(estimator, GrownTrees):
        return LIGHTGBM, estimator.text()
    return SKOPS, dump_estimator(estimator)


def is_sum(estimator: Estimator) -> bool:
    """Whether its file gives log-odds, the sum of trees or points; others are served by their probabilities."""
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier

    own = (Scorecard, Blend, GrownTrees, LGBMClassifier, HistGradientBoostingClassifier)
    return isinstance(estimator, own)
