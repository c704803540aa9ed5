"""One cycle of the loop, from top to bottom; the only place where the stages meet.

    close the windows that are complete  →  judge again those whose outcomes are final  →  move the cases  →
    train and judge challengers  →  promote  →  watch the new champion  →  let shadows score what is new  →
    take out what is too old  →  tell of the cases

Every step ends in one transaction and can be repeated: a worker that dies is replaced by one that goes on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from threading import Thread

from riskloop.alerts import beat_in_background
from riskloop.cases import Case, CaseState, Signal, may
from riskloop.core.errors import RiskloopError
from riskloop.loop import alerts, labels, probation, trial
from riskloop.loop.cases import follow_open_again, follow_rollback, follow_window
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.lineage import tell_lineage
from riskloop.loop.mature import mature, to_judge
from riskloop.loop.mirror import mirror
from riskloop.loop.observe import close, due
from riskloop.loop.renewal import renew
from riskloop.loop.retention import retain
from riskloop.loop.shadow import follow
from riskloop.loop.trainer import Tick
from riskloop.store.home import Home
from riskloop.store.leases import held
from riskloop.store.notices import known_subjects
from riskloop.store.windows import Window, save
from riskloop.tracing import span
from riskloop.train.learners import require_learners

Say = Callable[[str], None]
Clock = Callable[[], datetime]


@dataclass
class Cycle:
    """What one cycle did."""

    closed: list[Window] = field(default_factory=list)
    matured: list[Window] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)  # that moved, as they stand now
    lines: list[str] = field(default_factory=list)  # the same for people
    following: list[Thread] = field(default_factory=list)  # what tells others of it

    def follow(self, wait: bool) -> None:
        """Let others be told before whoever asks goes on. A process that ends starts no threads, as MLflow needs."""
        for thread in self.following if wait else ():
            thread.join()


@span("cycle")
def cycle(
    home: Home,
    now: datetime,
    say: Say = lambda _sentence: None,
    tick: Tick = lambda _sentence, _share: None,
    clock: Clock | None = None,
) -> Cycle:
    """Do everything that is due at ``now``.

    ``say`` hears every sentence at once; ``tick`` hears of every fit of a retraining, and the share that is done.
    A retraining takes minutes, and the ledger has to say when the champion changed, not when the cycle began:
    ``clock`` is asked then. Without one it stays ``now``, as a replay needs it.
    Raises Locked when another worker is at it, NotReady before the first promotion, and ConfigError for a learner
    that a retraining could not fit here.
    """
    require_learners(home.settings)
    done, clock = Cycle(), clock or (lambda: now)

    def tell(sentence: str) -> None:
        done.lines.append(sentence)
        say(sentence)

    with held(home.database, "loop") as lease:
        champion = load(home, home.champion().version)
        for sentence in _observe(home, champion, now, done, tick):
            lease.renew()
            tell(sentence)
        with span("renew"):
            renewed = renew(home, champion, now)
        if renewed is not None:
            tell(renewed.sentence)
        for case in reversed(home.cases.latest(only_open=True)):
            lease.renew()
            moved = advance(home, case, champion, now, say, tick, clock)
            if moved is not None:
                done.cases.append(moved)
                tell(f"Case {moved.id} ({moved.state}): {moved.sentence}")
        lease.renew()
        with span("watch probation"):
            sentence = probation.watch(home, now, clock)
        if sentence:
            tell(sentence)
        done.cases += follow_rollback(home.ledger, home.cases, clock())
        lease.renew()
        with span("shadow"):
            for sentence in follow(home, home.champion().version, now, lease.renew):
                tell(sentence)
        try:
            with span("retain"):
                kept = retain(home, now)
            for sentence in kept.lines:
                tell(sentence)
        except RiskloopError as error:  # it does not keep the loop from going on
            tell(f"Retention: {error.message}")
        home.feed.keep_tallies()  # by what has just left
    told = (
        alerts.notify(home.cases, home.ledger, home.feed, now),
        beat_in_background(home.settings.alerts),
        mirror(home.ledger, home.artefacts, home.settings),
        tell_lineage(home.ledger, home.artefacts, home.windows, home.settings, home.folder),
    )
    done.following = [thread for thread in told if thread is not None]
    return done


def _observe(home: Home, champion: ReferenceModel, now: datetime, done: Cycle, tick: Tick) -> Iterator[str]:
    """Close what is complete and judge again what has matured, each in a transaction with its case."""
    for complete in due(home.decisions, home.windows, home.settings, now):
        tick(f"closing {complete.name}", 0.0)
        with span("close window", window=complete.name, rows=complete.rows):
            window, findings, profile = close(home, champion, complete, now)
            with home.database.write() as connection:
                window = follow_window(connection, home.settings, home.cases, home.windows, window, now)
                save(connection, window, findings, profile)
        done.closed.append(window)
        yield f"{window.name}: {window.rows:,} decisions. {window.sentence}"
    with span("examine outcomes"):
        quarantined = labels.examine(home.feed, home.cases, champion.version, now)
    yield from quarantined
    home.feed.keep_tallies()
    late = alerts.late_feed(home.feed, known_subjects(home.database), now)
    if late is not None and late.late is not None:
        yield late.late
    known = home.feed.maturity(now)
    past = home.decisions.horizon()
    waiting = to_judge(home.windows, home.outcomes, home.settings.portfolio.outcome_window, known, now, past)
    for number, old in enumerate(waiting):
        tick(f"judging {old.name} by its outcomes, {number + 1} of {len(waiting)}", number / len(waiting))
        # The champion that it was compared with may be history by now; then it is judged for the record only.
        model = champion if old.model_version == champion.version else load(home, old.model_version)
        with span("judge window", window=old.name, rows=old.rows):
            found = mature(home, model, old, known, now)
        window = found.window
        if found.suspect is not None:
            yield labels.quarantine(home.cases, champion.version, found.suspect, now)
            known = home.feed.maturity(now)
        if not found.judged and window == old:
            continue
        with home.database.write() as connection:
            if found.judged:
                if model is champion:
                    window = follow_window(connection, home.settings, home.cases, home.windows, window, now)
            elif known.given and old.matured_at is not None and found.suspect is None:
                follow_open_again(connection, home.cases, home.windows, window, now)
            save(connection, window, found.findings)
        if found.judged:
            done.matured.append(window)
        # Whoever waited for the outcomes is told, too, that nothing was found.
        first = found.judged and old.matured_at is None
        if first or window.diagnosis is not old.diagnosis or window.confirmed != old.confirmed:
            yield f"{window.name}, {'by its outcomes' if found.judged else 'outcomes due'}: {window.sentence}"


def advance(
    home: Home, case: Case, champion: ReferenceModel, now: datetime, say: Say, tick: Tick, clock: Clock
) -> Case | None:
    """Take one case as far as it goes now; None when it does not move."""
    trained = None
    if may(case, Signal.JUDGED):
        with span("train challenger", case=case.id):
            trained = trial.train(home, case, champion, now, say, tick)
    current = trained or case
    if current.state is not CaseState.TRAINED:
        return trained
    with span("follow verdict", case=case.id):
        return trial.follow_verdict(home.ledger, home.cases, current, clock())


__all__ = ["Cycle", "advance", "cycle"]
