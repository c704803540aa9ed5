"""What is compared: ways to run the loop, and what people do without one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from riskloop.cases import CaseState
from riskloop.core.errors import ConfigError, DataError
from riskloop.core.settings import Settings
from riskloop.core.types import PromotionKind
from riskloop.loop.cycle import cycle
from riskloop.loop.register import register
from riskloop.loop.trial import approve_challenger
from riskloop.promote import promote
from riskloop.retrain.dataset import pool
from riskloop.store.history import load_history
from riskloop.store.home import Home
from riskloop.train.fit import fit

Step = Callable[[Home, datetime], None]  # what happens at the end of a period
BY: Final = "back-test"
PLAIN_FOLDS: Final = 2  # enough to calibrate a model that nobody tests


@dataclass(frozen=True)
class Policy:
    """One way to keep, or not to keep, a model up to date."""

    name: str
    sentence: str
    step: Step
    overrides: dict[str, Any] = field(default_factory=dict)  # of [policy]
    monitored: bool = True  # whether windows are closed and cases opened

    def applied(self, settings: Settings) -> Settings:
        """The settings that this policy runs with."""
        return settings.model_copy(update={"policy": settings.policy.model_copy(update=self.overrides)})


def through_the_loop(home: Home, now: datetime) -> None:
    """One cycle, then the person who is asked: what the gate shows to be better, outside the envelope, is approved."""
    cycle(home, now)
    for case in home.cases.latest(only_open=True):
        if case.state is CaseState.NEEDS_APPROVAL:
            note = "Back-tests approve what the gate shows to be better."
            approve_challenger(home.ledger, home.cases, case, by=BY, note=note, now=now)


def unapproved(home: Home, now: datetime) -> None:
    """One cycle; what needs a person's approval waits for good."""
    cycle(home, now)


def do_nothing(home: Home, now: datetime) -> None:
    """The first model serves for ever."""


def retrain_plainly(home: Home, now: datetime) -> None:
    """Fit the champion's learner to every matured row and exchange the champion, untested."""
    champion = home.champion()
    if champion.at >= now:  # after an interruption: this period's was exchanged already
        return
    manifest = home.artefact(champion.version).manifest
    history = manifest.training.history
    matured = home.decisions.frame(known=home.feed.maturity(now))
    rows = pool(load_history(home.artefacts, history), matured).rows
    plain = home.settings.model_copy(update={"train": home.settings.train.model_copy(update={"folds": PLAIN_FOLDS})})
    try:
        candidate = fit(
            rows,
            plain,
            learners=(manifest.learner,),
            size=manifest.training.size,
            parent=champion.version,
            origin="retrain",
            history=history,
        )
    except DataError:  # nothing that can be learned from: the old model stays
        return
    version = register(
        home.artefacts,
        home.ledger,
        candidate,
        rows,
        origin="retrain",
        now=now,
        parent=champion.version,
        by=BY,
        threads=home.settings.train.threads,
    )
    if version != champion.version:
        promote(
            home.ledger,
            version,
            expected_seq=champion.seq,
            kind=PromotionKind.FORCED,
            at=now,
            by=BY,
            reason="Retrained on all matured rows; nobody tested it.",
            fingerprint=home.ledger.model(version).sha256,
        )


NEVER: Final = Policy("never", "never retrain", do_nothing, monitored=False)
ALWAYS: Final = Policy("always", "retrain every period, without a gate", retrain_plainly, monitored=False)
BASELINES: Final = {policy.name: policy for policy in (NEVER, ALWAYS)}
LOOPS: Final = {
    "on_drift": "retrain when drift is diagnosed and confirmed",
    "on_harm": "retrain only when performance suffers",
    "manual": "monitor, never retrain unasked",
}
ORACLE: Final = "oracle"


def policy_named(text: str, *, approve: bool = True) -> Policy:
    """The policy of a name such as ``on_drift`` or ``scheduled:3``; ConfigError lists the names."""
    name, _, number = text.strip().partition(":")
    step = through_the_loop if approve else unapproved
    if name == "scheduled" and (not number or (number.isdecimal() and int(number) > 0)):
        every = int(number or 3)
        return Policy(
            f"scheduled:{every}", f"retrain every {every} periods", step, {"name": "scheduled", "every": every}
        )
    if number or (name not in LOOPS and name not in BASELINES):
        known = ", ".join([*LOOPS, "scheduled:N", *BASELINES])
        raise ConfigError(f"There is no policy '{text}'; choose among {known}.")
    return BASELINES.get(name) or Policy(name, LOOPS[name], step, {"name": name})


def policies_named(text: str, *, approve: bool = True) -> tuple[Policy, ...]:
    """The policies of a comma-separated list, each once, with the two that they are compared with."""
    asked = [policy_named(part, approve=approve) for part in text.split(",") if part.strip()]
    if not asked:
        raise ConfigError("Name at least one policy, such as --policy on_drift.")
    chosen = {policy.name: policy for policy in (*asked, *BASELINES.values())}
    return tuple(chosen.values())
