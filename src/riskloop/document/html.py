"""A document as one HTML file: its style and figures are in it, nothing is loaded, and it prints on A4."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from riskloop.document import svg
from riskloop.document.parts import Block, Paper
from riskloop.document.write import moment
from riskloop.version import __version__

_PAGE: Final = "page.html"


def to_html(paper: Paper) -> bytes:
    """The whole page, UTF-8. Every text of it is escaped."""
    pages = Environment(
        loader=PackageLoader("riskloop.document", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals.update(points=svg.points, curves=svg.curves, kind=_kind, moment=moment, version=__version__)
    return pages.get_template(_PAGE).render(paper=paper).encode()


def _kind(block: Block) -> str:
    return type(block).__name__
