"""What a person may order, in words: the button, what will happen, and who is asked for a note."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from riskloop.cases import Case, CaseStep, Signal, events, may
from riskloop.core.types import Promotion
from riskloop.store.case_notes import Attention
from riskloop.store.deliveries import Delivery
from riskloop.store.windows import Window

Name = Literal["approve", "reject", "release", "close", "rollback", "comment", "assign", "acknowledge"]
CASE_ORDERS: Final = ("approve", "reject", "release", "close", "comment", "assign", "acknowledge")
WITHOUT_NOTE: Final = frozenset(("assign", "acknowledge"))  # the deed says enough


@dataclass(frozen=True, slots=True)
class PersonOrder:
    """One thing that can be ordered now."""

    name: Name
    action: str  # the address that the form is sent to
    button: str
    title: str
    consequence: str  # one sentence
    primary: bool = False
    seen: Mapping[str, str] = field(default_factory=dict)  # what the form says that the person has looked at
    help: str = "Why. It stays on record with your name and the time."
    to: str | None = None  # the person that a case is assigned to, to be changed; empty: nobody yet

    @property
    def needs_note(self) -> bool:
        """Whether it is refused without a note."""
        return self.name not in WITHOUT_NOTE


def orders_of(
    case: Case, windows: Sequence[Window], steps: Sequence[CaseStep], deliveries: Sequence[Delivery] = ()
) -> list[PersonOrder]:
    """What may be done about a case in its present state; ``deliveries`` are the outcomes that it holds."""
    at = f"/dashboard/cases/{case.id}"
    found = []
    if may(case, Signal.APPROVED):
        found += [
            PersonOrder(
                "approve",
                f"{at}/approve",
                "Approve",
                f"Approve version {case.challenger}",
                f"Version {case.challenger} becomes the champion at once. Every server scores with it within a second, "
                "and it is on probation from then on.",
                primary=True,
                seen=_report(steps),
            ),
            PersonOrder(
                "reject",
                f"{at}/reject",
                "Reject",
                f"Reject version {case.challenger}",
                "The champion stays, and the case is closed. The version stays on record.",
            ),
        ]
    held = [window.name for window in windows if window.quarantined and window.case_id == case.id]
    if held and may(case, Signal.RELEASED):
        found.append(
            PersonOrder(
                "release",
                f"{at}/release",
                "Release the quarantine",
                f"Release {', '.join(held)}",
                f"The decisions of {', '.join(held)} may be learned from again, as they were logged. "
                "Do this only when the values are known to be right.",
            )
        )
    if may(case, Signal.FIXED):
        found.append(
            PersonOrder(
                "close",
                f"{at}/close",
                "Close as fixed at source",
                f"Close case {case.id} as fixed at source",
                "The case is closed, and what is quarantined stays out of every training until a person releases it. "
                "If the fault comes again, a new case opens.",
            )
        )
    files = [delivery.name for delivery in deliveries if delivery.held]
    if files and may(case, Signal.RELEASED):
        found.append(
            PersonOrder(
                "release",
                f"{at}/release",
                "Release the outcomes",
                f"Release {len(files)} deliver{'y' if len(files) == 1 else 'ies'} of outcomes",
                f"The outcomes of {', '.join(files[:5])}{' and more' if len(files) > 5 else ''} count from now on, "
                "as they were handed in, and are not held again. Do this only when they are known to be right.",
            )
        )
    return found


def people_orders(case: Case, people: Attention) -> list[PersonOrder]:
    """What people may say about a case."""
    care = people.care
    at, which = f"/dashboard/cases/{case.id}", f"case {case.id}"
    found = []
    if people.since is not None and care.acknowledged_by is None:
        found.append(
            PersonOrder(
                "acknowledge",
                f"{at}/acknowledge",
                "Acknowledge",
                f"Acknowledge {which}",
                "Others see that you have seen it, and its alert is not repeated. The case goes on as before.",
                help="What you will do, if you like. It stays on record with your name and the time.",
            )
        )
    if case.is_open or case.unresolved or care.assigned_to is not None:
        found.append(
            PersonOrder(
                "assign",
                f"{at}/assign",
                "Assign",
                f"Assign {which}",
                "Who takes care of it stands on its page and in the list. An empty name: nobody."
                if care.assigned_to
                else "Who takes care of it stands on its page and in the list.",
                help="Why, if you like. It stays on record with your name and the time.",
                to=care.assigned_to or "",
            )
        )
    comment = PersonOrder(
        "comment",
        f"{at}/comment",
        "Comment",
        f"Comment on {which}",
        "It stays on record and moves nothing.",
        help="What you have to say. It stays on record with your name and the time.",
    )
    return [*found, comment]


def _report(steps: Sequence[CaseStep]) -> dict[str, str]:
    """The fingerprint of the newest report: who approves means this one, not one that is made meanwhile."""
    said = (step.event for step in reversed(steps))
    return next(({"evidence": event.fingerprint} for event in said if isinstance(event, events.Judged)), {})


def rollback_order(promotion: Promotion | None) -> PersonOrder | None:
    """Putting the champion before the present one back; None where there is none.

    After a rollback there is none: what served before it is the version that was taken back.
    """
    if promotion is None or promotion.previous is None or promotion.kind.takes_back:
        return None
    return PersonOrder(
        "rollback",
        "/dashboard/models/rollback",
        f"Roll back to version {promotion.previous}",
        f"Roll back to version {promotion.previous}",
        f"Version {promotion.previous} becomes the champion again in place of version {promotion.version}, at once "
        "and without a test. Requests in flight finish on the version that they began with.",
        seen={"seq": str(promotion.seq)},
    )
