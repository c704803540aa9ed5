"""What a document is made of. Cells are texts already: one place writes numbers, and every format shows the same."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

MISSING: Final = "not on record"


@dataclass(frozen=True, slots=True)
class Said:
    """A paragraph."""

    text: str
    tone: Literal["plain", "lead", "note", "missing"] = "plain"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # each as long as the head
    words: int = 1  # so many first columns hold words; the others hold numbers
    marked: frozenset[int] = frozenset()  # rows that failed, or are off


@dataclass(frozen=True, slots=True)
class Series:
    """Points of a chart with their intervals; None where there is none."""

    name: str
    values: tuple[float | None, ...]
    lower: tuple[float | None, ...] = ()
    upper: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """Points with intervals over labels. Every number of it is also in a table beside it."""

    caption: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Curves:
    """Lines between 0 and 1 on both axes: of ROC curves."""

    caption: str
    axes: tuple[str, str]
    lines: tuple[tuple[str, tuple[float, ...], tuple[float, ...]], ...]  # name, x, y


@dataclass(frozen=True, slots=True)
class Quoted:
    """A text that a person wrote, and where it is from."""

    origin: str
    blocks: tuple[Said | Bullets, ...]


Block = Said | Bullets | Facts | Grid | Chart | Curves | Quoted


@dataclass(frozen=True, slots=True)
class PaperSection:
    """A numbered section with its key, by which texts of people find it."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Paper:
    """A whole document."""

    name: str  # of its file, without the ending
    title: str
    subtitle: str
    written: datetime
    card: tuple[tuple[str, str], ...]  # what the first page tells at a glance
    chapters: tuple[PaperSection, ...]
    signatures: tuple[str, ...] = ()  # roles that sign at the end

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content without the time of writing: two that agree say the same."""
        content = (self.title, self.subtitle, self.card, self.chapters, self.signatures)
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()


def missing(what: str) -> Said:
    """The sentence for what nobody recorded."""
    return Said(f"{what}: {MISSING}.", "missing")
