"""A history played through a portfolio of its own, on a clock that stops every week and at each period's end.

A worker in production turns the loop all the time: outcomes come in every day, and a new champion does not wait for the
first of the month. What has been played is on disk: decisions are logged under a key for each turn, outcomes and cycles
can be repeated, so an interrupted replay goes on from the last finished turn with the same numbers.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from riskloop.backtest.history import History, Played
from riskloop.backtest.policies import Policy
from riskloop.core.errors import DataError, GateRefused
from riskloop.core.manifest import ModelManifest
from riskloop.core.settings import Settings, settings_text
from riskloop.core.types import Decisions, Floats, Ints, PromotionKind, from_micros, to_micros
from riskloop.loop.first import first_lessons, train_first
from riskloop.promote import promote
from riskloop.scoring.decide import decide
from riskloop.scoring.model import Model, load_model
from riskloop.simulation.feeds import SimulatedFeed
from riskloop.store.appender import ChunkKey
from riskloop.store.artefacts import Artefacts
from riskloop.store.files import make_folder
from riskloop.store.home import CONFIG, Home
from riskloop.store.ledger import Ledger
from riskloop.store.outcomes import Outcome

Tick = Callable[[str, float], None]
PROGRESS: Final = "progress.json"
TURN: Final = timedelta(days=7)


def first_champion(folder: Path, history: History, tick: Tick | None = None) -> None:
    """Train the first model in a portfolio at ``folder``; every policy starts from a copy of it."""
    if folder.exists():
        return
    make_folder(folder.parent)
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.building-", dir=folder.parent))
    try:
        home = _opened(building, history.settings)
        try:
            start = history.periods[0].first  # what was final by then was known
            train_first(
                home.settings,
                home.artefacts,
                home.ledger,
                first_lessons(history.past, home.settings, start, complete_until=start),
                now=start,
                by="back-test",
                progress=tick,
            )
        except GateRefused as refused:
            # A lender would ask a person. Here the question is what would have come of it: `below_floor` says so.
            (weak,) = home.ledger.models()
            reason = f"Promoted for the back-test alone. {refused.message}"
            promote(
                home.ledger,
                weak.version,
                expected_seq=0,
                kind=PromotionKind.FIRST,
                at=start,
                by="back-test",
                reason=reason,
                fingerprint=weak.sha256,
            )
        except DataError as error:
            raise DataError(
                f"The first model of the back-test, of {history.first_name} to {history.last_name}, cannot be trained: "
                f"{error.message} More periods for it: --train-on."
            ) from None
        finally:
            home.close()
        try:
            building.rename(folder)
        except OSError:
            if not folder.exists():  # else another process trained the very same first
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def below_floor(folder: Path, history: History) -> list[str]:
    """A sentence where the first model at ``folder`` would not have become champion without a person."""
    home = Home.open(folder, history.settings)
    try:
        auc = home.artefacts.read(
            home.ledger.model(home.champion().version).artefact, ModelManifest
        ).manifest.metrics.auc
    finally:
        home.close()
    floor = history.settings.train.floor_auc
    if auc >= floor:
        return []
    return [
        f"The first model, of {history.first_name} to {history.last_name}, has a cross-validated AUC of {auc:.4f}, "
        f"below train.floor_auc ({floor:g}): in production it becomes champion only if a person promotes it. It is "
        "replayed as if one had. More periods for it: --train-on."
    ]


def replay(
    folder: Path,
    first: Path,
    history: History,
    policy: Policy,
    tick: Callable[[int], None] = lambda done: None,
    feed: SimulatedFeed | None = None,
) -> None:
    """Play all periods under a policy in a portfolio at ``folder``, a copy of ``first`` if there is none yet.

    Outcomes come on the day on which they are final, or as a new ``feed`` hands them in. A feed remembers what it still
    owes, so that a replay with one begins anew.
    """
    if feed is not None:
        shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        copy = folder.with_name(f"{folder.name}.copying")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(first, copy)
        copy.rename(folder)
    home = _opened(folder, policy.applied(history.settings))
    try:
        periods, finished = _progress(folder)
        for number in range(periods, len(history.periods)):
            for turn in turns(history, number, policy)[finished:]:
                _play(home, history, number, turn, policy, feed)
                finished += 1
                _mark(folder, number, finished)
            finished = 0
            _mark(folder, number + 1, finished)
            tick(number + 1)
    finally:
        home.close()


def played(folder: Path) -> int:
    """How many periods are finished."""
    return _progress(folder)[0]


def _progress(folder: Path) -> tuple[int, int]:
    """Finished periods, and finished turns of the one after them."""
    try:
        done = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        return int(done["periods"]), int(done["turns"])
    except FileNotFoundError:
        return 0, 0


def _mark(folder: Path, periods: int, finished: int) -> None:
    written = folder / f"{PROGRESS}.new"
    written.write_text(json.dumps({"periods": periods, "turns": finished}), encoding="utf-8")
    written.replace(folder / PROGRESS)


def _opened(folder: Path, settings: Settings) -> Home:
    """The portfolio in ``folder``. Its riskloop.toml is for people who look into it later; nothing here reads it."""
    (folder / CONFIG).write_text(settings_text(settings), encoding="utf-8")
    return Home.open(folder, settings)


# --------------------------------------------------------------------------- one period


@dataclass(frozen=True)
class Turn:
    """A part of a period: the rows that arrive in it are decided by one champion, and then the loop turns."""

    key: str
    first: datetime
    end: datetime
    rows: slice  # positions in the period


def turns(history: History, number: int, policy: Policy) -> list[Turn]:
    """A period in parts of about a week, or whole where it is shorter or has no loop to turn."""
    period = history.periods[number]
    length = period.end - period.first
    parts = max(1, round(length / TURN)) if policy.monitored else 1
    ends = [*(period.first + length * part / parts for part in range(1, parts)), period.end]
    cuts = [0, *np.searchsorted(arrivals(period), [to_micros(end) for end in ends[:-1]]).tolist(), len(period.rows)]
    return [
        Turn(f"{period.name}, turn {part + 1}", first, end, slice(cuts[part], cuts[part + 1]))
        for part, (first, end) in enumerate(zip([period.first, *ends], ends, strict=False))
    ]


def arrivals(period: Played) -> Ints:
    """When each row came, in microseconds, shape (n,), ascending: at its date, or by its place among the others.

    The place counts where the date says nothing: it lies outside the period, as a broken feed may have it, or every
    row has the same one, as in a file of months.
    """
    times, first, end = period.rows.times, to_micros(period.first), to_micros(period.end)
    dated = (times >= first) & (times < end) & bool((times != times[:1]).any())
    places = first + (end - first) * (2 * np.arange(times.size) + 1) // (2 * max(1, times.size))
    came: Ints = np.maximum.accumulate(np.where(dated, times, places))
    return came


def _play(
    home: Home, history: History, number: int, turn: Turn, policy: Policy, feed: SimulatedFeed | None = None
) -> None:
    """The champion decides on the turn's customers; at its end what has matured is known, and the loop turns."""
    period = history.periods[number]
    if turn.rows.start < turn.rows.stop:
        # After an interruption the champion may be a later one already; the turn's is the one at its beginning.
        promotion = home.ledger.champion_at(turn.first) or home.champion()
        model = model_of(home.artefacts, home.ledger, promotion.version)
        decided = _decided(model, period, turn, home.settings.exploration.rate)
        logged = home.decisions.append(decided, ChunkKey(turn.key, period.name))
        if feed is not None:
            times = np.maximum(period.rows.times, arrivals(period))[turn.rows]
            feed.decided(logged.first_id, times, _target(period)[turn.rows], decided.defaults)
    if feed is not None:
        for file in feed.due(turn.end):
            home.outcomes.record(file.outcomes, file.at, complete_until=file.complete_until)
    elif outcomes := matured(history, number, turn, home.settings.portfolio.outcome_window):
        home.outcomes.record(outcomes, turn.end)
    policy.step(home, turn.end)


