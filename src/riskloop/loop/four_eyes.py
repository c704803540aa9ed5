"""Four eyes: whoever had a hand in a version does not decide about it alone."""

from riskloop.cases.case import LOOP
from riskloop.core.errors import GateRefused
from riskloop.store.cases import Cases
from riskloop.store.ledger import Ledger
from riskloop.store.tries import asked_about


def require_another(ledger: Ledger, cases: Cases, version: int, *, by: str) -> None:
    """Raise GateRefused when ``by`` registered a version, asked the gate about it, or moved a case that it is of.

    A person is known by the name alone, in capitals or not, and whether a key, a login or a proxy said it.
    """
    hands: dict[str, str] = {}
    for case in cases.of_challenger(version):
        hands |= {_person(step.by): f"moved case {case.id}" for step in cases.steps(case.id)}
    hands |= {_person(name): "asked the gate about it" for name in asked_about(ledger.database, version)}
    trainer = ledger.model(version).registered_by
    if trainer is not None:
        hands[_person(trainer)] = "trained it"
    deed = hands.get(_person(by))
    if deed is not None and by != LOOP:  # nobody who logs in is called so without the way in before it
        raise GateRefused(
            f"Version {version} needs four eyes ([gate] four_eyes): {by} {deed}, so somebody else has to decide."
        )


def _person(name: str) -> str:
    """One person under all the names that the ways in give: `proxy:Ann` and `ann` are one."""
    return name.rpartition(":")[2].strip().casefold()
