"""Whose outcomes speak? What is known of the declined, and what the comparison would be if more were. Notices only."""

from typing import Final

import numpy as np

from riskloop.core import stats
from riskloop.core.numbers import signed
from riskloop.core.settings import GateSettings
from riskloop.core.types import Check, Floats, Json
from riskloop.gate.checks import applied, sizes, unjudged
from riskloop.gate.evaluation import Context, Evaluation

_COVERAGE: Final = 0.5  # below this ratio the outcomes speak for the approved only
_WORSE: Final = 2.0  # times the odds of default of the declined that scores say, in the harsher assumption


def outcome_coverage(evaluation: Evaluation, _settings: GateSettings, _: Context) -> Check:
    """Selection bias: are there outcomes of the customers that the champion called defaults? Never rejects."""
    source = "reject inference (Hand & Henley, JRSS A 160 (1997) 523–541)"
    found = evaluation.coverage
    if found is None or not found.approved or not found.declined:
        sentence = "How many of the declined customers have outcomes is not known here."
        return unjudged("outcome_coverage", evaluation, _COVERAGE, source, sentence)
    approved, declined = found.approved_known / found.approved, found.declined_known / found.declined
    ratio = declined / approved if approved else 0.0
    seen = ratio >= _COVERAGE
    weighted, details = _for_all(evaluation)
    explored = f", {found.explored:,} of them approved at random" if found.explored else ""
    end = "The tests speak for all customers." if seen else "The tests speak for approved customers only."
    if weighted and not seen:
        end = "The tests speak for approved customers."
    return Check(
        name="outcome_coverage",
        passed=True if seen else None,
        statistic=ratio,
        threshold=_COVERAGE,
        source=source,
        sizes={**sizes(evaluation), "declined": found.declined, "declined_known": found.declined_known},
        sentence=f"Of all decisions up to the latest one whose outcome counts, outcomes are known for {approved:.0%} "
        f"of those that were approved ({found.approved_known:,}) and for {declined:.0%} of those that were declined "
        f"({found.declined_known:,}{explored}). {end}{weighted}",
        details=details,
    )


def _for_all(evaluation: Evaluation) -> tuple[str, Json]:
    """The gain among all applicants, where explored decisions stand for the declined."""
    labels, weights = evaluation.labels, evaluation.weights
    if weights is None or min(np.count_nonzero(labels == 1.0), np.count_nonzero(labels == 0.0)) < 2:
        return "", {}
    gain = stats.weighted_auc_gain(
        labels, evaluation.champion, evaluation.challenger, weights, evaluation.blocks, evaluation.customers
    )
    sentence = (
        f" Weighted for all applicants, declined ones included, the AUC goes from {gain.auc_champion:.4f} to "
        f"{gain.auc_challenger:.4f} ({signed(gain.difference, 4)}, standard error {gain.std_error:.4f})."
    )
    details = {"gain": gain.difference, "std_error": gain.std_error, "applicants": float(weights.sum())}
    return sentence, details


def reject_inference(evaluation: Evaluation, _settings: GateSettings, _: Context) -> Check:
    """Would the challenger still rank better if the applicants without an outcome had one? Under named assumptions.

    Parcelling: each of them counts as a default with the probability that a model says, or with twice its odds, and as
    none with the rest. Each model looks best where its own probabilities are taken for the truth, so these are bounds
    rather than estimates. Never rejects; open where they disagree about who ranks better.
    Source: Hand & Henley, JRSS A 160 (1997) 523–541; parcelling after Siddiqi, Credit Risk Scorecards (2006), ch. 7.
    """
    source = "reject inference by parcelling (Hand & Henley 1997; Siddiqi 2006)"
    n, applicants = evaluation.labels.size, evaluation.applicants
    others = 0 if applicants is None else len(applicants.champion) - n
    if applicants is None or others <= 0:
        sentence = "Every applicant of the tested time has an outcome, or the others are not known: nothing is assumed."
        return unjudged("reject_inference", evaluation, None, source, sentence)
    champion, challenger = applicants.champion[n:], applicants.challenger[n:]
    assumed = {
        "default at the champion's PDs": champion,
        "default at the challenger's PDs": challenger,
        f"default at {_WORSE:g} times the champion's odds": _with_odds(champion, _WORSE),
    }
    gains = {name: parcelled(evaluation, pds) for name, pds in assumed.items()}
    seen = evaluation.ranking.difference
    same = {gain.difference > 0.0 for gain in gains.values()} == {seen > 0.0}
    listed = "; ".join(
        f"{signed(gain.difference, 4)} (± {gain.std_error:.4f}) if they {name}" for name, gain in gains.items()
    )
    end = "every assumption gives the same answer" if same else "the answer depends on what is assumed of them"
    return Check(
        name="reject_inference",
        passed=True if same else None,
        statistic=min(gain.difference for gain in gains.values()),
        threshold=0.0,
        source=source,
        sizes=applied(evaluation) | {"without_outcome": others},
        sentence=f"{others:,} applicants of the tested time have no outcome. With them the change in AUC would be "
        f"{listed}: {end}.",
        details={"assumptions": {name: [gain.difference, gain.std_error] for name, gain in gains.items()}},
    )


def _with_odds(pds: Floats, factor: float) -> Floats:
    odds: Floats = factor * pds
    changed: Floats = odds / (odds + 1.0 - pds)
    return changed


def parcelled(evaluation: Evaluation, pds: Floats) -> stats.WeightedGain:
    """The gain over all applicants; each one without an outcome counts as a default with its part in ``pds``.

    Pooled over blocks: the declined belong to none, and what sets them apart from the approved is the point.
    """
    everybody, n = evaluation.everybody, evaluation.labels.size
    place = np.concatenate((np.arange(n), np.arange(n, len(everybody.champion)), np.arange(n, len(everybody.champion))))
    labels = np.concatenate((evaluation.labels, np.ones(pds.size), np.zeros(pds.size)))
    weights = np.concatenate((np.ones(n), pds, 1.0 - pds))
    customers = place if everybody.customers is None else everybody.customers[place]
    return stats.weighted_auc_gain(
        labels, everybody.champion[place], everybody.challenger[place], weights, customers=customers
    )
