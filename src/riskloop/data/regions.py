"""Which part of a sheet is the table: others may stand beside it or below it, as summaries and legends do."""

from collections.abc import Sequence
from typing import Final

from riskloop.data.dialect import Grid, is_header

_ENDS: Final = 0.9  # of the rows of the table: what ends before is no column of it
_LEAST: Final = 3  # rows of a further table; fewer are totals

Span = tuple[int, int]


def table_within(grid: Grid, target: str | None) -> tuple[int, Span, tuple[str, ...]]:
    """The end of the rows of the table, the span of its columns, and what a person should know of the rest.

    The table is the one with a cell that holds the ``target``, else the largest.
    """
    left, right = _columns(grid, target)
    whole = max(map(len, grid), default=0)
    end = _end([row[left:right] for row in grid], target)
    said = []
    if any(cell for row in grid for cell in (*row[:left], *row[right:])) and right - left < whole:
        said.append("beside")
    if any(cell for row in grid[end:] for cell in row):
        said.append("below")
    notes = (f"Cells {' and '.join(said)} the table are taken for another one: NOT READ.",) if said else ()
    return end, (left, right), notes


def _columns(grid: Grid, target: str | None) -> Span:
    """The columns of the table: without others behind empty columns that end long before its rows do."""
    filled = [any(row[i] for row in grid if i < len(row)) for i in range(max(map(len, grid), default=0))]
    groups = _runs(filled)
    if len(groups) < 2:
        return 0, len(filled)
    extents = [_extent(grid, group) for group in groups]
    sizes = [last - first for first, last in extents]
    named = [any(target in row[slice(*group)] for row in grid) for group in groups] if target else []
    main = named.index(True) if any(named) else sizes.index(max(sizes))
    same = [last >= _ENDS * extents[main][1] and last - first >= 0.5 * sizes[main] for first, last in extents]
    left = right = main
    while left and same[left - 1]:
        left -= 1
    while right + 1 < len(groups) and same[right + 1]:
        right += 1
    return (groups[left][0] if left else 0), (groups[right][1] if right + 1 < len(groups) else len(filled))


def _extent(grid: Grid, group: Span) -> Span:
    """The first and the last row that hold something in these columns."""
    rows = [i for i, row in enumerate(grid) if any(row[slice(*group)])]
    return rows[0], rows[-1]


def _end(grid: Grid, target: str | None) -> int:
    """Where the rows of the table end: before a blank row with another header below it."""
    blocks = _runs([any(row) for row in grid])
    if len(blocks) < 2:
        return len(grid)
    sizes = [end - start for start, end in blocks]
    named = [any(target in row for row in grid[slice(*block)]) for block in blocks] if target else []
    main = named.index(True) if any(named) else sizes.index(max(sizes))
    head = grid[blocks[main][0]]
    for start, end in blocks[main + 1 :]:
        places = [i for i, cell in enumerate(grid[start]) if cell]
        rows = [[row[i] for i in places] for row in grid[start:end]]
        if end - start >= _LEAST and grid[start] != head and is_header(rows[0], rows[1:]):
            return start
    return len(grid)


def _runs(filled: Sequence[bool]) -> list[Span]:
    """The spans of what is filled."""
    steps = [i for i, (a, b) in enumerate(zip([False, *filled], [*filled, False], strict=True)) if a != b]
    return list(zip(steps[::2], steps[1::2], strict=True))
