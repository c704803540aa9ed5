"""Models: the ledger, which version served when, one version, and two of them side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, select

from riskloop.core.errors import NotFound
from riskloop.core.manifest import ModelManifest
from riskloop.core.numbers import number, percent
from riskloop.core.settings import Settings
from riskloop.core.types import Json, Promotion, from_micros
from riskloop.results import ChallengerFileResult, SideBySideResult
from riskloop.store.artefacts import Artefacts
from riskloop.store.database import Database
from riskloop.store.ledger import Ledger, ModelVersion, served
from riskloop.store.tables import models as models_table
from riskloop.web import figures, words
from riskloop.web.challenger import drawn
from riskloop.web.manifests import manifest
from riskloop.web.orders import rollback_order

SIZE: Final = 25
SPANS: Final = 12  # of the picture of who served when
LEAST: Final = 0.8  # percent of the picture's width, so that the shortest service is seen
TOP: Final = 12  # features by importance


@dataclass(frozen=True, slots=True)
class Listed:
    """A version in the list."""

    row: ModelVersion
    champion: bool
    spans: list[tuple[datetime, datetime | None]]


@dataclass(frozen=True, slots=True)
class Reign:
    """A span of serving in the picture, in percent of its width."""

    version: int
    start: float
    width: float
    first: datetime
    end: datetime | None


def models(database: Database, ledger: Ledger, now: datetime, before: int | None, ledger_before: int | None) -> Json:
    """Versions and promotions, the newest first, a page of each."""
    history = ledger.promotions()
    champion = history[-1] if history else None
    query = select(models_table.c.version).order_by(models_table.c.version.desc()).limit(SIZE + 1)
    if before is not None:
        query = query.where(models_table.c.version < before)
    with database.read() as connection:
        numbers = list(connection.execute(query).scalars())
    listed = [_listed(ledger.model(number), history) for number in numbers[:SIZE]]
    entries = [p for p in reversed(history) if ledger_before is None or p.seq < ledger_before]
    versions = [entry.row.version for entry in listed]
    return {
        "models": listed,
        "older": versions[-1] if len(numbers) > SIZE else None,
        "first_page": before is None,
        "ledger": entries[:SIZE],
        "ledger_older": entries[SIZE - 1].seq if len(entries) > SIZE else None,
        "ledger_first": ledger_before is None,
        "bars": _bars(history[-SPANS:], now),
        "champion": champion,
        "rollback": rollback_order(champion),
        "pair": _pair(versions, champion),
    }


def _listed(row: ModelVersion, history: Sequence[Promotion]) -> Listed:
    champion = bool(history) and history[-1].version == row.version
    return Listed(row, champion, served(history, row.version))


def _pair(versions: Sequence[int], champion: Promotion | None) -> tuple[int, int] | None:
    """What is worth comparing first: the champion and the one before it, else the newest two."""
    if champion is not None and champion.previous is not None:
        return champion.previous, champion.version
    return (versions[1], versions[0]) if len(versions) > 1 else None


def _bars(history: Sequence[Promotion], now: datetime) -> list[Reign]:
    if not history:
        return []
    first = history[0].at
    whole = max(1.0, (now - first).total_seconds())
    bars = []
    for promotion, following in zip(history, [*history[1:], None], strict=True):
        end = None if following is None else following.at
        start = min(100.0 - LEAST, 100.0 * (promotion.at - first).total_seconds() / whole)
        length = 100.0 * ((end or now) - promotion.at).total_seconds() / whole
        bars.append(Reign(promotion.version, start, max(LEAST, length), promotion.at, end))
    return bars


# --------------------------------------------------------------------------- one version


def model(ledger: Ledger, artefacts: Artefacts, version: int) -> Json:
    """One version: how it was made, how good it was, what it reads, when it served."""
    row = ledger.model(version)
    written = manifest(artefacts, ledger, version)
    history = ledger.promotions()
    importance = sorted(written.importance.items(), key=lambda item: -item[1])
    last = history[-1] if history else None
    return {
        "row": row,
        "manifest": written,
        "data": written.training.span,
        "entry": _listed(row, history),
        "promotions": [promotion for promotion in reversed(history) if promotion.version == version],
        "importance": [(name, share) for name, share in importance[:TOP] if share > 0.0],
        "largest": importance[0][1] if importance else 1.0,
        "protected": [written.schema.names[i] for i in written.schema.protected_columns],
        "inputs": len(written.schema.model_columns),
        "rollback": rollback_order(last) if last is not None and last.version == version else None,
        "beside": _beside(ledger.database, version),
        "against": last.version if last is not None and last.version != version else row.parent,
    }


def _beside(database: Database, version: int) -> tuple[int | None, int | None]:
    """The version before and the one after."""
    with database.read() as connection:
        last = int(connection.execute(select(func.coalesce(func.max(models_table.c.version), 0))).scalar_one())
    return (version - 1 if version > 1 else None), (version + 1 if version < last else None)


# --------------------------------------------------------------------------- two versions


def comparison(
    settings: Settings,
    ledger: Ledger,
    artefacts: Artefacts,
    first: int,
    second: int,
    compared: SideBySideResult,
    read: ChallengerFileResult | None,
) -> Json:
    """Two versions side by side; ``compared`` is what `Portfolio.side_by_side` found, ``read`` what the gate kept.

    Where no decision is new to both, as after a challenger was fitted on all rows, the gate's own scores are shown.
    """
    rows = ledger.model(first), ledger.model(second)
    written = manifest(artefacts, ledger, first), manifest(artefacts, ledger, second)
    found, first_time, last_time = compared.versions, compared.first_time, compared.last_time
    return {
        "first": rows[0],
        "second": rows[1],
        "manifests": written,
        "compared": compared,
        "found": found,
        "span": (from_micros(first_time), from_micros(last_time)) if first_time and last_time else None,
        "versions": _versions(ledger.database),
        "settings": _different(written[0], written[1]),
        "read": read,
        "file": None if found or read is None else read.file,
        "names": (f"version {first}", f"version {second}"),
        "figures": _curves(found) if found else {} if read is None else drawn(settings, read),
    }


def _versions(database: Database) -> list[int]:
    """What can be chosen: the newest versions."""
    query = select(models_table.c.version).order_by(models_table.c.version.desc()).limit(100)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def _curves(found: Sequence[Json]) -> dict[str, Json]:
    by_name = {f"version {one['version']}": one for one in found}
    most = max(max(one["calibration"][side]) for one in found for side in ("expected", "observed"))
    return {
        "roc": figures.roc({name: (one["roc"]["x"], one["roc"]["y"]) for name, one in by_name.items()}),
        "calibration": figures.reliability(
            {n: (one["calibration"]["expected"], one["calibration"]["observed"]) for n, one in by_name.items()}, most
        ),
        "scores": figures.scores(
            found[0]["scores"]["edges"],
            {name: one["scores"]["shares"] for name, one in by_name.items()},
            {name: one["threshold"] for name, one in by_name.items()},
        ),
    }


def _different(first: ModelManifest, second: ModelManifest) -> list[tuple[str, Any, Any]]:
    """Settings, features and libraries in which two manifests differ."""
    one, other = _flat(_settings(first)), _flat(_settings(second))
    names = dict.fromkeys([*one, *other])
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def _settings(written: ModelManifest) -> Json:
    training, schema = written.training, written.schema
    return {
        "learner": written.learner,
        "threshold": percent(written.threshold, 2),
        "training rows": number(training.rows),
        "training defaults": number(training.defaults),
        "training until": None if training.span is None else words.day(training.span[1]),
        "weighting": None if training.record is None else training.record.weighting,
        "blended with a model from before the change": "yes" if training.blended else "no",
        "inputs": ", ".join(schema.names[i] for i in schema.model_columns),
        "settings": written.settings,
        "library": written.libraries,
    }


def _flat(value: Any, name: str = "") -> Mapping[str, Any]:
    if not isinstance(value, dict):
        return {name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{name}.{key}" if name else str(key))
    return found


def pair_of(ledger: Ledger, first: int | None, second: int | None) -> tuple[int, int]:
    """The versions to compare; the champion and the one before it when none is named."""
    if first is not None and second is not None:
        return first, second
    versions = _versions(ledger.database)
    found = _pair(versions, ledger.champion())
    if found is None:
        raise NotFound("There are not two versions to compare yet; a retraining or `riskloop train` makes the next.")
    return first or found[0], second or found[1]
