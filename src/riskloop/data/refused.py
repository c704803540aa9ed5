"""Rows that were set aside: their places and reasons in a sentence, and as a file to mend and hand in again."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from riskloop.core.errors import ConfigError
from riskloop.core.types import Json
from riskloop.data.read import Checked, Screened, not_read_sentence, reasons_of

SHOWN = 5  # reasons in a summary


def refused_document(checked: Checked, where: str, extra: Sequence[str] = ()) -> Json:
    """What was read, set aside and left out, with the most frequent reasons; ``extra`` columns were not read."""
    used, refused = len(checked.rows), len(checked.refused)
    said = [f"Read {where}: {checked.read:,} rows, {used:,} of them used."]
    if checked.rows.target is not None:
        target = checked.rows.target
        said.append(f"Default rate: {target.mean():.2%} ({int(target.sum()):,} defaults).")
    if checked.left_out:
        said.append(f"{checked.left_out:,} rows have no outcome and are left out.")
    if checked.not_drawn:
        said.append(
            f"{checked.not_drawn:,} other rows are left out: a sample of the customers is learned from (max_rows of "
            "[train])."
        )
    if extra:
        said.append(not_read_sentence(extra))
    said += checked.source.notes
    if refused:
        one = refused == 1
        said.append(
            f"{refused:,} {'row' if one else 'rows'} ({checked.share:.2%}) cannot be read and "
            f"{'is' if one else 'are'} set aside:"
        )
    lines = reason_lines(checked)
    return {
        "rows": checked.read,
        "used": used,
        "refused": refused,
        "left_out": checked.left_out,
        "not_drawn": checked.not_drawn,
        "not_read": list(extra),
        "notes": list(checked.source.notes),
        "sentence": " ".join(said),
        "reasons": lines,
        "by_reason": [{"column": c, "problem": p, "rows": n} for c, p, n in reasons_of(checked.refused)],
    }


def reason_lines(checked: Checked | Screened) -> list[str]:
    """The most frequent reasons, each with its first place."""
    reasons = reasons_of(checked.refused)
    first = {(entry.column, entry.problem): entry for entry in reversed(checked.refused)}
    lines = []
    for column, problem, count in reasons[:SHOWN]:
        entry = first[column, problem]
        place = checked.source.places([entry.position])[0]
        value = "" if entry.value in (None, "") else f" {entry.value!r}"
        named = f"column '{column}':" if column else "the line"
        lines.append(f"  {count:,} × {named}{value} {problem} (first in {place})")
    if len(reasons) > SHOWN:
        lines.append(f"  and {len(reasons) - SHOWN} more reasons")
    return lines


def keep_apart(path: Path, others: Iterable[Path]) -> None:
    """Raise ConfigError where the refused rows would take the place of what is read or written."""
    if any(path.resolve() == other.resolve() for other in others):
        raise ConfigError(f"{path} is read or written by this command; name another file for the refused rows.")


def write_reasons(reasons: Sequence[str], path: Path) -> None:
    """Reasons such as 'line 12: there is no decision 7' as a CSV of place and problem."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["refused_place", "refused_problem"])
        for reason in reasons:
            place, _, problem = reason.partition(": ")
            writer.writerow([place, problem] if problem else ["", place])


def write_refused(checked: Checked | Screened, path: Path) -> None:
    """The refused rows as a CSV: place, column, problem and value, then the row's own columns as they were read."""
    wanted = {entry.position: entry for entry in checked.refused}
    names = checked.source.names
    places = dict(zip(wanted, checked.source.places(list(wanted)), strict=True))
    rows: dict[int, dict[str, Any]] = {}
    for block in checked.source.blocks():
        here = [i for i, position in enumerate(block.positions.tolist()) if position in wanted]
        if here:
            for i, row in zip(here, block.table.take(here).to_pylist(), strict=True):
                rows[int(block.positions[i])] = row
    write_rows(
        path,
        names,
        (
            (places[position], entry.column, entry.problem, entry.value, rows.get(position, {}))
            for position, entry in wanted.items()
        ),
    )


def write_rows(path: Path, names: Sequence[str], refused: Iterable[tuple[str, str, str, Any, Json]]) -> None:
    """Place, column, problem, value and the row itself, as a CSV."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["refused_place", "refused_column", "refused_problem", "refused_value", *names])
        for *head, row in refused:
            writer.writerow([*head, *(row.get(name) for name in names)])
