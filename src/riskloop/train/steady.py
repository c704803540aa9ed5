"""Which columns of a wide table say something: those whose evidence holds from one half of the rows to the other.

A wide table of few rows is full of columns that rank well by chance. Each column is cut into tenths, which know nothing
of the outcome, and its information value is taken by the weights of evidence of the other half of the rows.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from riskloop.core.types import Bools, Floats, Ints

CELLS: Final = 4_000_000  # that are looked at at a time
_TENTHS: Final = np.arange(1, 10) / 10


def steadiness(X: Floats, outcomes: Sequence[Bools], weight: Floats, categorical: Sequence[int]) -> Floats:
    """The information value of one half of the rows by the other's evidence, in the worse direction.

    Of every column of X (n, k) for each of the ``outcomes`` (m of (n,)), with the rows' ``weight`` (n,); (m, k). The
    ``categorical`` columns hold codes; missing is a bin of its own.
    """
    found = np.zeros((len(outcomes), X.shape[1]))
    halves = [_halves(default) for default in outcomes]
    levels = set(categorical)
    numbers = np.array([j for j in range(X.shape[1]) if j not in levels], dtype=np.int64)
    width = max(1, CELLS // max(1, len(X)))
    blocks = [(block, _tenths(X[:, block])) for block in np.split(numbers, range(width, len(numbers), width))]
    for j in categorical:
        codes = X[:, [j]]
        blocks.append((np.array([j]), np.where(np.isnan(codes), 0, np.nan_to_num(codes) + 1).astype(np.int64)))
    for block, cell in blocks:
        for number, (default, half) in enumerate(zip(outcomes, halves, strict=True)):
            found[number, block] = _steadiness(cell, default, half, weight)
    return found


def steadiest(X: Floats, default: Bools, weight: Floats, categorical: Sequence[int], most: int) -> Ints:
    """The ``most`` steadiest columns of X (n, k), ascending."""
    order = np.argsort(-steadiness(X, (default,), weight, categorical)[0], kind="stable")
    return np.sort(order[:most])


def _halves(default: Bools) -> Ints:
    """Every other row of each class, in whatever order the file is."""
    half = np.zeros(len(default), dtype=np.int64)
    for kind in (default, ~default):
        half[kind] = np.arange(kind.sum()) % 2
    return half


def _tenths(block: Floats) -> Ints:
    """The tenth of every value within its column, from 1; 0 for missing. Shape of ``block`` (n, c)."""
    there = (~np.isnan(block)).sum(axis=0)
    place = _TENTHS[:, None] * np.maximum(there - 1, 0)
    low = np.floor(place).astype(np.int64)
    values = np.sort(block, axis=0)
    below, above = (np.take_along_axis(values, i, axis=0) for i in (low, np.minimum(low + 1, np.maximum(there - 1, 0))))
    edges = below + (place - low) * (above - below)
    edges[1:][edges[1:] == edges[:-1]] = np.inf  # a value that fills several tenths is in one
    cell = np.ones(block.shape, dtype=np.int64)
    for edge in edges:
        cell += block > edge
    cell[np.isnan(block)] = 0
    return cell


def _steadiness(cell: Ints, default: Bools, half: Ints, weight: Floats) -> Floats:
    """Of each column of bins (n, c), with the half (n,) that each row is in; (c,)."""
    columns, size = cell.shape[1], int(cell.max(initial=0)) + 1
    place = (np.arange(columns) * size + cell) * 2 + half[:, None]
    bad, good = (
        np.bincount(
            place[kind].ravel(), weights=np.repeat(weight[kind], columns), minlength=2 * size * columns
        ).reshape(columns, size, 2)
        for kind in (default, ~default)
    )
    used = (np.arange(size) <= cell.max(axis=0)[:, None])[:, :, None]
    bad, good = np.where(used, bad + 0.5, 0.0), np.where(used, good + 0.5, 0.0)
    bad, good = bad / bad.sum(axis=1, keepdims=True), good / good.sum(axis=1, keepdims=True)
    evidence = np.log(np.where(used, bad, 1.0) / np.where(used, good, 1.0))
    worse: Floats = ((bad - good) * evidence[:, :, ::-1]).sum(axis=1).min(axis=1)
    return worse
