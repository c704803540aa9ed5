"""The first turn of the loop: a labelled history becomes a registered version, and the first one champion."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from riskloop.core.english import counted
from riskloop.core.errors import GateRefused
from riskloop.core.manifest import ModelManifest, benchmark_document
from riskloop.core.progress import silent
from riskloop.core.schema import Schema
from riskloop.core.settings import Settings
from riskloop.core.types import Json, PromotionKind, Rows
from riskloop.data.held import Held
from riskloop.data.leaks import leaks_among
from riskloop.data.maturity import Lessons, lessons
from riskloop.data.opening import files_of
from riskloop.data.read import not_read, read_rows
from riskloop.data.refused import keep_apart, refused_document, write_refused
from riskloop.data.room import room
from riskloop.loop.register import register
from riskloop.promote import promote
from riskloop.store.artefacts import Artefacts
from riskloop.store.history import save_history
from riskloop.store.ledger import Ledger
from riskloop.store.watermark import refuse_future
from riskloop.train.fit import fit
from riskloop.train.memory import row_bytes, too_many

Tick = Callable[[str, float], None]
log = logging.getLogger("riskloop.train")


def read_history(
    source: Any, where: str, schema: Schema, settings: Settings, latest: int, refused: Path | None, tick: Tick
) -> tuple[Rows, Json]:
    """The rows of a history that can be learned from, and what was read of it; the others go to the CSV ``refused``.

    Of a larger one than ``train.max_rows`` a sample. Raises DataError where the rows do not fit into the memory.
    """
    if refused is not None and isinstance(source, Path | str):
        keep_apart(refused, files_of(source))
    free, each = room(), row_bytes(schema, settings)
    held = Held(
        settings.train.max_rows,
        settings.train.seed,
        fits=None if free is None else free // each,
        refuse=lambda rows: too_many(where, rows, each, free or 0),
    )
    checked = read_rows(
        source, schema, target="required", where=where, dialect=settings.data, latest=latest, held=held,
        told=lambda rows: tick(f"reading {where}, {rows:,} rows so far", 0.0),
        aside=silent if refused is None else partial(write_refused, path=refused),
    )  # fmt: skip
    return checked.rows, refused_document(checked, where, not_read(checked.source.names, schema))


def first_lessons(rows: Rows, settings: Settings, now: datetime, complete_until: datetime | None = None) -> Lessons:
    """The checked history rows to learn from: those whose outcome is final, by ``complete_until`` if that is said."""
    refuse_future(complete_until, now + timedelta(days=1), "trained")  # today's date means its end
    portfolio, folds = settings.portfolio, settings.train.folds
    return lessons(rows, settings.row_schema, portfolio.outcome_window, folds, complete_until)


def train_first(
    settings: Settings,
    artefacts: Artefacts,
    ledger: Ledger,
    learned: Lessons,
    *,
    now: datetime,
    by: str,
    progress: Tick | None = None,
) -> Json:
    """Train the learners on a history and register the best.

    The first version that clears ``train.floor_auc`` becomes champion; later ones wait for the gate or a person.
    Raises DataError for rows that cannot be learned from, GateRefused when a first model stays below the floor.
    """
    tick = progress or silent
    tick("keeping the history", 0.01)
    stored = save_history(artefacts, learned.rows, settings.row_schema)
    tick("looking for the size of the trees", 0.02)
    candidate = fit(
        learned.rows,
        settings,
        history=stored,
        immature=learned.immature,
        progress=lambda what, share: tick(what, 0.02 + 0.93 * share),
    )
    tick("comparing the stored model with the fitted one", 0.95)
    version = register(
        artefacts, ledger, candidate, learned.rows, origin="train", now=now, by=by, threads=settings.train.threads
    )
    shown = to_builtins(candidate.manifest)
    left_out = candidate.manifest.training.left_out
    leaks = leaks_among(learned.rows, settings.row_schema)
    notes = [*learned.sentences, *left_out.values(), *(_doubt(name, why) for name, why in leaks.items())]
    for sentence in notes:
        log.info(sentence, extra={"action": "train"})
    return {
        "version": version,
        "learner": candidate.learner,
        **{key: shown[key] for key in ("metrics", "comparison", "threshold")},
        "rows": len(learned.rows),
        "customers": learned.customers,
        "immature": learned.immature,
        "left_out": left_out,
        "benchmark": benchmark_document(candidate.manifest.training.benchmark),
        "notes": notes,
        "sentence": promote_first(ledger, settings, version, candidate.manifest, now, by, notes),
    }


def _doubt(name: str, evidence: str) -> str:
    return (
        f"'{name}' seems to be known only after the decision: {evidence}. If so, name it in 'ignore' of [portfolio], "
        "remove its [features] table and train again: in production the column is empty, or says something else."
    )


def _how_sure(manifest: ModelManifest, floor: float) -> str:
    """How far the AUC may be off, by how many defaults, and how many would show that it is above the floor."""
    metrics, training = manifest.metrics, manifest.training
    good = training.rows - training.defaults
    said = (
        f"Its 95% interval is {metrics.auc_low:.4f} to {metrics.auc_high:.4f}, with "
        f"{counted(training.defaults, 'default')} and {good:,} others. "
    )
    if metrics.auc_high < floor:
        return f"{said}All of it is below the floor. "
    return f"{said}The floor lies within it: more history, above all of the rarer class, can show more. "


def promote_first(
    ledger: Ledger,
    settings: Settings,
    version: int,
    manifest: ModelManifest,
    now: datetime,
    by: str,
    notes: Sequence[str],
) -> str:
    """Make a version champion where there is none, and say what became of it. Raises GateRefused below the floor."""
    champion, auc = ledger.champion(), manifest.metrics.auc
    imported = manifest.training.imported is not None
    if champion is not None:
        if champion.version == version:
            how = "file" if imported else "history"
            return f"Version {version} is champion already. The same {how} and config make the same model."
        return (
            f"Registered version {version} with AUC {auc:.4f}. Version {champion.version} stays champion until "
            f"`riskloop models promote {version} --reason …`."
        )
    floor, measured = settings.train.floor_auc, "AUC on its history" if imported else "cross-validated AUC"
    if auc < floor:
        raise GateRefused(
            f"Version {version} is registered but not promoted: its {measured} of {auc:.4f} is below "
            f"train.floor_auc ({floor:g}). {_how_sure(manifest, floor)}"
            "Look at what `riskloop init` leaves out and why, lower floor_auc in [train] "
            f"of riskloop.toml, or promote it anyway: riskloop models promote {version} --force --reason …"
            f"{''.join(f' {note}' for note in notes)}"
        )
    reason = f"The first model; AUC {auc:.4f}."
    promote(
        ledger,
        version,
        expected_seq=0,
        kind=PromotionKind.FIRST,
        at=now,
        by=by,
        reason=reason,
        fingerprint=ledger.model(version).sha256,
    )
    return f"Version {version} is champion, with {'an' if imported else 'a'} {measured} of {auc:.4f}."
