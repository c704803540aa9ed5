"""Sections of a model's report: limits, changes, settings and people."""

from datetime import datetime
from typing import Final

from sqlalchemy import select

from riskloop.cases import known_harm
from riskloop.cases.events import Judged
from riskloop.core.english import counted
from riskloop.core.numbers import number, percent
from riskloop.core.types import from_micros
from riskloop.document.parts import (
    Block,
    Bullets,
    Facts,
    Grid,
    Said,
    missing,
)
from riskloop.document.record import ModelRecord
from riskloop.document.write import day, flat, moment, words
from riskloop.store.database import Database
from riskloop.store.ledger import ModelVersion
from riskloop.store.tables import audit

LOOP: Final = "riskloop"  # what the loop itself signs with
SHOWN: Final = 20  # versions in the change log


def limits(record: ModelRecord) -> list[Block]:
    home, schema = record.home, record.manifest.schema
    ranges = [
        f"{f.name}: {f.range[0]:g} to {f.range[1]:g}" for f in schema.features if f.kind == "number" and
        (f.low is not None or f.high is not None)
    ]  # fmt: skip
    unseen = [f.name for f in schema.features if f.unseen == "flag"]
    items = []
    if ranges:
        items.append(f"A value outside of these limits is refused, not scored: {'; '.join(ranges)}.")
    if unseen:
        items.append(f"A level never seen is scored as missing and flagged: {', '.join(unseen)}.")
    rate = home.settings.exploration.rate
    items.append(
        f"{percent(rate)} of the declined are approved at random, so that something is known of them."
        if rate
        else "Nobody is approved at random: declined customers are known only as far as outcomes are reported for them."
    )
    marked = home.cases.unresolved()
    harm = known_harm(marked, record.row.version, home.ledger.alike(record.row.version)) if marked else []
    items += [f"Unresolved: case {case.id} of {day(case.opened_at)}. {case.sentence}" for case in harm]
    blocks: list[Block] = [Bullets(tuple(items))]
    if "limits" not in record.quoted:
        blocks.append(missing("Assumptions and limits as people see them"))
    return blocks


def changes(record: ModelRecord) -> list[Block]:
    home, version = record.home, record.row.version
    promotions = [p for p in home.ledger.promotions() if version in (p.version, p.previous)]
    blocks: list[Block] = []
    if promotions:
        rows = tuple(
            (
                str(p.seq),
                moment(p.at),
                f"version {p.version}" + ("" if p.previous is None else f" after {p.previous}"),
                words(p.kind.value),
                p.by,
                p.reason,
            )
            for p in promotions
        )
        head = ("No.", "When", "Champion", "How", "By", "Reason")
        blocks.append(Grid("Ledger of promotions", head, rows, words=6))
    else:
        blocks.append(Said("This version was never champion."))
    line = [m for m in home.ledger.models() if m.version <= version][-SHOWN:]
    versions = tuple(
        (str(m.version), day(m.created_at), words(m.learner), words(m.origin), _parent(m), number(m.auc, 4))
        for m in line
    )
    head = ("Version", "Registered", "Learner", "Origin", "Parent", "AUC")
    times = sum(p.version == version for p in promotions)
    said = f"Version {version} was made champion {counted(times, 'time')}" if times else "It was never champion"
    newer = len(home.ledger.models()) - version
    said += f", and {counted(newer, 'newer version')} {'is' if newer == 1 else 'are'} registered."
    return [Said(said, "lead"), *blocks, Grid("Versions up to this one", head, versions, words=5)]


def _parent(row: ModelVersion) -> str:
    return "none" if row.parent is None else f"version {row.parent}"


def settings(record: ModelRecord) -> list[Block]:
    manifest = record.manifest
    pairs = [("seed", str(manifest.seed)), *flat(manifest.settings)]
    pairs += [(f"library {name}", version) for name, version in sorted(manifest.libraries.items())]
    return [Said("Settings that shaped the model, and the libraries that it was made with:"), Facts(tuple(pairs))]


def people(record: ModelRecord) -> list[Block]:
    rows = [(moment(at), by, words(action)) for at, by, action in _deeds(record.home.database, record.row.version)]
    promotions = record.home.ledger.promotions()
    rows += [
        (moment(p.at), p.by, f"promotion {p.seq}: {words(p.kind.value)}")
        for p in promotions
        if p.version == record.row.version
    ]
    for case in record.cases:
        steps = record.home.cases.steps(case.id)
        rows += [
            (moment(step.at), step.by, f"case {case.id}: {words(step.state.value)}")
            for step in steps
            if step.by != LOOP and not isinstance(step.event, Judged)
        ]
    head = ("When", "Who", "What")
    blocks: list[Block] = [Grid("Who did what", head, tuple(dict.fromkeys(rows)), words=3)] if rows else []
    if "people" not in record.quoted:
        blocks.append(missing("Owner, developer and independent validator"))
    return blocks


def _deeds(database: Database, version: int) -> list[tuple[datetime, str, str]]:
    query = select(audit.c.at, audit.c.by, audit.c.action).where(audit.c.subject == f"model {version}")
    with database.read() as connection:
        return [(from_micros(r.at), r.by, r.action) for r in connection.execute(query.order_by(audit.c.id))]
