"""One document, three formats: the same texts, nothing that is loaded, nothing that runs."""

import io
import shutil
import sys
from datetime import UTC, date, datetime

import docx
import pytest
from tests.document.reading import read
from tests.test_cli import run

from riskloop.core.errors import ConfigError
from riskloop.document import pdf
from riskloop.document.html import to_html
from riskloop.document.model import model_paper
from riskloop.document.parts import (
    Block,
    Bullets,
    Chart,
    Curves,
    Facts,
    Grid,
    Paper,
    PaperSection,
    Quoted,
    Said,
    Series,
)
from riskloop.document.word import to_docx
from riskloop.portfolio import Portfolio

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg><style>*{display:none}</style>",
    "' onload='x",
    "{{ 7*7 }}{% raw %}",
    "W" * 5_000,
    "a\x00b\x0bc",
    "漢字 Ünïcode ﷽",
    "javascript:alert(1)",
    "<link rel=stylesheet href=https://example.org/x.css>",
]


def paper_with(word: str) -> Paper:
    """A document that has the word in every place."""
    blocks: tuple[Block, ...] = (
        *(Said(word, tone) for tone in ("plain", "lead", "note", "missing")),
        Bullets((word, word)),
        Facts(((word, word),)),
        Grid(word, (word, word), ((word, word),), marked=frozenset({0})),
        Chart(word, (word, word), (Series(word, (0.1, None), (0.0, None), (0.2, None)), Series(word, (0.3, 0.1)))),
        Curves(word, (word, word), ((word, (0.0, 1.0), (0.0, 1.0)), (word, (0.0, 1.0), (0.0, 0.5)))),
        Quoted(word, (Said(word), Bullets((word,)))),
    )
    return Paper("x", word, word, NOW, ((word, word),), (PaperSection("one", word, blocks),), (word,))


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_are_shown_and_do_nothing(word: str) -> None:
    page = read(to_html(paper_with(word)))
    plain = read(to_html(paper_with("plain")))
    assert page.tags == plain.tags, "no word becomes an element"
    assert page.loads == page.handlers == []
    assert "script" not in page.tags
    if "\x00" not in word:
        assert word in "".join(page.words)


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_make_a_word_file_that_opens(word: str) -> None:
    opened = docx.Document(io.BytesIO(to_docx(paper_with(word))))
    shown = "".join(character for character in word if character >= " ")
    assert opened.tables[-1].cell(0, 0).text.endswith(shown)
    assert any(paragraph.text == shown for paragraph in opened.paragraphs)


@pytest.mark.parametrize("version", [1, 2])
def test_a_page_loads_nothing(portfolio: Portfolio, version: int) -> None:
    page = to_html(model_paper(portfolio.home, version, NOW))
    reader = read(page)
    assert reader.loads == reader.handlers == []
    assert not {"script", "iframe", "object", "embed", "link", "img", "base", "form"} & set(reader.tags)
    text = page.decode()
    assert "url(" not in text
    assert "@import" not in text
    assert "http:" not in text
    assert "https:" not in text


def test_the_word_file_holds_every_table_and_number_of_the_page(portfolio: Portfolio) -> None:
    paper = model_paper(portfolio.home, 2, NOW)
    opened = docx.Document(io.BytesIO(to_docx(paper)))
    tables = [[[cell.text for cell in row.cells] for row in table.rows] for table in opened.tables]
    grids = [block for one in paper.chapters for block in one.blocks if isinstance(block, Grid)]
    assert len(grids) > 8
    for grid in grids:
        rows = [[f"▲ {row[0]}", *row[1:]] if n in grid.marked else list(row) for n, row in enumerate(grid.rows)]
        assert [list(grid.head), *rows] in tables
    assert paper.fingerprint in "".join(paragraph.text for paragraph in opened.paragraphs)


def test_without_python_docx_the_extra_is_named(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(ConfigError, match=r"riskloop\[documents\]"):
        portfolio.document("model", 2, file_format="docx")


def test_without_a_browser_the_program_is_named(portfolio: Portfolio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(ConfigError, match="Chromium or Chrome"):
        portfolio.document("model", 2, file_format="pdf")


@pytest.mark.skipif(not any(shutil.which(name) for name in pdf.PROGRAMS), reason="no Chromium here")
def test_a_pdf_has_pages(portfolio: Portfolio) -> None:
    made = portfolio.document("model", 2, file_format="pdf")
    assert made.content.startswith(b"%PDF-")
    assert made.content.count(b"/Type /Page") > 2


def test_the_command_writes_what_python_gives(portfolio: Portfolio) -> None:
    folder = portfolio.home.folder
    for words, name, made in (
        (("model",), "model-2.html", portfolio.document("model")),
        (("model", "1", "--format", "docx"), "model-1.docx", portfolio.document("model", 1, file_format="docx")),
        (
            ("period", "2025-01-01", "2025-01-31"),
            "period-2025-01-01-2025-01-31.html",
            portfolio.document("period", start=date(2025, 1, 1), end=date(2025, 1, 31)),
        ),
    ):
        ran = run("document", *words, "--json", folder=folder)
        assert ran.code == 0, ran.err
        assert ran.document["file"] == name == made.file
        if words[0] == "model":
            assert ran.document["fingerprint"] == made.fingerprint
        assert (folder / name).stat().st_size == ran.document["bytes"]
    assert run("document", "model", "2", "-o", str(folder / "no" / "x.html"), folder=folder).code == 8
    assert run("document", "model", "7", folder=folder).code == 4
    assert run("document", "period", "x", "y", folder=folder).code == 2
    assert run("document", "model", "2", "--format", "odt", folder=folder).code == 2
