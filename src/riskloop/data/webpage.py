"""Tables of web pages, and of Excel's XML, as text with commas: what core banking systems save as .xls.

The page is read by Python's own parser; nothing of it is run or fetched.
"""

import csv
import io
import re
from html.parser import HTMLParser
from typing import Any, Final

from riskloop.data.streams import find_encoding

_BEGINS: Final = re.compile(
    rb"\s*<(!doctype\s+html|html|head|meta|body|table|style|div|center|font|!--|\?xml|\?mso|workbook)", re.IGNORECASE
)
_CHARSET: Final = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)

Row = list[str]


def is_webpage(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a page or of XML."""
    return _BEGINS.match(start.lstrip(b"\xef\xbb\xbf\xff\xfe").replace(b"\0", b"")) is not None


def table_text(content: bytes, target: str | None = None) -> bytes | None:
    """The table of a page as CSV in UTF-8: the one that has the ``target`` as a cell, else the one with the most cells.

    None where no table has two rows of two cells.
    """
    reader = _Tables()
    reader.feed(_decoded(content))
    reader.close()
    tables = [table for table in reader.tables if sum(len(row) > 1 for row in table) > 1]
    if not tables:
        return None
    tables.sort(key=lambda table: (any(target in row for row in table), sum(map(len, table))))
    width = max(map(len, tables[-1]))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*row, *[""] * (width - len(row))] for row in tables[-1])
    return text.getvalue().encode()


def _decoded(content: bytes) -> str:
    """A page says in which encoding it is, unless a mark does."""
    found = find_encoding(content[:4096])
    said = _CHARSET.search(content[:4096])
    if said is not None and not found.startswith(("utf-16", "utf-32")):
        try:
            return content.decode(said[1].decode())
        except (LookupError, UnicodeDecodeError):
            pass
    return content.decode(find_encoding(content), errors="replace").removeprefix("\ufeff")


class _Tables(HTMLParser):
    """Collects the cells of every table; cells that span several columns or rows are written where they begin, and
    again in each further row.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[Row]] = []
        self._open: list[_Table] = []  # tables within tables

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        said = {name.rpartition(":")[2]: value or "" for name, value in attrs}
        if tag.rpartition(":")[2] == "table":
            self._open.append(_Table())
        elif self._open:
            self._open[-1].begin(tag.rpartition(":")[2], said)

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        if not self._open:
            return
        if tag.rpartition(":")[2] == "table":
            table = self._open.pop()
            table.end_row()
            self.tables.append(table.rows)
        elif tag.rpartition(":")[2] in ("td", "th", "cell"):
            self._open[-1].end_cell()

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        if self._open:
            self._open[-1].take(data)

    def close(self) -> None:
        """A page that was cut off ends its tables, too."""
        super().close()
        while self._open:
            self.handle_endtag("table")


class _Table:
    """One table while it is read."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._row: Row | None = None
        self._cell: list[str] | None = None  # what was read of the cell that is open
        self._said: dict[str, str] = {}
        self._hanging: dict[int, tuple[str, int]] = {}  # cells of rows above, by column, and for how many rows still

    def begin(self, tag: str, said: dict[str, Any]) -> None:
        """A row or a cell."""
        if tag in ("tr", "row"):
            self.end_row()
            for _ in range(_count(said.get("index"), 0) - len(self.rows) - 1 if tag == "row" else 0):
                self.rows.append([])
            self._row = []
        elif tag in ("td", "th", "cell"):
            self.end_cell()
            self._row = [] if self._row is None else self._row
            self._cell, self._said = [], said
        elif tag in ("br", "p", "div") and self._cell:
            self._cell.append(" ")

    def take(self, data: str) -> None:
        """Text, where a cell is open."""
        if self._cell is not None:
            self._cell.append(data)

    def end_cell(self) -> None:
        """Put the cell into its row."""
        if self._cell is None or self._row is None:
            return
        text, said, row = " ".join("".join(self._cell).split()), self._said, self._row
        text = said.get("num") or text  # Excel's own: the number, not how it is shown
        self._cell = None
        while len(row) < _count(said.get("index"), 0) - 1:
            row.append("")
        self._hung()
        down = _count(said.get("rowspan"), 1) if "rowspan" in said else _count(said.get("mergedown"), 0) + 1
        wide = _count(said.get("colspan"), 1) if "colspan" in said else _count(said.get("mergeacross"), 0) + 1
        for _ in range(max(1, wide)):
            if down > 1:
                self._hanging[len(row)] = (text, down - 1)
            row.append(text)
            text = ""

    def _hung(self) -> None:
        """The cells of rows above that stand here, too."""
        row = [] if self._row is None else self._row
        while (hung := self._hanging.pop(len(row), None)) is not None:
            if hung[1] > 1:
                self._hanging[len(row)] = (hung[0], hung[1] - 1)
            row.append(hung[0])

    def end_row(self) -> None:
        """Put the row into the table."""
        self.end_cell()
        if self._row is not None:
            self._hung()
            self.rows.append(self._row)
        self._row = None


def _count(text: str | None, otherwise: int) -> int:
    return min(int(text), 10_000) if text and text.isdecimal() else otherwise