def _target(period: Played) -> Floats:
    return np.full(len(period.rows), np.nan) if period.rows.target is None else period.rows.target


def _decided(model: Model, period: Played, turn: Turn, exploration: float) -> Decisions:
    rows = period.rows
    if (rows.times == to_micros(period.first)).all():
        # A file of months dates nobody. Outcome windows begin when customers come, so they are logged as they came.
        rows = replace(rows, times=arrivals(period))
    came = rows.take(np.arange(turn.rows.start, turn.rows.stop))
    return decide(model, came, to_micros(turn.end), exploration)


def model_of(artefacts: Artefacts, ledger: Ledger, version: int) -> Model:
    """The model of a version; the latest few stay loaded."""
    return _model(artefacts.root, ledger.model(version).artefact, version)


@lru_cache(maxsize=8)
def _model(root: Path, artefact: str, version: int) -> Model:
    return load_model(Artefacts(root).read(artefact, ModelManifest), version)


def matured(history: History, number: int, turn: Turn, window: timedelta) -> list[Outcome]:
    """What has become final since the last turn's end; ids are consecutive, so they can be counted.

    A customer's outcome window begins when they come, whatever date a broken feed gives them.
    """
    until, since = to_micros(turn.end - window), to_micros(turn.first - window)
    found = []
    first_id = 1
    for position, period in enumerate(history.periods[: number + 1]):
        times = np.maximum(period.rows.times, arrivals(period))[: turn.rows.stop if position == number else None]
        target = _target(period)[: len(times)]
        known = times <= since
        if position == number:
            known[turn.rows] = False
        for row in np.flatnonzero((times <= until) & ~known & ~np.isnan(target)).tolist():
            known_at = from_micros(int(times[row])) + window
            found.append(Outcome(bool(target[row]), known_at, decision_id=first_id + row))
        first_id += len(period.rows)
    return found
