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
    OUTWEIGHED = "outweighed"  # worse since its promotion, and still better over all since the change began
    PASSED = "passed"
    HARMFUL = "harmful"

    @property
    def goes_on(self) -> bool:
        """Whether further outcomes are looked at."""
        return self in (ProbationState.WATCHING, ProbationState.OUTWEIGHED)


@dataclass(frozen=True, slots=True)
class Estimated:
    """A difference new − old in AUC from before the outcomes, with its error: `monitor` knows how it was estimated."""

    difference: float
    std_error: float
    source: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """What made the case for the new champion, shape (m,): the gate's rows, scored by fits without them."""

    labels: Floats  # 1.0 default, 0.0 none
    new: Floats  # PDs
    old: Floats
    blocks: Ints  # the fit that scored each row for the new champion
    customers: Ints  # numbered as those of the rows since

    def comparable(self) -> bool:
        """Whether any block can tell two rankings apart, by two rows of either class."""
        return any(
            min(np.bincount(self.labels[self.blocks == b] == 1.0, minlength=2)) > 1 for b in np.unique(self.blocks)
        )


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
    harmed: bool = False,
    earlier: Earlier | None = None,
    estimated: Estimated | None = None,
) -> Probation:
    """Both models' PDs, shape (n,), on decisions that matured since the promotion and that neither was trained on.

    ``customers`` (n,) says whose rows they are; without it each is another customer's.

    Half of α goes to the AUC, half to the log loss, and each look may use the part of it that its information has
    earned and earlier looks (``spent``) have not used: a model that is no worse is rolled back with probability α at
    most, however often it is looked at. With power for a loss of ``settings.detect`` in AUC the probation ends.

    A new champion that does worse since may have been made for a world that comes back. With the rows of ``earlier``
    it stays on probation while it is still shown to be better over all of them and those since; ``harmed`` says
    that an earlier look left it there. The old one comes back once that is not shown any more.
    """
    guess = () if estimated is None else (_estimated_check(estimated, settings, labels),)
    if guess and not guess[0].passed:
        return Probation(ProbationState.HARMFUL, guess[0].sentence, guess, spent)
    going_on = ProbationState.OUTWEIGHED if harmed else ProbationState.WATCHING
    defaults = stats.count_customers(customers, labels == 1.0)
    if not labels.size:
        return Probation(going_on, "No outcome that is new to both models has matured yet.", guess, spent)
    if min(defaults, stats.count_customers(customers, labels == 0.0)) < settings.min_defaults:
        sentence = (
            f"{counted(defaults, 'default')} matured since the promotion. The first look needs {settings.min_defaults}."
        )
        return Probation(going_on, sentence, guess, spent)
    ranking = stats.paired_delong(labels, new, old, customers=customers)  # H₀: the old one does not rank better
    loss = stats.paired_log_loss_test(labels, old, new, customers)
    information = _information(ranking.std_error, settings)
    # Harm that was shown once was shown within α; whether it lasts needs no share of it.
    level = (settings.alpha if harmed else max(0.0, settings.alpha * information - spent)) / 2.0
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
    used = spent if harmed else spent + 2.0 * level
    failed = {check.name for check in checks if not check.passed}
    if failed and earlier is not None and earlier.comparable():
        since = Earlier(labels, new, old, np.zeros(labels.size, dtype=np.int64), _numbered(customers, labels.size))
        over_all = tuple(_OVER_ALL[name](earlier, since, settings) for name in sorted(failed))
        if all(check.passed for check in over_all):
            sentence = f"The new champion does worse since its promotion, and stays. {over_all[0].sentence}"
            return Probation(ProbationState.OUTWEIGHED, sentence, (*checks, *over_all), used)
        checks = (*checks, *over_all)
    return _concluded(checks, used, information >= 1.0, settings, going_on)


def _numbered(customers: Ints | None, rows: int) -> Ints:
    return np.arange(rows, dtype=np.int64) if customers is None else customers


def _auc_over_all(earlier: Earlier, since: Earlier, settings: ProbationSettings) -> Check:
    """Is the new champion's AUC higher on average over the defaults of both?

    The errors are added up as if both moved together, because the same customers may be in both.
    """
    parts = [stats.paired_delong(p.labels, p.old, p.new, p.blocks, p.customers) for p in (earlier, since)]
    counts = np.array([part.default_customers for part in parts], dtype=np.float64)
    share = counts / counts.sum()
    gain = float(share @ [part.difference for part in parts])
    error = float(share @ [part.std_error for part in parts])
    p = stats.normal_tail(gain / error) if error else float(gain <= 0.0)
    return _over_all("auc", p, settings, (earlier, since), f"its AUC is {signed(gain, 4)} on average")


def _log_loss_over_all(earlier: Earlier, since: Earlier, settings: ProbationSettings) -> Check:
    """Is the new champion's log loss lower over both?"""
    labels, old, new, customers = (
        np.concatenate((getattr(earlier, name), getattr(since, name))) for name in ("labels", "old", "new", "customers")
    )
    loss = stats.paired_log_loss_test(labels, old, new, customers)
    said = f"its log loss is {signed(loss.difference, 4)}"
    return _over_all("log_loss", loss.p_one_sided, settings, (earlier, since), said)


_OVER_ALL: Final = {"auc": _auc_over_all, "log_loss": _log_loss_over_all}


def _over_all(name: str, p: float, settings: ProbationSettings, parts: tuple[Earlier, Earlier], said: str) -> Check:
    rows = sum(part.labels.size for part in parts)
    defaults = sum(int(np.count_nonzero(part.labels == 1.0)) for part in parts)
    better = p <= settings.alpha
    return Check(
        f"{name}_over_all",
        better,
        p,
        settings.alpha,
        _SOURCE_AUC if name == "auc" else _SOURCE_LOSS,
        {"rows": rows, "defaults": defaults},
        f"Over all {rows:,} decisions since the change that it was made for, {said} beside the old one's "
        f"({'it is' if better else 'it is not shown to be'} better: {p_is(p)}).",
    )


def _concluded(
    checks: tuple[Check, ...], spent: float, powerful: bool, settings: ProbationSettings, going_on: ProbationState
) -> Probation:
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
    return Probation(going_on, sentence, checks, spent)


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
