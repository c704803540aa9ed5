"""Files that went wrong on their way, drawn by hypothesis: cells, headers, rows, bytes, containers, planted leaks."""

import gzip
import html
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from riskloop.core.errors import RiskloopError
from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows

ID, TIME, TARGET = "loan_id", "applied", "default"
ROWS: Final = 180
TRAINABLE: Final = 10  # of the rarer class; with fewer no model can be validated, and none is made

Rng = np.random.Generator


def history(rows: int = ROWS, seed: int = 4) -> pd.DataFrame:
    """A small history of texts, as they would be written."""
    rng = np.random.default_rng(seed)
    late, income = rng.integers(0, 5, rows), rng.lognormal(10, 0.5, rows).round(2)
    days = np.sort(rng.integers(0, 700, rows)).astype("timedelta64[D]")
    bad = rng.random(rows) < 1 / (1 + np.exp(2.0 - 0.6 * late))
    frame = pd.DataFrame(
        {
            ID: 100_000 + rng.permutation(rows) * 7,
            TIME: (np.datetime64("2022-01-03") + days).astype(str),
            "income": np.where(rng.random(rows) < 0.05, "", income.astype(str)),
            "late": late,
            "purpose": rng.choice(["Küche", "Auto", "car"], rows),
            TARGET: bad.astype(int),
        }
    )
    return frame.astype(str)


# --------------------------------------------------------------------------- leaks

LEAKS: Final[dict[str, Callable[[Any, Rng], Any]]] = {
    "recoveries": lambda bad, rng: np.where(bad, rng.uniform(1, 900, len(bad)).round(2), 0),
    "chargeoff_date": lambda bad, rng: np.where(bad, "2024-05-01", ""),
    "loan_status": lambda bad, rng: np.where(bad, "Charged Off", "Fully Paid"),
    "row": lambda bad, rng: np.arange(len(bad)),
    "x17": lambda bad, rng: (rng.normal(0, 0.5, len(bad)) + 3.0 * bad).round(4),
    "collector": lambda bad, rng: np.where(bad, rng.choice(["Smith", "Jones"], len(bad)), ""),
    "months_to_payoff": lambda bad, rng: np.where(bad, "", rng.integers(3, 36, len(bad))),
    "flag": lambda bad, rng: np.where(bad, "Y", "N"),
}

# --------------------------------------------------------------------------- cells, headers and rows

Table = list[list[str]]  # the first record is the header


def _cells(column: int, values: list[str], share: float) -> Callable[[Table, Rng], Any]:
    def damage(table: Table, rng: Rng) -> None:
        for row in table[1:]:
            if column < len(row) and rng.random() < share:
                row[column] = str(rng.choice(values))

    return damage


def _in_words(table: Table, rng: Rng) -> None:
    for row in table[1:]:
        if len(row) > 5 and row[5] in ("0", "1"):
            row[5] = str(rng.choice(["Yes", "TRUE", "y"] if row[5] == "1" else ["no", "False", "N"]))


def _longer(table: Table, rng: Rng) -> None:
    for row in table[1:]:
        row.append("")


def _narrower(table: Table, rng: Rng) -> None:
    for row in table:
        del row[2:5]


def _name(column: int, name: str) -> Callable[[Table, Rng], Any]:
    def damage(table: Table, rng: Rng) -> None:
        table[0][column] = name

    return damage


def _row(change: Callable[[Table, int], Any]) -> Callable[[Table, Rng], Any]:
    return lambda table, rng: change(table, int(rng.integers(1, len(table))))


