import numpy as np
import pytest
from scipy import stats as reference
from sklearn import metrics

from riskloop.backtest.score import Scores, against, exchange, overall, period_scores
from riskloop.core.settings import MoneySettings
from riskloop.core.types import Floats

MONEY = MoneySettings(default_cost=10.0, good_gain=1.0)


def _scores(n: int, seed: int, noise: float = 1.0) -> Scores:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    true_pd: Floats = 1 / (1 + np.exp(1.0 - truth))
    outcomes = (rng.random(n) < true_pd).astype(np.float64)
    p = 1 / (1 + np.exp(1.0 - truth - noise * rng.normal(size=n)))
    return Scores(outcomes, p, p >= 0.2, true_pd)


def test_a_period_agrees_with_other_libraries() -> None:
    one = _scores(500, 1)
    document = period_scores(one, MONEY)
    assert document["auc"] == pytest.approx(metrics.roc_auc_score(one.outcomes, one.probabilities))
    assert document["brier"] == pytest.approx(metrics.brier_score_loss(one.outcomes, one.probabilities))
    assert document["log_loss"] == pytest.approx(metrics.log_loss(one.outcomes, one.probabilities))
    ks = reference.ks_2samp(one.probabilities[one.outcomes == 1], one.probabilities[one.outcomes == 0])
    assert document["ks"] == pytest.approx(ks.statistic)
    assert document["ks_low"] < document["ks"] < document["ks_high"]
    approved = ~one.declined
    earned = (approved & (one.outcomes == 0)).sum() - 10 * (approved & (one.outcomes == 1)).sum()
    assert document["money"] == pytest.approx(earned)
    assert document["observed_to_expected"] == pytest.approx(one.outcomes.sum() / one.probabilities.sum())


def test_unknown_outcomes_count_nowhere() -> None:
    one = _scores(500, 2)
    gaps = one.outcomes.copy()
    gaps[::2] = np.nan
    document = period_scores(Scores(gaps, one.probabilities, one.declined), MONEY)
    assert document["outcomes"] == 250
    assert document["auc"] == pytest.approx(metrics.roc_auc_score(one.outcomes[1::2], one.probabilities[1::2]))


def test_one_class_has_no_auc_and_still_a_brier_score() -> None:
    one = _scores(50, 3)
    document = period_scores(Scores(np.zeros(50), one.probabilities, one.declined), MONEY)
    assert document["auc"] is None
    assert document["brier"] == pytest.approx(float(np.mean(one.probabilities**2)))


def test_the_whole_is_the_mean_weighted_by_outcomes() -> None:
    parts = [_scores(300, 4), _scores(900, 5)]
    documents = [period_scores(part, MONEY) for part in parts]
    whole = overall(parts, documents, MONEY)
    assert whole["auc"] == pytest.approx((documents[0]["auc"] + 3 * documents[1]["auc"]) / 4)
    assert whole["money"] == pytest.approx(documents[0]["money"] + documents[1]["money"])


def test_intervals_of_the_gain_hold_the_truth_as_often_as_they_say() -> None:
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        one = _scores(400, seed)
        blurred = Scores(one.outcomes, one.probabilities[rng.permutation(400)], one.declined)
        other = Scores(one.outcomes, one.probabilities[rng.permutation(400)], one.declined)
        gain = against([blurred], [other], MONEY)  # both are noise: the true gain is 0
        inside += gain["auc_low"] <= 0.0 <= gain["auc_high"]
    assert 180 <= inside <= 199


def test_an_exchange_for_a_worse_model_is_wrong() -> None:
    good, bad = _scores(2000, 6, noise=0.2), _scores(2000, 6, noise=3.0)
    worse = exchange([good], [good.probabilities], [bad.probabilities])
    better = exchange([good], [bad.probabilities], [good.probabilities])
    assert worse["wrong"]
    assert not better["wrong"]
    assert worse["difference"] == pytest.approx(-better["difference"])


def test_an_exchange_that_ranks_alike_is_judged_by_log_loss() -> None:
    one = _scores(2000, 7, noise=0.0)
    off = one.probabilities**2
    assert exchange([one], [one.probabilities], [off])["wrong"]
    turned = exchange([one], [off], [one.probabilities])
    assert (turned["measure"], turned["wrong"]) == ("log_loss", False)


def test_nothing_after_an_exchange_is_no_verdict() -> None:
    assert exchange([], [], [])["wrong"] is None
