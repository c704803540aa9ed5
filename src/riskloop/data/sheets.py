"""Workbooks: Excel (.xlsx, .xlsm, .xls, .xlsb) and OpenDocument, read by python-calamine."""

import io
import zipfile
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from riskloop.core.errors import DataError, MalformedBody
from riskloop.core.settings import DataSettings
from riskloop.data.dialect import MOST_NOTES, MOST_TOTALS, is_total, layout, names_of, repeated
from riskloop.data.regions import table_within
from riskloop.data.streams import check_size
from riskloop.data.tables import TableSource, refuse_repeats, value_column

Cells = list[list[Any]]
ANYWHERE: Final = {"decimal", "missing", "dates", "strict", "max_refused"}  # says nothing of a sheet's layout


def sheet_source(
    path: Path | bytes, dialect: DataSettings | None, where: str, target: str | None
) -> tuple[TableSource, DataSettings]:
    """One sheet as a table: the one that the dialect names, or the first that holds rows.

    A workbook of one sheet needs no name of it: monthly exports are called after their month. It is laid out as it is
    found to be then. Raises MalformedBody for what is no workbook, DataError when the sheet is not there or empty.
    """
    name, cells = _cells(path, dialect, where)
    everything = [["" if value is None else str(value).strip() for value in row] for row in cells]
    bottom, columns, beside = table_within(everything, target)
    cells = [row[slice(*columns)] for row in cells[:bottom]]
    texts = [["" if value is None else str(value).strip() for value in row] for row in cells]
    if dialect is not None and dialect.sheet not in ("", name):
        dialect = DataSettings(**dialect.model_dump(include=ANYWHERE))
        is_known = False
    else:
        is_known = dialect is not None and dialect != DataSettings(
            sheet=dialect.sheet, missing=dialect.missing, dates=dialect.dates
        )
    notes = beside
    if dialect is None or not is_known:
        if (dialect is None or not dialect.sheet) and (others := _alike(path, name, cells)):
            said = "; ".join(others)
            notes = (
                *notes,
                f"{said} with the same columns: NOT READ. --sheet names one; put them together to use all.",
            )
        found: dict[str, Any] = {**(dialect.model_dump(exclude_defaults=True) if dialect else {})}
        found |= {"sheet": name, **layout(texts, target)}
        dialect = DataSettings(**{**found, "footer": _footer(texts)})
    names = list(dialect.columns)
    if dialect.header:
        names = names_of(texts[dialect.skip]) if dialect.skip < len(texts) else []
    first, end = dialect.skip + dialect.header + dialect.below, len(cells)
    for _ in range(dialect.footer):
        end -= end > first and is_total(texts[end - 1], len(names))
    if not names:
        raise DataError(f"{where} has no header in line {dialect.skip + 1} of sheet '{name}'; see --skip.")
    refuse_repeats(names, where)
    body = [row for row in cells[first:end] if any(value not in ("", None) for value in row)]
    table = pa.table([value_column([row[i] for row in body]) for i in range(len(names))], names=names)
    twice = repeated(texts[dialect.skip]) if dialect.header else frozenset[str]()
    return TableSource(names, lambda: [table], first_row=first + 1, repeated=twice, said=notes), dialect


def _book(path: Path | bytes, where: str) -> Any:
    from python_calamine import CalamineWorkbook

    content = io.BytesIO(path) if isinstance(path, bytes) else path
    if zipfile.is_zipfile(content):
        with zipfile.ZipFile(content) as parts:
            own = len(path) if isinstance(path, bytes) else path.stat().st_size
            check_size(sum(part.file_size for part in parts.infolist()), own, where)

    return (
        CalamineWorkbook.from_filelike(io.BytesIO(path))
        if isinstance(path, bytes)
        else CalamineWorkbook.from_path(str(path))
    )


def _cells(path: Path | bytes, dialect: DataSettings | None, where: str) -> tuple[str, Cells]:
    from python_calamine import CalamineError

    try:
        book = _book(path, where)
        names = list(book.sheet_names)
        if dialect is not None and dialect.sheet and (len(names) > 1 or dialect.sheet in names):
            names = [dialect.sheet]
        if names[0] not in book.sheet_names:
            raise DataError(f"{where} has no sheet '{names[0]}'; it has {', '.join(book.sheet_names)}. See --sheet.")
        for name in names:
            cells = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            if len(cells) > 1 and len(cells[0]) > 1:
                return name, [[_plain(value) for value in row] for row in cells]
    except (CalamineError, OSError, zipfile.BadZipFile) as error:
        raise MalformedBody(f"{where} is not a workbook that can be read: {error}. Save it again.") from None
    raise DataError(f"{where} has no sheet with a table in it.")


def _alike(path: Path | bytes, name: str, cells: Cells) -> list[str]:
    """Other sheets with the same header among their first lines: a year or a month each."""
    book = _book(path, name)
    head = next((row for row in cells[: MOST_NOTES + 1] if not {"", None} & {*row}), [])
    return [
        f"Sheet '{other}'"
        for other in book.sheet_names
        if other != name and head in book.get_sheet_by_name(other).to_python(skip_empty_area=False)[: MOST_NOTES + 1]
    ][:6]


def _plain(value: Any) -> Any:
    """A sheet knows one kind of number; whole ones are integers."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _footer(texts: list[list[str]]) -> int:
    width, count = len(texts[0]), 0
    for record in reversed(texts[2:]):
        if count == MOST_TOTALS or not is_total(record, width):
            break
        count += 1
    return count
