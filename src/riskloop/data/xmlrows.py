"""Records of an XML export: an element that repeats, with a field in each attribute and each element within it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from riskloop.core.errors import MalformedBody

DEEPEST: Final = 100  # elements within one another


@dataclass(slots=True)
class _Element:
    name: str
    fields: dict[str, str]  # of its attributes
    parts: list[str] = field(default_factory=list)  # of its text
    inner: "list[_Element]" = field(default_factory=list)

    def everything(self) -> "Iterator[_Element]":
        """The element and all within it."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.inner)

    def value(self) -> Any:
        """A text; of an element with fields their values by name; several of one name as a list."""
        values: dict[str, Any] = dict(self.fields)
        for element in self.inner:
            told = element.value()
            if element.name not in values:
                values[element.name] = told
            elif isinstance(values[element.name], list):
                values[element.name].append(told)
            else:
                values[element.name] = [values[element.name], told]
        text = "".join(self.parts).strip()
        return values or (text or None)


def is_xml(start: bytes) -> bool:
    """Whether a document begins as XML and as no page."""
    text = start[:512].lstrip(b"\xef\xbb\xbf\xff\xfe").replace(b"\0", b"").lstrip()
    return text.startswith(b"<") and not re.search(rb"<\s*(html|!doctype\s+html)\b", text, re.IGNORECASE)


def xml_rows(content: bytes, where: str) -> list[dict[str, Any]] | None:
    """The records of an XML document, each as its fields by name; None where no element repeats that has fields.

    Entities that a document declares are refused, as they may be expanded without end, or name other files. Raises
    MalformedBody for those, and for what is no XML.
    """
    try:
        document = _read(content)
    except expat.ExpatError as error:
        raise MalformedBody(f"{where} is no XML that can be read: {error}. Write it again.") from None
    except _DeclaredError as error:
        raise MalformedBody(f"{where} {error}, which is not read. Write it without.") from None
    best, most = None, 1
    for element in document.everything():
        counts = Counter(inner.name for inner in element.inner if inner.inner or inner.fields)
        for name, count in counts.items():
            if count > most:
                best, most = (element, name), count
    if best is None:
        return None
    parent, name = best
    return [row for e in parent.inner if e.name == name and isinstance(row := e.value(), dict)]


class _DeclaredError(Exception):
    """What a document declares and nobody should follow."""


def _read(content: bytes) -> _Element:
    parser = expat.ParserCreate()
    root = _Element("", {})
    path = [root]

    def begin(name: str, attributes: dict[str, str]) -> None:
        if len(path) > DEEPEST:
            raise _DeclaredError(f"holds more than {DEEPEST} elements within one another")
        element = _Element(_plain(name), {_plain(key): value for key, value in attributes.items() if key != "xmlns"})
        path[-1].inner.append(element)
        path.append(element)

    def end(_name: str) -> None:
        path.pop()

    def text(part: str) -> None:
        path[-1].parts.append(part)

    def declared(name: str, *_: Any) -> None:
        raise _DeclaredError(f"declares the entity '{name}'")

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, declared
    parser.Parse(content, True)
    return root


def _plain(name: str) -> str:
    """A name without the prefix of its namespace."""
    return re.sub(r"^\w+:", "", name)
