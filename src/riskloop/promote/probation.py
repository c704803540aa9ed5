"""Does the new champion do worse than the old one on what matured since? Then the old one comes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import numpy as np

from riskloop.core import stats
from riskloop.core.english import counted, p_is
from riskloop.core.numbers import signed
from riskloop.core.settings import ProbationSettings
from riskloop.core.types import Check, Floats, Ints, Json, Promotion, PromotionKind
from riskloop.promote.switch import rollback
from riskloop.store import documents
from riskloop.store.ledger import Ledger


class ProbationState(StrEnum):
    """Where a new champion stands."""

    WATCHING = "watching"
    PASSED = "passed"
    HARMFUL = "harmful"


@dataclass(frozen=True, slots=True)
class Estimated:
    """A difference new − old in AUC from before the outcomes, with its error: `monitor` knows how it was estimated."""

    difference: float
    std_error: float
    source: str


@dataclass(frozen=True, slots=True)
class Probation:
    """One look at a new champion."""

    state: ProbationState
    sentence: str
    checks: tuple[Check, ...]
    spent: float  # of the probation's alpha, this look included; hand it to the next look
    details: Json = field(default_factory=dict)


_SOURCE_AUC: Final = "paired DeLong test; linear spending of Lan & DeMets 1983"
_SOURCE_LOSS: Final = "paired t-test on log loss (Diebold & Mariano 1995); linear spending of Lan & DeMets 1983"


def judge_probation(
    labels: Floats,
    new: Floats,
    old: Floats,
    settings: ProbationSettings,
    *,
    customers: Ints | None = None,
    spent: float = 0.0,
    estimated: Estimated | None = None,
) -> Probation:
    """Both models' PDs, shape (n,), on decisions that matured since the promotion and that neither was trained on.

    ``customers`` (n,) says whose rows they are; without it each is another customer's.

    Half of α goes to the AUC, half to the log loss, and each look may use the part of it that its information has
    earned and earlier looks (``spent``) have not used: a model that is no worse is rolled back with probability α at
    most, however often it is looked at. With power for a loss of ``settings.detect`` in AUC the probation ends.
    """
    guess = () if estimated is None else (_estimated_check(estimated, settings, labels),)
    if guess and not guess[0].passed:
        return Probation(ProbationState.HARMFUL, guess[0].sentence, guess, spent)
    defaults = stats.count_customers(customers, labels == 1.0)
    if not labels.size:
        return Probation(
            ProbationState.WATCHING, "No outcome that is new to both models has matured yet.", guess, spent
        )
    if min(defaults, stats.count_customers(customers, labels == 0.0)) < settings.min_defaults:
        sentence = (
            f"{counted(defaults, 'default')} matured since the promotion. The first look needs {settings.min_defaults}."
        )
        return Probation(ProbationState.WATCHING, sentence, guess, spent)
    ranking = stats.paired_delong(labels, new, old, customers=customers)  # H₀: the old one does not rank better
    loss = stats.paired_log_loss_test(labels, old, new, customers)
    information = _information(ranking.std_error, settings)
    level = max(0.0, settings.alpha * information - spent) / 2.0
    sizes = {"rows": int(labels.size), "defaults": defaults}
    checks = (
        *guess,
        Check(
            "auc",
            ranking.p_one_sided > level,
            ranking.p_one_sided,
            level,
            _SOURCE_AUC,
            sizes,
            f"On {labels.size:,} decisions that matured since, the new champion's AUC is {ranking.auc_champion:.4f} "
            f"and the old one's {ranking.auc_challenger:.4f} (the old one is better: {p_is(ranking.p_one_sided)}).",
        ),
        Check(
            "log_loss",
            loss.p_worse > level,
            loss.p_worse,
            level,
            _SOURCE_LOSS,
            sizes,
            f"The new champion's log loss is {loss.challenger:.4f} and the old one's {loss.champion:.4f} "
            f"(the old one is better: {p_is(loss.p_worse)}).",
        ),
    )
    return _concluded(checks, spent + 2.0 * level, information >= 1.0, settings)


def _concluded(checks: tuple[Check, ...], spent: float, powerful: bool, settings: ProbationSettings) -> Probation:
    failed = [check for check in checks if not check.passed]
    if failed:
        sentence = f"The new champion is worse than the old one. {failed[0].sentence}"
        return Probation(ProbationState.HARMFUL, sentence, checks, spent)
    if powerful:
        sentence = (
            f"The new champion has passed its probation. The tests find a loss of {settings.detect:g} in AUC with "
            f"{settings.power:.0%} probability, and found none."
        )
        return Probation(ProbationState.PASSED, sentence, checks, spent)
    sentence = "No harm is found. The probation goes on with the next outcomes."
    return Probation(ProbationState.WATCHING, sentence, checks, spent)


def _information(std_error: float, settings: ProbationSettings) -> float:
    # Two tests share α, so each has to have its power at half of it.
    wanted = settings.detect / (stats.upper_quantile(1.0 - settings.power) + stats.upper_quantile(settings.alpha / 2.0))
    return 1.0 if std_error <= wanted else (wanted / std_error) ** 2


def _harmful(estimated: Estimated, settings: ProbationSettings) -> bool:
    """An estimate rests on assumptions: it has to show the whole loss that matters, beyond its error."""
    reach = stats.upper_quantile(settings.alpha / 2.0) * estimated.std_error
    return estimated.difference + reach < -settings.detect


def _estimated_check(estimated: Estimated, settings: ProbationSettings, labels: Floats) -> Check:
    harmful = _harmful(estimated, settings)
    end = f"The loss is larger than {settings.detect:g}." if harmful else f"A loss of {settings.detect:g} is not found."
    return Check(
        "estimated_auc",
        not harmful,
        estimated.difference,
        -settings.detect,
        estimated.source,
        {"rows": int(labels.size), "defaults": int(np.count_nonzero(labels == 1.0))},
        f"Before the outcomes are known, the new champion's AUC minus the old one's is estimated at "
        f"{signed(estimated.difference, 4)} (standard error {estimated.std_error:.4f}). {end}",
    )


def settle(ledger: Ledger, probation: Probation, promotion: Promotion, *, at: datetime) -> Promotion | None:
    """Roll the promotion back when the probation found harm; None when there is nothing to do. Idempotent."""
    if probation.state is not ProbationState.HARMFUL:
        return None
    return rollback(
        ledger,
        expected_seq=promotion.seq,
        at=at,
        by="riskloop",
        reason=probation.sentence,
        kind=PromotionKind.PROBATION,
        evidence={"checks": [documents.plain(check) for check in probation.checks]},
    )


def on_probation(promotions: Sequence[Promotion]) -> Promotion | None:
    """The promotion that is to be watched: the last, if it brought a challenger and there is one to go back to."""
    if not promotions:
        return None
    last = promotions[-1]
    watched = last.kind.brings_challenger and last.previous is not None
    return last if watched else None