CELLS: Final[dict[str, Callable[[Table, Rng], Any]]] = {
    "words in numbers": _cells(2, ["n/k", "twelve", "#VALUE!", "1.2.3", "1e999", "inf", "٣"], 0.02),
    "many words in numbers": _cells(2, ["about 3", "x", "12 or so"], 0.4),
    "other signs": _cells(2, ["1.234,56", "$1,234", "(1,234)", "13 %", "1'000"], 0.3),
    "huge numbers": _cells(2, ["9" * 40, "1e308", "-1e308", "0.0000000001", "-0"], 0.1),
    "other dates": _cells(1, ["03/04/2022", "2022-13-45", "0001-01-01", "soon", "44600", "1646092800"], 0.1),
    "no dates": _cells(1, ["", "NULL", "?"], 0.6),
    "odd targets": _cells(5, ["2", "maybe", "", "-1"], 0.1),
    "targets in words": _in_words,
    "one class": _cells(5, ["0"], 1.0),
    "no target": _cells(5, [""], 1.0),
    "missing ids": _cells(0, ["", "NaN"], 0.2),
    "the same id": _cells(0, ["100007"], 0.5),
    "ids in powers": _cells(0, ["1.23E+11"], 0.5),
    "odd levels": _cells(4, ["'", "a\nb", "a,b", 'q"q', "\x07", "\u202eabc", "=1+1", "😀", "x" * 5000], 0.1),
    "many levels": _cells(4, [f"level {i}" for i in range(400)], 1.0),
    "nested": _cells(4, ["[1, 2]", '{"a": 1}'], 1.0),
    "no name": _name(2, ""),
    "a blank name": _name(2, "   "),
    "a name twice": _name(2, "late"),
    "a name of lines": _name(4, "purpose\nof the loan"),
    "a long name": _name(3, "n" * 3000),
    "a name of signs": _name(4, '[x]"=\\#'),
    "the target's name twice": _name(2, TARGET),
    "no target's name": _name(5, "defautl"),
    "a header again": _row(lambda t, i: t.insert(i, list(t[0]))),
    "a row twice": _row(lambda t, i: t.insert(i, list(t[i]))),
    "a field lost": _row(lambda t, i: t[i].pop()),
    "a field more": _row(lambda t, i: t[i].append("7")),
    "fields more": _longer,
    "a note": lambda t, rng: t.insert(0, ["Report of the month"]),
    "a title of cells": lambda t, rng: t.insert(0, ["Loans", "", "", "", "", ""]),
    "two headers": lambda t, rng: t.insert(1, ["no", "date", "EUR", "count", "text", "0/1"]),
    "totals": lambda t, rng: t.append(["Total", "", "1", "2", "", "3"]),
    "no header": lambda t, rng: t.pop(0),
    "few rows": lambda t, rng: t.__delitem__(slice(int(rng.integers(1, 30)), None)),
    "no rows": lambda t, rng: t.__delitem__(slice(1, None)),
    "columns lost": _narrower,
}

# --------------------------------------------------------------------------- bytes


def _place(change: Callable[[bytes, int, Rng], bytes]) -> Callable[[bytes, Rng], bytes]:
    return lambda content, rng: change(content, int(rng.integers(0, len(content))), rng) if content else content


BYTES: Final[dict[str, Callable[[bytes, Rng], bytes]]] = {
    "cut off": lambda c, rng: c[: rng.integers(0, len(c) + 1)],
    "a byte": _place(lambda c, p, rng: c[:p] + rng.bytes(1) + c[p + 1 :]),
    "some bytes": _place(lambda c, p, rng: c[:p] + rng.bytes(40) + c[p:]),
    "NULs": _place(lambda c, p, rng: c[:p] + b"\0\0" + c[p:]),
    "a quote": _place(lambda c, p, rng: c[:p] + b'"' + c[p:]),
    "a mark within": _place(lambda c, p, rng: c[:p] + b"\xef\xbb\xbf" + c[p:]),
    "nothing": lambda c, rng: b"",
    "blanks only": lambda c, rng: b" \r\n\t\r\n",
    "a page": lambda c, rng: b"<!DOCTYPE html><html><body>Please log in.</body></html>",
    "an answer": lambda c, rng: b'{"error": "not allowed"}',
    "random": lambda c, rng: rng.bytes(3000),
    "Macintosh": lambda c, rng: c.replace(b"\n", b"\r"),
    "mixed line ends": lambda c, rng: c.replace(b"7\n", b"7\r\n"),
    "UTF-16": lambda c, rng: c.decode(errors="replace").encode("utf-16"),
    "cp1252": lambda c, rng: c.decode(errors="replace").encode("cp1252", errors="replace"),
    "two encodings": lambda c, rng: c[: len(c) // 2] + c[len(c) // 2 :].replace("ü".encode(), b"\xfc"),
    "semicolons": lambda c, rng: c.replace(b",", b";"),
    "some tabs": lambda c, rng: c.replace(b",", b"\t", 40),
}

# --------------------------------------------------------------------------- containers


def _text(table: Table, **options: Any) -> bytes:
    import csv

    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", **options).writerows(table)
    return out.getvalue().encode("utf-8", errors="replace")


def _frame(table: Table) -> pd.DataFrame:
    width = max(len(row) for row in table)
    padded = [[*row, *[""] * (width - len(row))] for row in table]
    return pd.DataFrame(padded[1:], columns=padded[0])


def _sheet(table: Table) -> bytes:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Loans")
    for row in table:
        sheet.append([cell if cell.isprintable() else "?" for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _parquet(table: Table) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    frame = _frame(table)
    out = io.BytesIO()
    columns = [pa.array(frame.iloc[:, i].tolist()) for i in range(frame.shape[1])]
    parquet.write_table(pa.table(columns, names=[str(name) for name in frame.columns]), out)
    return out.getvalue()


def _lines(table: Table) -> bytes:
    return "\n".join(json.dumps(dict(zip(table[0], row, strict=False))) for row in table[1:]).encode()


def _arff(table: Table) -> bytes:
    head = "@relation r\n" + "".join(f"@attribute '{name}' string\n" for name in table[0]) + "@data\n"
    return head.encode("utf-8", errors="replace") + _text([[c or "?" for c in row] for row in table[1:]], quotechar="'")


def _zip(table: Table) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("h.csv", _text(table))
        if len(table) % 2:
            archive.writestr("readme.txt", "see h.csv")
    return out.getvalue()


def _fixed(table: Table) -> bytes:
    widths = [
        max((len(row[i]) for row in table if i < len(row)), default=1) + 2
        for i in range(max(map(len, table), default=0))
    ]
    return "\n".join("".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)) for row in table).encode()


def _page(table: Table) -> bytes:
    rows = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table)
    return f'<html><meta charset="utf-8"><body><table>{rows}</table></body></html>'.encode()


