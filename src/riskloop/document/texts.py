"""Texts by people: Markdown files in a folder of the portfolio, each for a chapter and from a version on.

`limits.v2.md` stands in the chapter `limits` of version 2, and of every later one until `limits.v5.md` takes its place.
`case-3.md` and `period-2025-01-01-2025-03-31.md` stand at the end of those documents.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from riskloop.core.errors import ConfigError
from riskloop.document.parts import Bullets, Quoted, Said

_VERSIONED: Final = re.compile(r"([a-z]+)\.v([1-9]\d*)\.md")
_SINGLE: Final = re.compile(r"(case-[1-9]\d*|period-\d{4}-\d{2}-\d{2}-\d{4}-\d{2}-\d{2})\.md")
_README: Final = "README.md"
MOST: Final = 200_000  # characters of a text


def of_version(folder: Path, version: int, chapters: Collection[str]) -> dict[str, Quoted]:
    """The texts of a model's report by chapter: for each the one that was written last, for this version or before.

    Raises ConfigError for a file whose name says no chapter, because a typo must not hide a text.
    """
    newest: dict[str, tuple[int, Path]] = {}
    for path in _files(folder):
        named = _VERSIONED.fullmatch(path.name)
        if named is None:
            continue
        chapter, since = named[1], int(named[2])
        if chapter not in chapters:
            raise ConfigError(
                f"{path} belongs to no chapter of a model's report; there are {', '.join(sorted(chapters))}."
            )
        if since <= version and since >= newest.get(chapter, (0, path))[0]:
            newest[chapter] = since, path
    return {
        chapter: _quoted(path, f"{path.name}, written for version {since}") for chapter, (since, path) in newest.items()
    }


def of_document(folder: Path, name: str) -> Quoted | None:
    """The text of a case's or a period's document; None where nobody wrote one."""
    found = next((path for path in _files(folder) if path.name == f"{name}.md"), None)
    return None if found is None else _quoted(found, found.name)


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.md")) if folder.is_dir() else []
    for path in found:
        if path.name != _README and not _VERSIONED.fullmatch(path.name) and not _SINGLE.fullmatch(path.name):
            raise ConfigError(
                f"{path} is no text of a document; call it CHAPTER.vVERSION.md (limits.v2.md), case-NUMBER.md or "
                "period-FROM-TO.md."
            )
    return found


def _quoted(path: Path, origin: str) -> Quoted:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The text {path} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if len(text) > MOST:
        raise ConfigError(f"The text {path} has {len(text):,} characters; {MOST:,} are the most.")
    return Quoted(origin, blocks_of(text))


def blocks_of(text: str) -> tuple[Said | Bullets, ...]:
    """Paragraphs, headings (`#`) and lists (`- `) of a Markdown text; everything else stays as it is written."""
    found: list[Said | Bullets] = []
    for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip()):
        lines = [line.strip() for line in part.splitlines() if line.strip()]
        while lines and lines[0].startswith("#"):
            found.append(Said(lines.pop(0).lstrip("#").strip(), "lead"))
        if lines and all(line.startswith(("- ", "* ")) for line in lines):
            found.append(Bullets(tuple(line[2:].strip() for line in lines)))
        elif lines:
            found.append(Said(" ".join(lines)))
    return tuple(found)
