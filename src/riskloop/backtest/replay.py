"""A history played through a portfolio of its own, period by period, on a clock that stands at each period's end.

What has been played is on disk: decisions are logged under a key for each period, outcomes and cycles can be
repeated, so an interrupted replay goes on from the last finished period with the same numbers.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from riskloop.backtest.history import History, Played
from riskloop.backtest.policies import Policy
from riskloop.core.settings import AlertSettings, Settings, settings_text
from riskloop.core.types import Bools, Floats, Ints, from_micros, to_micros
from riskloop.loop.first import train_first
from riskloop.serve.scorer import Scorer, load_scorer
from riskloop.store.appender import Chunk, Scored
from riskloop.store.home import CONFIG, Home
from riskloop.store.outcomes import Outcome

Tick = Callable[[str, float], None]
PROGRESS: Final = "progress.json"


def first_champion(folder: Path, history: History, tick: Tick | None = None) -> None:
    """Train the first model in a portfolio at ``folder``; every policy starts from a copy of it."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.building-", dir=folder.parent))
    try:
        _configure(building, history.settings)
        home = Home.open(building)
        try:
            train_first(home, history.past, now=history.periods[0].first, by="back-test", progress=tick)
        finally:
            home.close()
        try:
            building.rename(folder)
        except OSError:
            if not folder.exists():  # else another process trained the very same first
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)


def replay(
    folder: Path, first: Path, history: History, policy: Policy, tick: Callable[[int], None] = lambda done: None
) -> None:
    """Play all periods under a policy in a portfolio at ``folder``, a copy of ``first`` if there is none yet."""
    if not folder.exists():
        copy = folder.with_name(f"{folder.name}.copying")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(first, copy)
        _configure(copy, policy.applied(history.settings))
        copy.rename(folder)
    home = Home.open(folder)
    try:
        for number in range(played(folder), len(history.periods)):
            _play(home, history, number, policy)
            _mark(folder, number + 1)
            tick(number + 1)
    finally:
        home.close()


def played(folder: Path) -> int:
    """How many periods are finished."""
    try:
        return int(json.loads((folder / PROGRESS).read_text(encoding="utf-8"))["periods"])
    except FileNotFoundError:
        return 0


def _mark(folder: Path, periods: int) -> None:
    written = folder / f"{PROGRESS}.new"
    written.write_text(json.dumps({"periods": periods}), encoding="utf-8")
    written.replace(folder / PROGRESS)


def _configure(folder: Path, settings: Settings) -> None:
    quiet = settings.model_copy(update={"alerts": AlertSettings()})  # nobody is told of what happens in a back-test
    (folder / CONFIG).write_text(settings_text(quiet), encoding="utf-8")


# --------------------------------------------------------------------------- one period


def _play(home: Home, history: History, number: int, policy: Policy) -> None:
    """The champion decides on the period's customers; at its end what has matured is known, and the loop turns."""
    period = history.periods[number]
    if len(period.rows):
        home.decisions.append(_decided(home, period), Chunk(f"period {number}", period.name))
    outcomes = _matured(history, number, period.end, home.settings)
    if outcomes:
        home.outcomes.record(outcomes, period.end)
    policy.step(home, period.end)


def _decided(home: Home, period: Played) -> Scored:
    # After an interruption the champion may be a later one already; the period's is the one at its beginning.
    promotion = home.ledger.champion_at(period.first) or home.champion()
    scorer = scorer_of(home, promotion.version)
    probabilities = scorer.probabilities(period.rows.features)
    return Scored(
        customer_ids=period.rows.ids,
        times=period.rows.times.tolist(),
        scored_at=to_micros(period.end),
        model_version=promotion.version,
        probabilities=probabilities,
        defaults=probabilities >= scorer.threshold,
        features=period.rows.features,
    )


def scorer_of(home: Home, version: int) -> Scorer:
    """The scorer of a version; the latest few stay loaded."""
    return _scorer(home.artefacts.root, home.ledger.model(version).artefact, version)


@lru_cache(maxsize=8)
def _scorer(root: Path, artefact: str, version: int) -> Scorer:
    from riskloop.store.artefacts import Artefacts

    return load_scorer(Artefacts(root).read(artefact), version)


def _matured(history: History, number: int, now: datetime, settings: Settings) -> list[Outcome]:
    """The outcomes that have become final since the last period's end; ids are consecutive, so they can be counted."""
    window = settings.portfolio.outcome_window
    until = to_micros(now - window)
    since = to_micros(history.periods[number - 1].end - window) if number else None
    found = []
    first_id = 1
    for position, period in enumerate(history.periods[: number + 1]):
        target = period.rows.target if period.rows.target is not None else np.full(len(period.rows), np.nan)
        due = _due(period.rows.times, target, since if position < number else None, until)
        for row in np.flatnonzero(due).tolist():
            known_at = from_micros(int(period.rows.times[row])) + window
            found.append(Outcome(bool(target[row]), known_at, decision_id=first_id + row))
        first_id += len(period.rows)
    return found


def _due(times: Ints, target: Floats, since: int | None, until: int) -> Bools:
    due: Bools = (times <= until) & ~np.isnan(target)
    return due if since is None else due & (times > since)
