"""What the decisions of a policy were worth, once everything is known. All intervals are at 95%."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from riskloop.core import stats
from riskloop.core.settings import MoneySettings
from riskloop.core.types import Bools, Floats, Json
from riskloop.simulation import true_auc

Z95: Final = 1.959963984540054
LEAST: Final = 2  # of each class: below it there is no variance of an AUC


@dataclass(frozen=True)
class Scores:
    """One policy's decisions in one period, aligned with its customers."""

    outcomes: Floats  # (n,) 0, 1, or NaN where nobody knows
    probabilities: Floats  # (n,)
    declined: Bools  # (n,) decided as default
    true_pd: Floats | None = None

    @property
    def known(self) -> Bools:
        """The rows that can be scored."""
        there: Bools = ~np.isnan(self.outcomes)
        return there

    def take(self, rows: Bools) -> "Scores":
        """Some of the customers."""
        true_pd = None if self.true_pd is None else self.true_pd[rows]
        return Scores(self.outcomes[rows], self.probabilities[rows], self.declined[rows], true_pd)


def period_scores(period: Scores, money: MoneySettings) -> Json:
    """Discrimination, accuracy, calibration and money of one period; None where it cannot be said."""
    known = period.known
    y, p, declined = period.outcomes[known], period.probabilities[known], period.declined[known]
    document: Json = {
        "decisions": len(period.outcomes),
        "outcomes": len(y),
        "defaults": int(y.sum()),
        "mean_pd": float(period.probabilities.mean()) if len(period.outcomes) else None,
        "approval_rate": float(1.0 - period.declined.mean()) if len(period.outcomes) else None,
        **dict.fromkeys(("auc", "auc_low", "auc_high", "gini", "gini_low", "gini_high", "ks", "ks_low", "ks_high")),
        **dict.fromkeys(("brier", "brier_low", "brier_high", "log_loss", "default_rate", "default_rate_low")),
        **dict.fromkeys(("default_rate_high", "observed_to_expected", "observed_to_expected_low")),
        **dict.fromkeys(("observed_to_expected_high", "money", "true_auc")),
    }
    if not len(y):
        return document
    rate = stats.wilson_interval(int(y.sum()), len(y))
    document |= _triple("default_rate", rate.estimate, rate.lower, rate.upper)
    expected = float(p.mean())
    if expected:
        ratios = (rate.estimate / expected, rate.lower / expected, rate.upper / expected)
        document |= _triple("observed_to_expected", *ratios)
    squares = np.square(p - y)
    reach = Z95 * float(squares.std()) / math.sqrt(len(y))
    document |= _triple("brier", float(squares.mean()), max(0.0, float(squares.mean()) - reach), squares.mean() + reach)
    document["log_loss"] = stats.log_loss(y, p)
    earned = _gains(y, declined, money)
    document["money"] = None if earned is None else float(earned.sum())
    if _both(y):
        area = stats.auc_interval(y, p)
        document |= _triple("auc", area.estimate, area.lower, area.upper)
        document |= _triple("gini", 2 * area.estimate - 1, 2 * area.lower - 1, 2 * area.upper - 1)
        ks = stats.ks_interval(y, p)
        document |= _triple("ks", ks.estimate, ks.lower, ks.upper)
    if period.true_pd is not None and len(period.true_pd) > 1:
        document["true_auc"] = true_auc(period.probabilities, period.true_pd)
    return document


def overall(periods: Sequence[Scores], documents: Sequence[Json], money: MoneySettings) -> Json:
    """The whole run: AUC and KS as means over the periods, weighted by outcomes; accuracy over all decisions."""
    scored = [(s, d) for s, d in zip(periods, documents, strict=True) if d["auc"] is not None]
    found: Json = dict.fromkeys(("auc", "auc_low", "auc_high", "gini", "ks", "brier", "log_loss", "money"))
    if scored:
        weights = np.array([d["outcomes"] for _, d in scored], dtype=np.float64)
        weights /= weights.sum()
        variance = [stats.delong_variance(s.outcomes[s.known], s.probabilities[s.known]) for s, _ in scored]
        mean = float(weights @ [d["auc"] for _, d in scored])
        reach = Z95 * math.sqrt(float(np.square(weights) @ variance))
        found |= _triple("auc", mean, max(0.0, mean - reach), min(1.0, mean + reach))
        found["gini"] = 2 * mean - 1
        found["ks"] = float(weights @ [d["ks"] for _, d in scored])
    y, p = _pooled(periods)
    if len(y):
        found["brier"], found["log_loss"] = stats.brier(y, p), stats.log_loss(y, p)
        totals = [d["money"] for d in documents if d["money"] is not None]
        found["money"] = sum(totals) if totals else None
    return found


