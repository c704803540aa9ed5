"""All checks, one verdict, and the page that a validator reads."""

from collections.abc import Sequence
from typing import Final

from riskloop.core.settings import GateSettings
from riskloop.core.types import Check, GateReport, Verdict
from riskloop.gate.checks import evidence
from riskloop.gate.evaluation import Context, Evaluation
from riskloop.gate.improvement import Improvement, improvement
from riskloop.gate.rules import ENVELOPE, NOTICES, guardrails

# Guardrails that more outcomes would answer.
_OPEN: Final = {"log_loss": "its log loss may be worse", "money_gain": "it may bring too little money"}


def judge(evaluation: Evaluation, settings: GateSettings, context: Context) -> GateReport:
    """The gate. The order is the policy: no evidence, no gain, harm, outside the envelope, and only then a promotion.

    Nothing is tested, and so nothing of the alpha budget is spent, on fewer defaults than the settings ask for.
    """
    enough = evidence(evaluation, settings, context)
    if not enough.passed:
        missing = int((enough.threshold or 0.0) - evaluation.defaults)
        more = f"at least {missing:,} more defaults" if missing > 0 else "more customers who did not default"
        sentence = f"It is too early to judge version {context.challenger}. The gate needs {more}."
        needed = max(0, missing)
        return GateReport(Verdict.INSUFFICIENT_EVIDENCE, sentence, (enough,), None, None, needed, max(1, needed))
    gain = improvement(evaluation, settings, context)
    guarded = [rule(evaluation, settings, context) for rule in guardrails(settings)]
    envelope = [rule(evaluation, settings, context) for rule in ENVELOPE]
    notices = [rule(evaluation, settings, context) for rule in NOTICES]
    verdict, sentence = _verdict(gain, guarded, envelope, context, settings)
    waits = verdict is Verdict.INSUFFICIENT_EVIDENCE
    return GateReport(
        verdict=verdict,
        sentence=sentence,
        checks=(enough, gain.check, *guarded, *envelope, *notices),
        champion_auc=gain.champion_auc,
        challenger_auc=gain.challenger_auc,
        defaults_needed=max(1, gain.defaults_needed) if waits else None,
        retry_defaults=gain.retry_defaults if waits else None,
    )


def _verdict(
    gain: Improvement, guarded: Sequence[Check], envelope: Sequence[Check], context: Context, settings: GateSettings
) -> tuple[Verdict, str]:
    champion, challenger = f"version {context.champion}", f"Version {context.challenger}"
    failed = [check.name for check in guarded if check.passed is False]
    outside = [check.name for check in envelope if check.passed is False]
    # A guardrail that these people cannot answer is no pass: more outcomes do not help, a person does.
    outside += [f"{check.name} not shown" for check in guarded if check.passed is None and check.sizes.get("undecided")]
    undecided = [_OPEN[check.name] for check in guarded if check.name in _OPEN and check.passed is None]
    if gain.check.passed is False:
        return Verdict.KEEP, f"Keep {champion}. {challenger} is not shown to be better."
    if failed:
        return Verdict.KEEP, f"Keep {champion}. {challenger} fails: {_named(failed)}."
    if gain.check.passed is None:
        return Verdict.INSUFFICIENT_EVIDENCE, f"It is too early to judge {challenger.lower()}. {_wait(gain, settings)}"
    if undecided:
        return (
            Verdict.INSUFFICIENT_EVIDENCE,
            f"It is too early to promote {challenger.lower()}. It ranks better, and {' and '.join(undecided)}. "
            f"The case is tried again after about {gain.retry_defaults:,} more matured defaults.",
        )
    if outside:
        return (
            Verdict.NEEDS_APPROVAL,
            f"{challenger} is better than {champion} and outside the plan: {_named(outside)}. A person must decide.",
        )
    if settings.approval == "always":
        return (
            Verdict.NEEDS_APPROVAL,
            f"{challenger} is better than {champion}, and every guardrail holds. A person must approve it, as every "
            "promotion ([gate] approval).",
        )
    return Verdict.PROMOTE, f"Promote {challenger.lower()}. It is better than {champion}, and every guardrail holds."


def _wait(gain: Improvement, settings: GateSettings) -> str:
    """How long, for which gain, and when it is looked at again: no one number says all three."""
    sentence = (
        f"The gate needs about {gain.defaults_needed:,} more matured defaults to find a true gain of "
        f"{gain.difference} with {settings.power:.0%} probability"
    )
    if gain.defaults_if_real is not None and gain.defaults_if_real < gain.defaults_needed:
        sentence += f", and about {gain.defaults_if_real:,} if the true gain is as large as the one seen ({gain.seen})"
    return (
        f"{sentence}. The case is tried again with a new challenger after about {gain.retry_defaults:,} more, "
        "and may pass then."
    )


def _named(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def sentences(report: GateReport) -> list[str]:
    """The report as a page: the verdict first, then every check in one sentence."""
    return [report.sentence, *(f"{check.word}: {check.sentence}" for check in report.checks)]
