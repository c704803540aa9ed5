"""How things are written: one label, one tone and one icon for every state, and numbers as people read them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final, Literal

from markupsafe import Markup, escape

from riskloop.cases import CaseState
from riskloop.core.numbers import NOTHING, number, percent, points, signed
from riskloop.core.types import Action, Diagnosis, PromotionKind, Severity, Verdict

Tone = Literal["ok", "quiet", "busy", "watch", "bad", "fault"]
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Label:
    """A state as people read it. The icon and the text say what the colour says."""

    text: str
    tone: Tone
    icon: str  # a symbol of templates/icons.svg


DIAGNOSES: Final[Mapping[str, Label]] = {
    Diagnosis.STABLE: Label("Stable", "ok", "check"),
    Diagnosis.NOT_ENOUGH_DATA: Label("Not enough data", "quiet", "dots"),
    Diagnosis.DATA_FAULT: Label("Data fault", "fault", "fault"),
    Diagnosis.LABEL_FAULT: Label("Label fault", "fault", "fault"),
    Diagnosis.COVARIATE_SHIFT: Label("Covariate shift", "watch", "shift"),
    Diagnosis.PRIOR_SHIFT: Label("Prior shift", "watch", "level"),
    Diagnosis.CONCEPT_DRIFT: Label("Concept drift", "bad", "drift"),
}

ACTIONS: Final[Mapping[str, Label]] = {
    Action.NONE: Label("No action", "quiet", "dots"),
    Action.QUARANTINE: Label("Quarantine", "fault", "fault"),
    Action.RECALIBRATE: Label("Recalibrate", "busy", "retrain"),
    Action.RETRAIN: Label("Retrain", "busy", "retrain"),
}

STATES: Final[Mapping[str, Label]] = {
    CaseState.WATCHING: Label("Watching", "watch", "eye"),
    CaseState.CONFIRMED: Label("Confirmed", "watch", "shift"),
    CaseState.WAITING: Label("Waiting for outcomes", "busy", "clock"),
    CaseState.TRAINED: Label("Challenger trained", "busy", "retrain"),
    CaseState.NEEDS_APPROVAL: Label("Needs approval", "watch", "person"),
    CaseState.QUARANTINED: Label("Quarantined", "fault", "fault"),
    CaseState.PROMOTED: Label("Promoted", "ok", "up"),
    CaseState.REJECTED: Label("Challenger rejected", "quiet", "cross"),
    CaseState.ROLLED_BACK: Label("Rolled back", "watch", "back"),
    CaseState.ENDED: Label("Ended", "quiet", "check"),
}

VERDICTS: Final[Mapping[str, Label]] = {
    Verdict.PROMOTE: Label("Promote", "ok", "up"),
    Verdict.KEEP: Label("Keep the champion", "quiet", "cross"),
    Verdict.INSUFFICIENT_EVIDENCE: Label("Insufficient evidence", "busy", "clock"),
    Verdict.NEEDS_APPROVAL: Label("Needs approval", "watch", "person"),
}

SEVERITIES: Final[Mapping[str, Label]] = {
    Severity.OK: Label("OK", "ok", "check"),
    Severity.NOISE: Label("Chance", "quiet", "noise"),
    Severity.DRIFTED: Label("Drifted", "watch", "shift"),
    Severity.SEVERE: Label("Severe", "bad", "drift"),
    Severity.FAULT: Label("Fault", "fault", "fault"),
    Severity.UNKNOWN: Label("Unknown", "quiet", "dots"),
}

KINDS: Final[Mapping[str, Label]] = {
    PromotionKind.FIRST: Label("First model", "ok", "up"),
    PromotionKind.GATE: Label("By the gate", "ok", "up"),
    PromotionKind.APPROVED: Label("Approved by a person", "ok", "person"),
    PromotionKind.FORCED: Label("Forced by a person", "watch", "person"),
    PromotionKind.ROLLBACK: Label("Rolled back", "watch", "back"),
    PromotionKind.PROBATION: Label("Rolled back on probation", "watch", "back"),
}

SIDES: Final[Mapping[str, str]] = {
    "both_approve": "Approved by both",
    "swapped_in": "Only the challenger approves",
    "swapped_out": "Only the champion approves",
    "both_decline": "Declined by both",
}

OUTCOMES: Final = {"defaulted": "defaulted", "paid": "paid", "unknown": "not known"}
RISK_LEVELS: Final = {"low": "Low", "medium": "Medium", "high": "High", "very_high": "Very high"}


def decided(declined: bool) -> str:
    """What a decision means for the applicant."""
    return "decline" if declined else "approve"


def measured(value: float | None, unit: str, change: bool = False) -> str:
    """A number of the challenger file in its unit; a ``change`` with its sign."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if unit == "share":
        return f"{points(value)} points" if change else percent(value)
    if unit == "count":
        return number(value)
    if unit == "ms":
        return f"{value:.2f} ms"
    digits = 2 if unit in ("ratio", "money") else 4
    return signed(value, digits) if change else number(value, digits)


def sentence(text: str) -> str:
    """With a capital at its start, and everything else as it is."""
    return text[:1].upper() + text[1:]


def moment(value: datetime | None) -> Markup:
    """A `time` element: UTC in the markup, the viewer's zone once the script has run."""
    if value is None:
        return escape(NOTHING)
    return Markup('<time datetime="{}">{}, {} UTC</time>').format(_iso(value), day(value), f"{value:%H:%M}")


def moment_day(value: datetime | None) -> Markup:
    """The day of a moment: that of UTC in the markup, the viewer's once the script has run."""
    if value is None:
        return escape(NOTHING)
    return Markup('<time datetime="{}" data-day>{}</time>').format(_iso(value), day(value))


def when(value: datetime) -> Markup:
    """The time of a decision: a calendar day where no time of day was given, else a moment."""
    return moment(value) if value.time() != time() else escape(day(value))


def day(value: datetime | None) -> str:
    """``5 Sep 2025``, in UTC: a calendar day is not shifted by the viewer's zone."""
    return NOTHING if value is None else f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def _iso(value: datetime) -> str:
    return value.isoformat(timespec="seconds").replace("+00:00", "Z")


def age(span: timedelta) -> str:
    """``3 days``, ``2 hours``, ``< 1 minute``: the largest unit is enough."""
    seconds = int(span.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = seconds // size
        if count >= 1:
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "< 1 minute"


def feature_value(value: object) -> Markup:
    """A decoded input: ``missing`` stands out, long numbers are grouped; shorter ones may be years or codes."""
    if value is None:
        return Markup('<em class="muted">missing</em>')
    return escape(f"{value:,}" if isinstance(value, int | float) and abs(value) >= 10_000 else value)
