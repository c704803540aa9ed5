"""Shadows: versions that score live traffic beside the champion, and decide nothing.

They read the log after the decisions were answered: the log is their queue. It is on disk, so nothing is dropped when a
process ends or traffic comes faster than they score; a shadow falls behind, and how far is said.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from riskloop.core import stats
from riskloop.core.errors import DataError, NotFound, RiskloopError
from riskloop.core.manifest import ModelManifest
from riskloop.core.schema import Schema
from riskloop.core.settings import ShadowSettings
from riskloop.core.span import Span
from riskloop.core.types import Bools, DecisionFrame, Floats, Ints, Json
from riskloop.loop.snapshot import without_quarantine
from riskloop.scoring.model import Model, load_model
from riskloop.store.artefacts import Artefact
from riskloop.store.cycles import SHADOW, failed, finished
from riskloop.store.decisions import DecisionLog
from riskloop.store.home import Home
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.shadow import ShadowCount, ShadowRun, ShadowScores, summary
from riskloop.store.windows import Windows

RUN: Final = 10_000  # decisions that are read and scored together
MOST: Final = 20_000  # decisions with outcomes that are compared
LEAST: Final = 10  # of either class
ArtefactOf = Callable[[int], Artefact[ModelManifest]]


def follow(home: Home, champion: int, now: datetime, renew: Callable[[], None]) -> Iterator[str]:
    """Score with each shadow what was logged since the last cycle; what went wrong, in sentences.

    A shadow that fails keeps nothing else from going on, and goes on where it stopped. ``renew`` is called between
    runs.
    """
    settings, wrong = home.settings.shadow, []
    for version in settings.versions:
        if version == champion:
            continue  # it scores the traffic itself
        try:
            _Shadow(home.decisions, ShadowScores(home.database), home.artefact, version).go_on(settings, now, renew)
        except RiskloopError as error:
            wrong.append(f"Shadow of version {version}: {error.message}")
    if wrong:
        failed(home.database, " ".join(wrong), SHADOW)
    elif settings.versions:
        finished(home.database, SHADOW)
    yield from wrong


@dataclass
class _Shadow:
    """One version that follows the log."""

    log: DecisionLog
    kept: ShadowScores
    artefact_of: ArtefactOf
    version: int
    _known: dict[int, Schema] = field(default_factory=dict)

    def go_on(self, settings: ShadowSettings, now: datetime, renew: Callable[[], None]) -> None:
        """Score what is new, at most `shadow.rows`."""
        newest, count = self.log.last_id(), self.kept.count(self.version)
        if count is None:
            self.artefact_of(self.version)  # NotFound for a version that is not registered
            self.kept.begin(self.version, newest, now)
            return
        if count.last_id >= newest:
            return
        model = load_model(self.artefact_of(self.version), self.version)
        first, end = count.last_id + 1, min(newest, count.last_id + settings.rows)
        # Only reading and scoring wait for others: a write that waits would keep the server's commits waiting.
        with ThreadPoolExecutor(1, "riskloop-shadow", initializer=_after_others) as behind:
            while first <= end:
                last = min(end, first + RUN - 1)
                self.kept.keep(behind.submit(self._run, model, first, last).result(), now)
                renew()
                first = last + 1

    def _run(self, model: Model, first: int, last: int) -> ShadowRun:
        whole, both, ours, theirs, total = np.full(last - first + 1, np.nan), 0, 0, 0, 0.0
        for frame in frames(self.log, first, last):
            rows = self._alike(model.schema, frame.model_versions)
            probabilities = model.probabilities(frame.features[rows]) if rows.any() else np.empty(0)
            whole[frame.ids[rows] - first] = probabilities
            shadow, champion = probabilities >= model.threshold, _declined(frame)[rows]
            both += int((shadow & champion).sum())
            ours += int((shadow & ~champion).sum())
            theirs += int((~shadow & champion).sum())
            total += float(frame.probabilities[rows].sum())
        return ShadowRun(self.version, first, last, both, ours, theirs, total, whole)

    def _alike(self, schema: Schema, versions: Ints) -> Bools:
        """Which decisions were made on the columns and levels that the shadow reads."""
        found = np.zeros(len(versions), dtype=np.bool_)
        for version in np.unique(versions).tolist():
            if version not in self._known:
                self._known[version] = self.artefact_of(version).manifest.schema
            found[versions == version] = schema.alike(self._known[version])
        return found


def _after_others() -> None:
    """Let the processor serve everybody else first; of one thread only Linux can say so."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def frames(log: DecisionLog, first: int, last: int) -> Iterator[DecisionFrame]:
    """Consecutive decisions; in parts where a change of the columns lies among them."""
    try:
        yield log.frame(Span(first, last))
    except DataError:
        if first == last:
            raise
        middle = (first + last) // 2
        yield from frames(log, first, middle)
        yield from frames(log, middle + 1, last)