def against(periods: Sequence[Scores], others: Sequence[Scores], money: MoneySettings) -> Json:
    """What a policy gains over another on the same customers; above 0 it is better (log loss: below)."""
    weights, gains, variances = [], [], []
    for one, other in zip(periods, others, strict=True):
        y = one.outcomes[one.known]
        if _both(y):
            test = stats.paired_delong(y, other.probabilities[one.known], one.probabilities[one.known])
            weights.append(len(y))
            gains.append(test.difference)
            variances.append(test.std_error**2)
    found: Json = dict.fromkeys(("auc", "auc_low", "auc_high", "log_loss", "log_loss_low", "log_loss_high"))
    found |= dict.fromkeys(("money", "money_low", "money_high"))
    if weights:
        share = np.array(weights) / sum(weights)
        gain, reach = float(share @ gains), Z95 * math.sqrt(float(np.square(share) @ variances))
        found |= _triple("auc", gain, gain - reach, gain + reach)
    y, p = _pooled(periods)
    _, q = _pooled(others)
    if len(y) > 1:
        test_loss = stats.paired_log_loss_test(y, q, p)
        reach = Z95 * test_loss.std_error
        loss = test_loss.difference
        found |= _triple("log_loss", loss, loss - reach, loss + reach)
        more = _money_gain(periods, others, money)
        if more is not None:
            reach = Z95 * float(more.std()) * math.sqrt(len(more))
            found |= _triple("money", float(more.sum()), float(more.sum()) - reach, float(more.sum()) + reach)
    return found


def exchange(periods: Sequence[Scores], old: Sequence[Floats], new: Sequence[Floats]) -> Json:
    """Was an exchange of the champion right, on what came next? ``old`` and ``new`` score the same customers.

    By the true PDs where they are known, else by the outcomes. A model that ranks alike is judged by its log loss.
    """
    y, p, q = (np.concatenate(parts) if parts else np.empty(0) for parts in _known(periods, old, new))
    document: Json = {"outcomes": len(y), **dict.fromkeys(("before", "after", "difference", "low", "high"))}
    document |= {"measure": "auc", "wrong": None}
    if not _both(y):
        return document
    test = stats.paired_delong(y, p, q)
    reach = Z95 * test.std_error
    truth = [period.true_pd for period in periods]
    before, after = test.auc_champion, test.auc_challenger
    if truth and all(part is not None for part in truth):
        true_pd = np.concatenate([part for part in truth if part is not None])
        before, after = true_auc(np.concatenate(list(old)), true_pd), true_auc(np.concatenate(list(new)), true_pd)
    wrong = after < before
    if test.difference == 0.0 and test.std_error == 0.0:
        loss = stats.paired_log_loss_test(y, p, q)
        before, after, reach, wrong = loss.champion, loss.challenger, Z95 * loss.std_error, loss.difference > 0.0
        document["measure"] = "log_loss"
    difference = after - before
    return document | {
        "before": before,
        "after": after,
        "difference": difference,
        "low": difference - reach,
        "high": difference + reach,
        "wrong": bool(wrong),
    }


def _known(
    periods: Sequence[Scores], old: Sequence[Floats], new: Sequence[Floats]
) -> tuple[list[Floats], list[Floats], list[Floats]]:
    masks = [period.known for period in periods]
    return (
        [period.outcomes[mask] for period, mask in zip(periods, masks, strict=True)],
        [scores[mask] for scores, mask in zip(old, masks, strict=True)],
        [scores[mask] for scores, mask in zip(new, masks, strict=True)],
    )


def _triple(name: str, value: float, low: float, high: float) -> Json:
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}


def _both(y: Floats) -> bool:
    defaults = int(y.sum())
    return min(defaults, len(y) - defaults) >= LEAST


def _gains(y: Floats, declined: Bools, money: MoneySettings) -> Floats | None:
    """What each decision earned; a declined customer neither costs nor earns."""
    if money.default_cost is None or money.good_gain is None:
        return None
    gains: Floats = np.where(declined, 0.0, np.where(y == 1.0, -money.default_cost, money.good_gain))
    return gains


def _money_gain(periods: Sequence[Scores], others: Sequence[Scores], money: MoneySettings) -> Floats | None:
    parts = []
    for one, other in zip(periods, others, strict=True):
        y = one.outcomes[one.known]
        ours, theirs = _gains(y, one.declined[one.known], money), _gains(y, other.declined[one.known], money)
        if ours is None or theirs is None:
            return None
        parts.append(ours - theirs)
    return np.concatenate(parts) if parts else None


def _pooled(periods: Sequence[Scores]) -> tuple[Floats, Floats]:
    if not periods:
        return np.empty(0), np.empty(0)
    y = np.concatenate([period.outcomes[period.known] for period in periods])
    return y, np.concatenate([period.probabilities[period.known] for period in periods])
