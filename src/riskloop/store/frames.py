"""Logged decisions as they are read, from the table and from segments alike: one by one, and column by column."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Row, literal

from riskloop.core.errors import DataError
from riskloop.core.exploration import EXPLORED, rate_of
from riskloop.core.maturity import Maturity
from riskloop.core.types import Decision, DecisionFrame, Floats, Ints, from_micros
from riskloop.store.coding import Coding
from riskloop.store.pieces import Piece
from riskloop.store.tables import decisions

FRAME: Final = (
    decisions.c.id,
    decisions.c.customer_id,
    decisions.c.time,
    decisions.c.model_version,
    decisions.c.probability,
    decisions.c.features,
    decisions.c.is_default,
    decisions.c.flags,
)  # of rows that become a frame
WHOLE: Final = ("customer_id", "time", "probability", "declined", "flags", "features")  # the same of a segment
BARE: Final[tuple[ColumnElement[Any], ...]] = (
    decisions.c.id,
    literal(""),
    decisions.c.time,
    decisions.c.model_version,
    decisions.c.probability,
    literal(b""),
    decisions.c.is_default,
    decisions.c.flags,
)  # of rows that become a frame without customers and features
BARE_OF_SEGMENT: Final = ("time", "probability", "declined", "flags")


def decision_of(row: Row[Any]) -> Decision:
    """A row of the table."""
    return Decision(
        decision_id=row.id,
        customer_id=row.customer_id,
        time=from_micros(row.time),
        scored_at=from_micros(row.scored_at),
        model_version=row.model_version,
        probability=row.probability,
        default=bool(row.is_default),
        features=np.frombuffer(row.features, dtype="<f8").astype(np.float64),
        flags=json.loads(row.flags) if row.flags else {},
    )


def decisions_of(piece: Piece) -> list[Decision]:
    """The decisions of a piece with all columns."""
    segment, matrix = piece.segment, piece.features
    columns = (piece.table[name].to_pylist() for name in ("customer_id", "time", "probability", "declined", "flags"))
    return [
        Decision(
            decision_id=number,
            customer_id=customer,
            time=from_micros(time),
            scored_at=from_micros(segment.scored_at),
            model_version=segment.model_version,
            probability=probability,
            default=declined,
            features=features,
            flags=json.loads(flags) if flags else {},
        )
        for number, features, customer, time, probability, declined, flags in zip(
            piece.ids.tolist(), matrix, *columns, strict=True
        )
    ]


def frame_of_rows(rows: Sequence[Any], coding: Coding | None = None) -> DecisionFrame:
    """Rows of `FRAME` as a frame without outcomes; with a ``coding`` without those that it cannot read."""
    if coding is not None:
        rows = [row for row in rows if coding.knows(row[3])]
    columns = zip(*rows, strict=True) if rows else ((),) * 8
    ids, customers, times, versions, probabilities, features, defaults, flags = columns
    # Most rows have no flag, and of those that have one few are explored: only these are parsed.
    rates = [rate_of(json.loads(text)) if text is not None and EXPLORED in text else 0.0 for text in flags]
    exploration = np.array(rates, dtype=np.float64)
    return DecisionFrame(
        ids=np.array(ids, dtype=np.int64),
        customer_ids=customers,
        times=np.array(times, dtype=np.int64),
        model_versions=np.array(versions, dtype=np.int64),
        probabilities=np.array(probabilities, dtype=np.float64),
        features=_matrix(versions, features, coding) if ids else np.empty((0, 0)),
        outcomes=np.full(len(ids), np.nan),
        declined=np.array(defaults, dtype=np.bool_) | (exploration > 0.0),
        exploration=exploration,
    )


def _matrix(versions: Sequence[int], features: Sequence[bytes], coding: Coding | None) -> Floats:
    """The vectors of rows as (n, k), in the ``coding`` where there is one."""
    if coding is None or all(coding.alike(version) for version in set(versions)):
        if len({len(vector) for vector in features}) > 1:
            raise _different()
        return _vectors(features)
    matrix = np.empty((len(features), len(coding.schema)))
    of = np.array(versions, dtype=np.int64)
    for version in set(versions):
        places = np.flatnonzero(of == version)
        matrix[places] = coding.rows(version, _vectors([features[place] for place in places.tolist()]))
    return matrix


def _vectors(features: Sequence[bytes]) -> Floats:
    return np.frombuffer(b"".join(features), dtype="<f8").astype(np.float64).reshape(len(features), -1)


def frame_of_piece(piece: Piece, coding: Coding | None = None) -> DecisionFrame:
    """A piece of a segment with the columns `WHOLE`, or `BARE_OF_SEGMENT`, as a frame without outcomes."""
    version = piece.segment.model_version
    if coding is not None and not coding.knows(version):
        piece = piece.at(np.empty(0, dtype=np.int64))
    n, exploration = len(piece.ids), rates_of(piece)
    bare = "features" not in piece.table.column_names
    features = np.empty((n, 0)) if bare else piece.features
    return DecisionFrame(
        ids=piece.ids,
        customer_ids=[""] * n if bare else piece.table["customer_id"].to_pylist(),
        times=piece.column("time"),
        model_versions=np.full(n, version, dtype=np.int64),
        probabilities=piece.column("probability"),
        features=features if bare or coding is None else coding.rows(version, features),
        outcomes=np.full(n, np.nan),
        declined=piece.column("declined") | (exploration > 0.0),
        exploration=exploration,
    )


def rates_of(piece: Piece) -> Floats:
    """Where a decision was approved at random the rate, 0 elsewhere; (n,)."""
    rates = np.zeros(len(piece.ids))
    if piece.segment.explored:
        import pyarrow.compute as pc

        marked = pc.match_substring(piece.table["flags"], EXPLORED).fill_null(False).to_numpy()
        for row in np.flatnonzero(marked).tolist():
            rates[row] = rate_of(json.loads(piece.table["flags"][row].as_py()))
    return rates


def joined(frames: Sequence[DecisionFrame]) -> DecisionFrame:
    """Frames as one, ordered by id. Raises DataError where their schemas have different lengths."""
    filled = [frame for frame in frames if len(frame)]
    if len(filled) < 2:
        return filled[0] if filled else frames[0]
    if len({frame.features.shape[1] for frame in filled}) > 1:
        raise _different()
    whole = DecisionFrame(
        ids=np.concatenate([frame.ids for frame in filled]),
        customer_ids=list(chain.from_iterable(frame.customer_ids for frame in filled)),
        times=np.concatenate([frame.times for frame in filled]),
        model_versions=np.concatenate([frame.model_versions for frame in filled]),
        probabilities=np.concatenate([frame.probabilities for frame in filled]),
        features=np.concatenate([frame.features for frame in filled]),
        outcomes=np.concatenate([frame.outcomes for frame in filled]),
        declined=np.concatenate([_read(frame.declined) for frame in filled]),
        exploration=np.concatenate([_read(frame.exploration) for frame in filled]),
    )
    order = np.argsort(whole.ids, kind="stable")
    return whole if (order[1:] > order[:-1]).all() else whole.take(order)


def _read(values: Any) -> Any:
    if values is None:
        raise ValueError("these decisions were read without what was decided")
    return values


def _different() -> DataError:
    return DataError(
        "These decisions were logged under schemas with different numbers of features and cannot be one frame; "
        "choose a narrower range."
    )


# --------------------------------------------------------------------------- outcomes


def latest(found: Mapping[int, float], ids: Ints) -> Floats:
    """The outcome of each decision (n,), NaN where there is none."""
    return np.array([found.get(number, np.nan) for number in ids.tolist()], dtype=np.float64)


def settle(frame: DecisionFrame, reported: Floats, known: Maturity) -> None:
    """Fill in the outcomes that count; the frame is not handed out yet, so its array may be written."""
    approved_at_random = np.zeros(len(frame)) if frame.exploration is None else frame.exploration
    declined = np.zeros(len(frame), dtype=np.bool_) if frame.declined is None else frame.declined
    frame.outcomes[:] = known.settle(reported, frame.times, declined & (approved_at_random == 0.0))
