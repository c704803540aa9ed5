"""Histories as lenders export them: one table, and the many ways to write it."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

ROWS = 240
ID, TIME, TARGET = "loan_id", "applied", "default"


def history(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A small history with a real relation, a gap here and there, and umlauts."""
    rng = np.random.default_rng(seed)
    late = rng.integers(0, 5, rows)
    income = rng.lognormal(10, 0.5, rows).round(2)
    income[rng.random(rows) < 0.05] = np.nan
    odds = -2.0 + 0.6 * late
    days = np.sort(rng.integers(0, 700, rows))
    return pd.DataFrame(
        {
            ID: 100_000 + rng.permutation(rows) * 7,
            TIME: (np.datetime64("2022-01-03") + days.astype("timedelta64[D]")).astype(str),
            "income": income,
            "late": late,
            "purpose": rng.choice(["Küche", "Möbel", "car"], rows),
            TARGET: (rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int),
        }
    )


def text(frame: pd.DataFrame | None = None, **options: Any) -> str:
    """The frame as delimited text."""
    written = history() if frame is None else frame
    return str(written.to_csv(index=False, lineterminator="\n", **options))


Way = Callable[[pd.DataFrame, Path], Path]


def _save(content: bytes | str, path: Path, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def _packed(frame: pd.DataFrame, path: Path, how: str) -> Path:
    with pa.output_stream(str(path), compression=how) as out:
        out.write(text(frame).encode())
    return path


def _zip(frame: pd.DataFrame, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.csv", text(frame))
    return path


def _zip_of(frame: pd.DataFrame, path: Path, way: "Way", name: str, beside: str = "") -> Path:
    """What one of the ways writes, packed; perhaps with a file beside it that is no table."""
    path.with_name(name).unlink(missing_ok=True)
    inside = way(frame, path.with_name(name))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"export/{name}", inside.read_bytes())
        if beside:
            archive.writestr(beside, "All loans of the bank.")
    return path


def _zip_of_parts(frame: pd.DataFrame, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i in (0, 100, 200):
            archive.writestr(f"loans_{i}.csv", text(frame.iloc[i : i + 100]))
    return path


def _workbook(frame: pd.DataFrame, path: Path, fill: "Callable[[Any, list[list[Any]]], None]") -> Path:
    """A sheet that ``fill`` writes: it is given the sheet, and names and rows of the frame."""
    import openpyxl

    book = openpyxl.Workbook()
    cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    fill(book.active, [list(map(str, frame)), *cells])
    book.save(path)
    return path


def _rows_in(sheet: Any, rows: list[list[Any]], *, top: int = 1, left: int = 1) -> None:
    for i, row in enumerate(rows, top):
        for j, value in enumerate(row, left):
            if value not in (None, ""):
                sheet.cell(i, j, value)


BRANCHES: list[list[Any]] = [["branch", "loans", "bad"], *([f"B{i}", 7 * i, i] for i in range(12))]


def _merged_above(sheet: Any, rows: list[list[Any]]) -> None:
    _rows_in(sheet, [["Loan", None, "Applicant", None, None, "Result"], *rows])
    sheet.merge_cells("A1:B1")
    sheet.merge_cells("C1:E1")


def _merged_down(sheet: Any, rows: list[list[Any]]) -> None:
    names = rows[0]
    upper, lower = [*names[:2], "Applicant", None, None, names[5]], [None, None, *names[2:5], None]
    _rows_in(sheet, [["Loans of all branches"], upper, lower, *rows[1:]])
    for cells in ("A2:A3", "B2:B3", "C2:E2", "F2:F3"):
        sheet.merge_cells(cells)


def _beside(sheet: Any, rows: list[list[Any]], *, left: bool = False) -> None:
    _rows_in(sheet, rows, left=5 if left else 1)
    _rows_in(sheet, BRANCHES, left=1 if left else 8)


def _below_it(sheet: Any, rows: list[list[Any]]) -> None:
    _rows_in(sheet, rows)
    _rows_in(sheet, BRANCHES, top=len(rows) + 2)


def _above_it(sheet: Any, rows: list[list[Any]]) -> None:
    _rows_in(sheet, BRANCHES)
    _rows_in(sheet, [["All loans"], *rows], top=15)


def _with_legend(sheet: Any, rows: list[list[Any]]) -> None:
    _rows_in(sheet, rows)
    _rows_in(sheet, [["late: payments"], ["source: DWH"]], top=2, left=8)


def _arrow_stream(frame: pd.DataFrame, path: Path) -> Path:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return path


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    split = json.loads(frame.to_json(orient="split", force_ascii=False))
    return dict(zip(split["columns"], map(list, zip(*split["data"], strict=True)), strict=True))


def _arrays(frame: pd.DataFrame) -> list[Any]:
    return [list(frame), *map(list, zip(*_columns(frame).values(), strict=True))]


def _arff(frame: pd.DataFrame, path: Path) -> Path:
    kinds = {ID: "numeric", TIME: "string", "income": "numeric", "late": "numeric", "purpose": "{'Küche','Möbel',car}"}
    head = "% from an old tool\n@relation loans\n\n"
    head += "".join(f"@attribute {name} {kinds.get(str(name), '{0,1}')}\n" for name in frame) + "\n@data\n"
    return _save(head + text(frame, header=False, na_rep="?"), path)


def _excel(frame: pd.DataFrame, path: Path, **options: Any) -> Path:
    frame.to_excel(path, index=False, **options)
    return path


def _stata(frame: pd.DataFrame, path: Path) -> Path:
    import pyreadstat

    pyreadstat.write_dta(frame, str(path))
    return path


def _spss(frame: pd.DataFrame, path: Path) -> Path:
    import pyreadstat

    pyreadstat.write_sav(frame, str(path))
    return path


def _sas(frame: pd.DataFrame, path: Path) -> Path:
    import pyreadstat

    pyreadstat.write_xport(frame, str(path), file_format_version=8)
    return path


def _folder(frame: pd.DataFrame, path: Path) -> Path:
    path.mkdir()
    for number, part in enumerate((frame.iloc[:100], frame.iloc[100:])):
        _save(text(part if number == 0 else part[list(reversed(part.columns))]), path / f"part-{number}.csv")
    return path


def _json(frame: pd.DataFrame, path: Path, *, lines: bool) -> Path:
    rows = json.loads(frame.to_json(orient="records", force_ascii=False))
    content = "\n".join(json.dumps(row) for row in rows) if lines else json.dumps(rows)
    return _save(content, path)


def _below(frame: pd.DataFrame, line: str) -> str:
    head, _, body = text(frame).partition("\n")
    return f"{head}\n{line}\n{body}"


def _blanks(frame: pd.DataFrame) -> str:
    return text(frame.assign(income=frame["income"].fillna(-1).map("{:.2f}".format).replace("-1.00", "?")), sep=" ")


def _psql(frame: pd.DataFrame) -> str:
    cells = [[str(name), *("" if v != v else str(v) for v in frame[name])] for name in frame]
    widths = [max(map(len, column)) for column in cells]
    lines = [" " + " | ".join(v.rjust(w) for v, w in zip(row, widths, strict=True)) for row in zip(*cells, strict=True)]
    rule = "-" + "-+-".join("-" * width for width in widths) + "-"
    return "\n".join([lines[0], rule, *lines[1:], f"({len(frame)} rows)", ""])


def _of_r(frame: pd.DataFrame) -> str:
    """R's write.table: quoted texts, names of rows, a header that is one field short."""
    shown = frame.assign(purpose=frame["purpose"].map('"{}"'.format), applied=frame[TIME].map('"{}"'.format))
    rows = shown.astype(object).where(shown.notna(), "NA").astype(str).to_numpy().tolist()
    lines = [" ".join([f'"{i}"', *row]) for i, row in enumerate(rows, 1)]
    return "\n".join([" ".join(f'"{name}"' for name in frame), *lines, ""])


def _answered(frame: pd.DataFrame, path: Path) -> Path:
    rows = json.loads(frame.to_json(orient="records", force_ascii=False))
    return _save(json.dumps({"count": len(rows), "data": rows}, indent=1), path)


def _feather(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_feather(path)
    return path


def _orc(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_orc(path)
    return path


def _put_together(frame: pd.DataFrame, mark: str = "") -> str:
    """Monthly files behind one another, each with its header."""
    return text(frame.iloc[:100]) + "".join(mark + text(frame.iloc[i : i + 70]) for i in (100, 170))


def _some_end_with_delimiters(frame: pd.DataFrame) -> str:
    head, *rows = text(frame).splitlines()
    return "\n".join([head, *(row + "," * (i % 3) for i, row in enumerate(rows)), ""])


def _commented(frame: pd.DataFrame, path: Path) -> Path:
    _arff(frame, path)
    return _save(path.read_text(encoding="utf-8").replace("@data\n", "@data\n% the rows\n") + "% end\n", path)


def _within(frame: pd.DataFrame, path: Path) -> Path:
    rows = json.loads(frame.to_json(orient="records", force_ascii=False))
    return _save(json.dumps({"answer": {"meta": {"n": len(rows)}, "rows": rows}}), path)


def fixed(frame: pd.DataFrame, *, gap: int = 2, right: bool = False, head: bool = True, ruled: bool = False) -> str:
    """Columns of fixed widths; numbers to the right with ``right``."""
    cells = [[str(name), *("" if v != v else str(v) for v in frame[name])] for name in frame]
    widths = [max(map(len, column if head else column[1:])) for column in cells]
    to_right = [right and pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    lines = [
        (" " * gap)
        .join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(row, widths, to_right, strict=True))
        .rstrip()
        for row in zip(*cells, strict=True)
    ]
    if ruled:
        lines.insert(1, (" " * gap).join("-" * width for width in widths))
    return "\n".join([*lines[not head :], ""])


def _html(frame: pd.DataFrame, path: Path, encoding: str = "utf-8") -> Path:
    """What a core banking system calls .xls: a page with a title, a table, and a second table of its own."""
    rows = frame.astype(object).where(frame.notna(), "").astype(str)
    head = "".join(f"<th bgcolor=#ccc>{name}</th>" for name in frame)
    body = "".join(
        "<tr>" + "".join(f"<td class=x>{v}</td>" for v in row) + "</tr>\n" for row in rows.to_numpy().tolist()
    )
    text = (
        f'<html><head><meta http-equiv="Content-Type" content="text/html; charset={encoding}"><style>td {{x}}</style>'
        "</head><body><table><tr><td>Loans</td><td>as of &amp;</td></tr><tr><td>Bank</td><td>AG</td></tr></table>"
        f"<h1>Loans</h1><table border=1><tr>{head}</tr>\n{body}</table></body></html>"
    )
    return _save(text, path, encoding)


def _spreadsheet(frame: pd.DataFrame, path: Path) -> Path:
    """Excel's XML of 2003, in which cells without a value are left out."""
    rows = ["<Row>" + "".join(f'<Cell><Data ss:Type="String">{name}</Data></Cell>' for name in frame) + "</Row>"]
    for row in frame.itertuples(index=False):
        cells = [
            f'<Cell ss:Index="{i}"><Data ss:Type="{"String" if isinstance(v, str) else "Number"}">{v}</Data></Cell>'
            for i, v in enumerate(row, 1)
            if v == v
        ]
        rows.append("<Row>" + "".join(cells) + "</Row>")
    text = (
        '<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>\n'
        '<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" '
        'xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet ss:Name="Data"><Table>'
        + "\n".join(rows)
        + "</Table></Worksheet></Workbook>"
    )
    return _save(text, path)


def _sparse(frame: pd.DataFrame, path: Path) -> Path:
    """An ARFF file of which rows name only what is not 0, or not the first level."""
    kinds = {ID: "numeric", TIME: "string", "income": "numeric", "late": "numeric", "purpose": "{car,'Küche','Möbel'}"}
    head = "@relation loans\n" + "".join(f"@attribute {name} {kinds.get(str(name), '{0,1}')}\n" for name in frame)
    rows = []
    for row in frame.itertuples(index=False):
        named = {i: v for i, v in enumerate(row) if v not in (0, "car")}
        rows.append("{" + ", ".join(f"{i} {'?' if v != v else repr(v)}" for i, v in named.items()) + "}")
    return _save(head + "@data\n" + "\n".join(rows) + "\n", path)


def partitions(frame: pd.DataFrame, path: Path) -> Path:
    """A data set in folders called after a column, as Spark and Hive write it."""
    for purpose, part in frame.groupby("purpose", sort=False):
        folder = path / f"purpose={purpose}"
        folder.mkdir(parents=True)
        part.drop(columns="purpose").to_parquet(folder / "part-0.parquet")
    (path / "_SUCCESS").write_text("")
    return path


def _parquet(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_parquet(path)
    return path


# Every way gives the same rows.
WAYS: dict[str, tuple[str, Way]] = {
    "plain": ("h.csv", lambda f, p: _save(text(f), p)),
    "line ends of Windows": ("h.csv", lambda f, p: _save(text(f).replace("\n", "\r\n"), p)),
    "line ends of old Macs": ("h.csv", lambda f, p: _save(text(f).replace("\n", "\r"), p)),
    "no last line end": ("h.csv", lambda f, p: _save(text(f).rstrip("\n"), p)),
    "blank lines between": ("h.csv", lambda f, p: _save(text(f).replace("\n", "\n\n"), p)),
    "blank lines above": ("h.csv", lambda f, p: _save("\n\n" + text(f), p)),
    "byte order mark": ("h.csv", lambda f, p: _save(text(f), p, "utf-8-sig")),
    "semicolons": ("h.csv", lambda f, p: _save(text(f, sep=";"), p)),
    "tabs": ("h.tsv", lambda f, p: _save(text(f, sep="\t"), p)),
    "bars": ("h.txt", lambda f, p: _save(text(f, sep="|"), p)),
    "blanks": ("h.data", lambda f, p: _save(_blanks(f), p)),
    "aligned blanks": ("h.data", lambda f, p: _save(_blanks(f).replace(" ", "   "), p)),
    "decimal commas": ("h.csv", lambda f, p: _save(text(f, sep=";", decimal=","), p)),
    "decimal commas in quotes": ("h.csv", lambda f, p: _save(text(f, decimal=","), p)),
    "all in quotes": ("h.csv", lambda f, p: _save(text(f, quoting=1), p)),
    "Windows-1252": ("h.csv", lambda f, p: _save(text(f), p, "cp1252")),
    "Windows-1252 with semicolons": ("h.csv", lambda f, p: _save(text(f, sep=";", decimal=","), p, "cp1252")),
    "UTF-16": ("h.csv", lambda f, p: _save(text(f, sep="\t"), p, "utf-16")),
    "UTF-16 without a mark": ("h.csv", lambda f, p: _save(text(f), p, "utf-16-le")),
    "UTF-16, big end": ("h.csv", lambda f, p: _save("\ufeff" + text(f), p, "utf-16-be")),
    "gzip": ("h.csv.gz", lambda f, p: _save(gzip.compress(text(f).encode()), p)),
    "gzip, misnamed": ("h.csv", lambda f, p: _save(gzip.compress(text(f).encode()), p)),
    "zstd": ("h.csv.zst", lambda f, p: _packed(f, p, "zstd")),
    "bz2": ("h.csv.bz2", lambda f, p: _packed(f, p, "bz2")),
    "zip": ("h.zip", _zip),
    "a note above": ("h.csv", lambda f, p: _save("Loans, as of 2024-01-01 (confidential)\n" + text(f), p)),
    "a padded note above": ("h.csv", lambda f, p: _save("Loans (confidential),,,,,\n" + text(f), p)),
    "three notes above": ("h.csv", lambda f, p: _save("Report\nBank AG\n\n" + text(f, sep=";"), p)),
    "totals below": ("h.csv", lambda f, p: _save(text(f) + "\nTotal,,5000000,,,37\n", p)),
    "totals, blanks and a page below": (
        "h.csv",
        lambda f, p: _save(text(f) + "Summe,,5000000,,,37\n,,,,,\n,,,,,\nSeite 1 von 1\n,,,,,\n", p),
    ),
    "a count below": ("h.csv", lambda f, p: _save(text(f) + "240 rows\n\n", p)),
    "units below the header": ("h.csv", lambda f, p: _save(_below(f, "number,date,EUR,times,,flag"), p)),
    "two header lines": ("h.csv", lambda f, p: _save("X1,X2,X3,X4,X5,Y\n" + text(f), p)),
    "names with blanks": ("h.csv", lambda f, p: _save(text(f).replace(",", " ,", 4).replace("income ", "income"), p)),
    "NA for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="NA"), p)),
    "? for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="?"), p)),
    "a point for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="."), p)),
    "#N/A for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="#N/A"), p)),
    "blanks for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="  "), p)),
    "null for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="null"), p)),
    "unknown for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="unknown"), p)),
    "Parquet": ("h.parquet", _parquet),
    "Parquet, misnamed": ("h.csv", _parquet),
    "Excel": ("h.xlsx", _excel),
    "Excel with notes": ("h.xlsx", lambda f, p: _excel(f, p, startrow=3)),
    "Excel, second sheet": ("h.xlsx", lambda f, p: _second_sheet(f, p)),
    "ARFF": ("h.arff", _arff),
    "Stata": ("h.dta", _stata),
    "SPSS": ("h.sav", _spss),
    "SAS transport": ("h.xpt", _sas),
    "JSON": ("h.json", lambda f, p: _json(f, p, lines=False)),
    "JSON lines": ("h.ndjson", lambda f, p: _json(f, p, lines=True)),
    "a folder": ("parts", _folder),
    "a table of psql": ("h.txt", lambda f, p: _save(_psql(f), p)),
    "R's write.table": ("h.txt", lambda f, p: _save(_of_r(f), p)),
    "a service's answer": ("h.json", _answered),
    "sep= of Excel": ("h.csv", lambda f, p: _save("sep=;\n" + text(f, sep=";", decimal=","), p)),
    "each row ends with a delimiter": ("h.csv", lambda f, p: _save(text(f, sep=";").replace("\n", ";\n"), p)),
    "characters nobody sees": ("h.csv", lambda f, p: _save(text(f).replace("late", "\u200blate\ufeff", 1), p)),
    "a dash for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="\u2014"), p)),
    "n.d. for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="n.d."), p)),
    "Ctrl-A between": ("h.txt", lambda f, p: _save(text(f, sep="\x01"), p)),
    "carets": ("h.txt", lambda f, p: _save(text(f, sep="^"), p)),
    "tildes": ("h.txt", lambda f, p: _save(text(f, sep="~"), p)),
    "UTF-32": ("h.csv", lambda f, p: _save(text(f), p, "utf-32")),
    "files put together": ("h.csv", lambda f, p: _save(_put_together(f), p)),
    "files with marks put together": ("h.csv", lambda f, p: _save("\ufeff" + _put_together(f, "\ufeff"), p)),
    "some rows end with delimiters": ("h.csv", lambda f, p: _save(_some_end_with_delimiters(f), p)),
    "ids that Excel shall keep": ("h.csv", lambda f, p: _save(text(f.assign(**{ID: f[ID].map('="{}"'.format)})), p)),
    "Ctrl-Z at the end": ("h.csv", lambda f, p: _save(text(f) + "\x1a", p)),
    "Feather": ("h.feather", _feather),
    "ORC": ("h.orc", _orc),
    "JSON, split": ("h.json", lambda f, p: _save(f.to_json(orient="split"), p)),
    "JSON by column": ("h.json", lambda f, p: _save(f.to_json(orient="columns"), p)),
    "JSON by row": ("h.json", lambda f, p: _save(f.to_json(orient="index"), p)),
    "JSON with a schema": ("h.json", lambda f, p: _save(f.to_json(orient="table", index=False), p)),
    "rows deep in an answer": ("h.json", _within),
    "JSON lines with commas": (
        "h.json",
        lambda f, p: _save(f.to_json(orient="records", lines=True).replace("}\n", "},\n"), p),
    ),
    "ARFF with comments": ("h.arff", _commented),
    "sparse ARFF": ("h.arff", _sparse),
    "ZIP of a workbook": ("h.zip", lambda f, p: _zip_of(f, p, _excel, "x.xlsx")),
    "ZIP of Parquet": ("h.zip", lambda f, p: _zip_of(f, p, _parquet, "x.parquet", "README.txt")),
    "ZIP of JSON": ("h.zip", lambda f, p: _zip_of(f, p, lambda g, q: _json(g, q, lines=True), "x.dat")),
    "ZIP beside a licence": (
        "h.zip",
        lambda f, p: _zip_of(f, p, lambda g, q: _save(text(g), q), "x.csv", "doc/LICENCE"),
    ),
    "ZIP of several parts": ("h.zip", _zip_of_parts),
    "JSON with a mark": ("h.json", lambda f, p: _save(json.dumps(_columns(f)), p, "utf-8-sig")),
    "JSON in UTF-16": ("h.json", lambda f, p: _save(f.to_json(orient="records"), p, "utf-16")),
    "JSON lines, misnamed": ("h.csv", lambda f, p: _json(f, p, lines=True)),
    "JSON of columns": ("h.json", lambda f, p: _save(json.dumps(_columns(f)), p)),
    "JSON of arrays": ("h.json", lambda f, p: _save(json.dumps(_arrays(f)), p)),
    "an Arrow stream": ("h.arrows", _arrow_stream),
    "Excel, names below merged cells": ("h.xlsx", lambda f, p: _workbook(f, p, _merged_above)),
    "Excel, names merged down": ("h.xlsx", lambda f, p: _workbook(f, p, _merged_down)),
    "Excel, a table to the right": ("h.xlsx", lambda f, p: _workbook(f, p, _beside)),
    "Excel, a table to the left": ("h.xlsx", lambda f, p: _workbook(f, p, lambda s, r: _beside(s, r, left=True))),
    "Excel, a table below": ("h.xlsx", lambda f, p: _workbook(f, p, _below_it)),
    "Excel, a table above": ("h.xlsx", lambda f, p: _workbook(f, p, _above_it)),
    "Excel, a legend beside": ("h.xlsx", lambda f, p: _workbook(f, p, _with_legend)),
    "names in two lines": (
        "h.csv",
        lambda f, p: _save(f"{ID},{TIME},Applicant,,,{TARGET}\n,,income,late,purpose,\n" + text(f, header=False), p),
    ),
    "fixed widths": ("h.txt", lambda f, p: _save(fixed(f), p)),
    "fixed widths, numbers to the right": ("h.prn", lambda f, p: _save(fixed(f, right=True, gap=1), p)),
    "fixed widths, ruled": ("h.lst", lambda f, p: _save(fixed(f, ruled=True, gap=1), p)),
    "fixed widths, cp1252": ("h.txt", lambda f, p: _save(fixed(f), p, "cp1252")),
    "fixed widths with notes and totals": (
        "h.txt",
        lambda f, p: _save("LOANS AS OF 2024-01-01\nBANK AG\n\n" + fixed(f) + "\nTotal 240 loans\n", p),
    ),
    "a page that is called .xls": ("h.xls", _html),
    "a page in cp1252": ("h.xls", lambda f, p: _html(f, p, "windows-1252")),
    "a page in UTF-16": ("h.html", lambda f, p: _html(f, p, "utf-16")),
    "Excel's XML": ("h.xls", _spreadsheet),
    "a table of Markdown": ("h.md", lambda f, p: _save(_markdown(f), p)),
    "k. A. for missing": ("h.csv", lambda f, p: _save(text(f, na_rep="k. A."), p)),
}


def _markdown(frame: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in frame.astype(object).map(str).to_numpy().tolist()]
    return "\n".join(["| " + " | ".join(map(str, frame)) + " |", "|" + "---|" * frame.shape[1], *lines, ""])


def _second_sheet(frame: pd.DataFrame, path: Path) -> Path:
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"Read me": ["Loans"]}).to_excel(book, sheet_name="Info", index=False)
        frame.to_excel(book, sheet_name="Data", index=False)
    return path


def read_bytes(frame: pd.DataFrame) -> io.BytesIO:
    """The frame as an open CSV."""
    return io.BytesIO(text(frame).encode())
