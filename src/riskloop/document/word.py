"""A document as a Word file, by python-docx: the same texts and tables. Charts are left out; their tables are there."""

import io
from typing import TYPE_CHECKING, Any, Final

from riskloop.core.errors import ConfigError
from riskloop.document.parts import Block, Bullets, Facts, Grid, Paper, Quoted, Said
from riskloop.document.write import moment
from riskloop.version import __version__

if TYPE_CHECKING:
    from docx.document import Document as WordFile

_CONTROL: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32)))  # XML has no such characters


def to_docx(paper: Paper) -> bytes:
    """The Word file. Raises ConfigError where python-docx is not installed."""
    try:
        import docx
        from docx.shared import Mm, Pt
    except ImportError:
        raise ConfigError(
            "A Word file needs python-docx: pip install 'riskloop[documents]', or take --format html."
        ) from None
    word = docx.Document()
    page = word.sections[0]
    page.page_width, page.page_height = Mm(210), Mm(297)
    page.left_margin = page.right_margin = Mm(18)
    word.styles["Normal"].font.size = Pt(10)
    word.core_properties.title = _clean(paper.title)[:255]
    word.core_properties.author = f"riskloop {__version__}"
    word.add_heading(_clean(paper.title), 0)
    word.add_paragraph(_clean(paper.subtitle), "Subtitle")
    _pairs(word, paper.card)
    for number, one in enumerate(paper.chapters, start=1):
        word.add_heading(f"{number}. {_clean(one.title)}", 1)
        for block in one.blocks:
            _add(word, block)
    for role in paper.signatures:
        word.add_paragraph("\n\n______________________________")
        word.add_paragraph(f"{_clean(role)}: name, date, signature")
    word.add_paragraph(
        f"Written {moment(paper.written)} by riskloop {__version__} from what is on record. Fingerprint of this "
        f"document: {paper.fingerprint}."
    )
    out = io.BytesIO()
    word.save(out)
    return out.getvalue()


def _add(word: "WordFile", block: Block) -> None:
    if isinstance(block, Said):
        added = word.add_paragraph().add_run(_clean(block.text))
        added.bold, added.italic = block.tone == "lead", block.tone in ("note", "missing")
    elif isinstance(block, Bullets):
        for item in block.items:
            word.add_paragraph(_clean(item), "List Bullet")
    elif isinstance(block, Facts):
        _pairs(word, block.pairs)
    elif isinstance(block, Grid):
        _grid(word, block)
    elif isinstance(block, Quoted):
        for part in block.blocks:
            _add(word, part)
        word.add_paragraph().add_run(f"Text by a person: {_clean(block.origin)}.").italic = True


def _pairs(word: "WordFile", pairs: tuple[tuple[str, str], ...]) -> None:
    _fill(word.add_table(0, 2, "Light List"), pairs)
    word.add_paragraph()


def _grid(word: "WordFile", grid: Grid) -> None:
    word.add_paragraph().add_run(_clean(grid.caption)).bold = True
    made = word.add_table(0, len(grid.head), "Light Grid")
    _fill(made, (grid.head, *grid.rows), grid.words, frozenset(number + 1 for number in grid.marked))
    word.add_paragraph()


def _fill(made: Any, rows: tuple[tuple[str, ...], ...], words: int = 2, marked: frozenset[int] = frozenset()) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    for number, row in enumerate(rows):
        for place, (cell, text) in enumerate(zip(made.add_row().cells, row, strict=True)):
            paragraph = cell.paragraphs[0]
            shown = f"▲ {text}" if number in marked and place == 0 else text
            paragraph.add_run(_clean(shown)).font.size = Pt(8.5)
            if place >= words:
                paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT


def _clean(text: str) -> str:
    return text.translate(_CONTROL)
