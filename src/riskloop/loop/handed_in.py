"""Outcomes as they are handed in: read, asked whether they can be as complete as they say, and recorded."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Final

import numpy as np

from riskloop.core.errors import DataError
from riskloop.core.manifest import ModelManifest
from riskloop.core.maturity import LATEST, Maturity
from riskloop.core.schema import Schema
from riskloop.core.span import Span
from riskloop.core.types import from_micros, to_micros
from riskloop.data.fetch import fetched
from riskloop.data.opening import files_of
from riskloop.data.outcomes import read_handed_in, read_watermark
from riskloop.data.read import Source
from riskloop.data.refused import keep_apart, write_reasons
from riskloop.loop.snapshot import share_of
from riskloop.store.artefacts import Artefacts
from riskloop.store.ledger import Ledger
from riskloop.store.maturity import OutcomeFeed
from riskloop.store.outcomes import Labels, Recorded

EXPECTED: Final = 10.0  # reports, of which none came: chance gives that once in 20,000


def hand_in(
    feed: OutcomeFeed,
    schema: Schema,
    labels: Source | None,
    at: datetime,
    *,
    by: str,
    complete_until: str | date | datetime | None,
    reason: str | None,
    strict: bool | None,
    refused: Path | None = None,
) -> Recorded:
    """Record what was handed in, and name the rows that were left out in the CSV ``refused``.

    Raises DataError where it cannot be read, belongs to nobody's decision, or cannot be as complete as it says; then
    nothing is recorded, and ``refused`` is written all the same.
    """

    def aside(reasons: Sequence[str]) -> None:
        if refused is not None:
            write_reasons(reasons, refused)

    watermark = None if complete_until is None else read_watermark(complete_until, schema.earliest)
    if labels is None and watermark is None:
        raise DataError("Nothing was handed in: give outcomes, or up to when they are complete.")
    data = feed.settings.data
    with fetched(labels) as here:
        if refused is not None and isinstance(here, Path | str):
            keep_apart(refused, files_of(here))
        handed = read_handed_in(here, schema, data, at, strict=strict, empty=watermark is not None, aside=aside)
    if watermark is not None and watermark <= at and len(handed.labels):
        refuse_beyond(feed, handed.labels, watermark)
    waiting = handed.waiting
    recorded = feed.outcomes.record(
        handed.labels,
        at,
        by=by,
        complete_until=watermark,
        reason=reason,
        definition=feed.settings.outcomes.definition,
        undecided=Labels.of(waiting.rows),
        aside=lambda reasons: aside((*handed.refused, *reasons)),
    )
    aside((*handed.refused, *recorded.reasons))
    notes = (*recorded.notes, *handed.notes, *([waiting.sentence] if waiting.rows else []))
    return replace(recorded, refused=handed.refused, waiting=len(waiting.rows), notes=notes)


def refuse_beyond(feed: OutcomeFeed, labels: Labels, watermark: datetime) -> None:
    """Raise DataError for a watermark up to which the outcomes cannot be complete.

    A file whose latest report is of some day says nothing of who was decided on later. Where some of those would be
    final before the watermark, and nobody has reported any of them though several reports have to be expected, its date
    is a slip, or the file is an old one. Handed in alone a watermark says nothing of a file, and is believed.
    """
    newest = int(labels.known_at.max())
    final = to_micros(watermark - feed.settings.portfolio.outcome_window)
    if newest + 1 >= final:
        return
    span, everything = Span(start=newest + 1, end=final), Maturity(LATEST)
    covered = feed.decisions.coverage(span, everything)
    expected, what = float(covered.approved), "outcomes"
    if feed.settings.outcomes.reported == "defaults":
        frame = feed.decisions.frame(
            span, share=share_of(feed.decisions, span, feed.settings.retrain.max_rows), bare=True
        )
        approved = np.ones(len(frame), dtype=np.bool_) if frame.declined is None else ~frame.declined
        mean = float(frame.probabilities[approved].mean()) if approved.any() else 0.0
        expected, what = expected * mean, "defaults"
    if covered.known or expected < EXPECTED:
        return
    raise DataError(
        f"The outcomes cannot be complete until {watermark:%Y-%m-%d %H:%M} UTC: the latest report of this file is of "
        f"{from_micros(newest):%Y-%m-%d}, and of {covered.approved:,} approved customers who were decided on later and "
        f"would be final by then nobody is reported, where {expected:,.0f} {what} have to be expected. Correct the "
        "date; if it is right, hand it in by itself, without the file. Nothing was recorded."
    )


def learned_from_open(feed: OutcomeFeed, ledger: Ledger, artefacts: Artefacts, at: datetime) -> str | None:
    """That the champion was made of outcomes that do not count (any more), as a sentence; None where it was not."""
    champion = ledger.champion()
    if champion is None:
        return None
    row = ledger.model(champion.version)
    record = artefacts.read(row.artefact, ModelManifest, row.sha256).manifest.training.record
    known = feed.maturity(at)
    if record is None or record.order is None or not known.given or record.order.snapshot.matured_by <= known.until:
        return None
    return (
        f"Version {champion.version}, the champion, learned from outcomes that are open again: its decisions go up to "
        f"{from_micros(record.order.snapshot.matured_by):%Y-%m-%d}. Look whether it should go back "
        "(riskloop models rollback)."
    )