CONTAINERS: Final[dict[str, Callable[[Table], bytes]]] = {
    "h.csv": _text,
    "h.txt": lambda table: _text(table, delimiter="|"),
    "h.csv.gz": lambda table: gzip.compress(_text(table), mtime=0),
    "h.xlsx": _sheet,
    "h.parquet": _parquet,
    "h.jsonl": _lines,
    "h.arff": _arff,
    "h.zip": _zip,
    "h.prn": _fixed,
    "h.xls": _page,
}

# --------------------------------------------------------------------------- one file


@dataclass(frozen=True)
class Plan:
    """What happens to one file."""

    container: str
    cells: tuple[str, ...]
    bytes: tuple[str, ...]
    leak: str | None
    seed: int


def plans() -> st.SearchStrategy[Plan]:
    """Plans, most of them for delimited text."""
    container = st.sampled_from(["h.csv"] * 8 + list(CONTAINERS))
    cells = st.lists(st.sampled_from(sorted(CELLS)), max_size=3).map(tuple)
    damaged = st.lists(st.sampled_from(sorted(BYTES)), max_size=1).map(tuple)
    leak = st.none() | st.sampled_from(sorted(LEAKS))
    return st.builds(Plan, container, cells, damaged, leak, st.integers(0, 2**32 - 1))


def content_of(plan: Plan) -> bytes:
    """The file."""
    rng = np.random.default_rng(plan.seed)
    frame = history()
    if plan.leak is not None:
        frame = frame.sort_values(TARGET, ignore_index=True)
        planted = LEAKS[plan.leak]((frame[TARGET] == "1").to_numpy(), rng)
        frame = frame.assign(**{plan.leak: [str(value) for value in planted]})
    table = [list(frame.columns), *frame.to_numpy().tolist()]
    for name in plan.cells:
        if len(table) > 1 and len(table[0]) > 5:
            CELLS[name](table, rng)
    content = CONTAINERS[plan.container](table)
    for name in plan.bytes:
        content = BYTES[name](content, rng)
    return content


def fate(plan: Plan, folder: Path) -> str:
    """What becomes of the file: 'read', or the sentence with which it is refused.

    Raises AssertionError for a leak that a model could use and for a sentence without place or end, and whatever is no
    refusal.
    """
    path = folder / plan.container
    path.write_bytes(content_of(plan))
    try:
        found = examine(path, Wanted(TARGET, id=ID, time=TIME))
        config = parse_settings(config_text(found))
        rows = read_rows(path, config.row_schema, target="required", where=path.name, dialect=config.data).rows
        assert rows.target is not None
        rarer = min(int((rows.target == 1).sum()), int((rows.target == 0).sum()))
        inputs = {column.name for column in found.of("input")}
        assert plan.leak not in inputs or rarer < TRAINABLE, f"'{plan.leak}' is an input"
        assert found.target.sentence.startswith("Default rate: ")
        return "read"
    except RiskloopError as error:
        said = error.message
    assert path.name in said, f"no place: {said}"
    assert said.endswith((".", "?")), f"no end: {said}"
    assert len(said) < 1500, f"{len(said)} characters: {said[:300]}"
    return said