def _declined(frame: DecisionFrame) -> Bools:
    if frame.declined is None:
        raise ValueError("these decisions were read without what was decided")
    return frame.declined


# --------------------------------------------------------------------------- beside the champion


def shadows(home: Home, now: datetime) -> list[Json]:
    """Every version that is a shadow, or was one: what it would have decided, and how that turned out; plain JSON."""
    counts = {count.version: count for count in ShadowScores(home.database).counts()}
    return [
        shadow_view(home, counts.get(version), version, now)
        for version in sorted({*counts, *home.settings.shadow.versions})
    ]


def shadow_of(home: Home, version: int, now: datetime) -> Json:
    """One of them; NotFound for a version that never was a shadow."""
    count = ShadowScores(home.database).count(version)
    if count is None and version not in home.settings.shadow.versions:
        raise NotFound(f"Version {version} is no shadow. `[shadow] versions` in riskloop.toml names those that are.")
    return shadow_view(home, count, version, now)


def shadow_view(home: Home, count: ShadowCount | None, version: int, now: datetime) -> Json:
    """What a version would have decided, and how that turned out."""
    active = version in home.settings.shadow.versions
    document = summary(count, version, home.decisions.last_id(), active=active)
    if count is None or not count.scored:
        return {**document, "outcomes": None}
    threshold = home.artefact(version).manifest.threshold
    turned = _turned_out(home.feed, home.windows, ShadowScores(home.database), count, threshold, now)
    return {**document, "outcomes": turned, "sentence": f"{document['sentence']} {turned['sentence']}"}


def _turned_out(
    feed: OutcomeFeed, windows: Windows, kept: ShadowScores, count: ShadowCount, threshold: float, now: datetime
) -> Json:
    """Both on the same customers, by outcomes that are final: an evenly spread sample of those that were scored."""
    known = feed.maturity(now)
    extent = feed.decisions.extent(Span(count.first_id, count.last_id, end=known.until + 1))
    ids = np.empty(0, np.int64) if extent is None else np.arange(extent.first, extent.last + 1)
    ids = ids[:: max(1, -(-len(ids) // MOST))]
    ids = ids[~np.isnan(kept.scores(count.version, ids))]  # the others may have other columns
    frame = without_quarantine(windows, feed.decisions.chosen(ids.tolist(), known))
    frame = frame.take(np.flatnonzero(~np.isnan(frame.outcomes)))
    shadow = kept.scores(count.version, frame.ids)
    defaults, rows = int(frame.outcomes.sum()), len(frame)
    document: Json = {"rows": rows, "defaults": defaults, "champion_auc": None, "auc": None, "gain": None}
    document |= _swapped(frame, shadow >= threshold)
    if min(defaults, rows - defaults) < LEAST:
        return {**document, "sentence": f"Too few outcomes are final to compare how both rank: {rows:,} decisions, "
                f"{defaults:,} defaults."}  # fmt: skip
    customers = stats.customer_codes(frame.customer_ids)
    test = stats.paired_delong(frame.outcomes, frame.probabilities, shadow, customers=customers)
    reach = stats.upper_quantile(0.025) * test.std_error
    gain = {"estimate": test.difference, "low": test.difference - reach, "high": test.difference + reach}
    document |= {
        "champion_auc": _auc(frame.outcomes, frame.probabilities, customers),
        "auc": _auc(frame.outcomes, shadow, customers),
        "gain": gain,
    }
    return {
        **document,
        "sentence": f"By {rows:,} final outcomes ({defaults:,} defaults) its AUC is {test.auc_challenger:.4f}, the "
        f"champion's {test.auc_champion:.4f}: {gain['estimate']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}).",
    }


def _auc(labels: Floats, scores: Floats, customers: Ints) -> Json:
    interval = stats.auc_interval(labels, scores, customers=customers)
    return {"estimate": interval.estimate, "low": interval.lower, "high": interval.upper}


def _swapped(frame: DecisionFrame, shadow: Bools) -> Json:
    """How those turned out whom only one of the two would approve."""
    champion = _declined(frame)
    return {
        name: _defaulted(frame.outcomes[rows])
        for name, rows in (("swapped_in", champion & ~shadow), ("swapped_out", ~champion & shadow))
    }


def _defaulted(outcomes: Floats) -> Json:
    rows, defaults = int(outcomes.size), int(outcomes.sum())
    if not rows:
        return {"rows": 0, "defaults": 0, "rate": None, "low": None, "high": None}
    interval = stats.wilson_interval(defaults, rows)
    return {
        "rows": rows,
        "defaults": defaults,
        "rate": interval.estimate,
        "low": interval.lower,
        "high": interval.upper,
    }
