"""Documents read again, as a person reads them."""

import re
from html.parser import HTMLParser

from riskloop.document.parts import Grid, Paper

RESOURCES = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping"}


class PageReader(HTMLParser):
    """The words of a page, its tables, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._within: list[str] = []
        self._caption = ""
        self._rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in RESOURCES or (name == "href" and tag != "a"):
                self.loads.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag == "table":
            self._rows, self._caption = [], ""
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
        if tag not in ("meta", "line", "circle", "rect", "polygon", "polyline"):
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass
        if tag == "table":
            self.tables[self._caption.strip()] = self._rows

    def handle_data(self, data: str) -> None:
        if "style" in self._within:
            return
        self.words.append(data)
        if "caption" in self._within:
            self._caption += data
        elif self._within and self._within[-1] in ("td", "th"):
            self._rows[-1][-1] += data


def read(page: bytes) -> PageReader:
    reader = PageReader()
    reader.feed(page.decode())
    reader.close()
    return reader


def grid_of(paper: Paper, caption: str) -> Grid:
    """The table of a document with this caption."""
    return next(
        block
        for chapter in paper.chapters
        for block in chapter.blocks
        if isinstance(block, Grid) and block.caption == caption
    )


def number(text: str) -> float:
    """What a cell says: ``1,234``, ``−0.5``, ``12.5%``."""
    plain = text.replace("−", "-").replace(",", "").strip()
    return float(plain[:-1]) / 100.0 if plain.endswith("%") else float(plain)


def interval(text: str) -> tuple[float, float]:
    low, high = re.split(r" to ", text)
    return number(low), number(high)
