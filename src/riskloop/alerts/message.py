"""What is told: the same for every channel."""

from dataclasses import dataclass, field

from riskloop.core.settings import AlertSettings
from riskloop.core.types import Json, Urgency


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that people should know of."""

    subject: str  # "case 3": told once
    event: str  # case, case_again, approval, case_ended, promotion, rollback, outcomes_late, silent, test
    urgency: Urgency
    title: str  # one line, without a full stop
    sentence: str
    portfolio: str
    document: Json = field(default_factory=dict)  # what a program wants to know beside it
    link: str | None = None  # to the page that shows it
    ends: str | None = None  # the subject that is over with this
    repeats: str | None = None  # the subject that is told of again with this


def page(settings: AlertSettings, path: str) -> str | None:
    """The address of a page of the dashboard, for people; None where riskloop.toml does not say where they open it."""
    base = settings.link
    return None if base is None else f"{base.rstrip('/')}/{f'dashboard/{path}' if path else ''}"
