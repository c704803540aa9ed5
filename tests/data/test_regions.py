"""Which part of a sheet is the table: spacer columns and blank rows belong to it, summaries and legends do not."""

import pytest

from riskloop.data.regions import table_within

HEAD, ROWS = ["id", "x", "y"], [[str(i), str(i % 5), f"t{i % 3}"] for i in range(40)]
TABLE = [HEAD, *ROWS]
SUMMARY = [["branch", "n"], *[[f"B{i}", str(i)] for i in range(6)]]


def wide(*parts: list[list[str]]) -> list[list[str]]:
    """Tables beside one another, with an empty column between."""
    height = max(map(len, parts))
    filled = [[*part, *[[""] * len(part[0])] * (height - len(part))] for part in parts]
    return [[cell for part in filled for cell in (*part[i], "")][:-1] for i in range(height)]


def padded(rows: list[list[str]], width: int = 3) -> list[list[str]]:
    return [[*row, *[""] * (width - len(row))] for row in rows]


NOTES = [["note"], *[[""]] * 20, ["x"], *[[""]] * 18, ["z"]]
BLANK = [[""] * 3]
GRIDS = {
    "alone": (TABLE, 41, (0, 3), ""),
    "a spacer column": (wide([r[:1] for r in TABLE], [r[1:] for r in TABLE]), 41, (0, 4), ""),
    "a table to the right": (wide(TABLE, SUMMARY), 41, (0, 3), "beside"),
    "a table to the left": (wide(SUMMARY, TABLE), 41, (3, 6), "beside"),
    "a sparse column behind a spacer": (
        wide(TABLE, [["note"], *[[""]] * 20, ["x"], *[[""]] * 18, ["y"]]),
        41,
        (0, 5),
        "",
    ),
    "blank rows within": ([*TABLE[:20], *BLANK, *TABLE[20:]], 42, (0, 3), ""),
    "the names on each page": ([*TABLE[:20], *BLANK, HEAD, *TABLE[20:]], 43, (0, 3), ""),
    "totals below": ([*TABLE, *BLANK, ["Total", "99", ""]], 43, (0, 3), ""),
    "a table below": ([*TABLE, *BLANK, *padded(SUMMARY)], 42, (0, 3), "below"),
    "a table above": ([*padded(SUMMARY), *BLANK, *TABLE], 49, (0, 3), ""),
    "empty": ([], 0, (0, 0), ""),
}


@pytest.mark.parametrize("target", ["y", None])
@pytest.mark.parametrize("name", GRIDS)
def test_the_table_of_a_sheet_is_told_from_others(name: str, target: str | None) -> None:
    grid, end, columns, said = GRIDS[name]
    found = table_within(grid, target)
    assert found[1] == columns
    assert found[0] in (end, end - 1) if name == "a table below" else found[0] == end
    assert [said in note for note in found[2]] == ([True] if said else [])
