"""A document from its subject to its bytes."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Final

from riskloop.core.errors import ConfigError
from riskloop.document.case import case_paper
from riskloop.document.html import to_html
from riskloop.document.model import model_paper
from riskloop.document.pdf import to_pdf
from riskloop.document.period import period_paper
from riskloop.document.word import to_docx
from riskloop.results import ChallengerFileResult, DocumentResult
from riskloop.store.home import Home

MEDIA: Final = {
    "html": "text/html; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pdf": "application/pdf",
}


def document(
    home: Home,
    about: str,
    number: int | None,
    days: tuple[date | None, date | None],
    file_of: Callable[[int], ChallengerFileResult],
    how: str,
    now: datetime,
) -> DocumentResult:
    """The document about a model or case of this ``number``, or a period of these ``days``; ``file_of`` reads a case's.

    Without a number it is the champion's.

    Raises ConfigError for what there is no document about, an unknown format, or where what writes it is missing.
    """
    if how not in MEDIA:
        raise ConfigError(f"A document is written as {', '.join(MEDIA)}, not as '{how}'.")
    first, last = days
    if about == "model":
        paper = model_paper(home, home.champion().version if number is None else number, now)
    elif about == "case" and number is not None:
        paper = case_paper(home, number, None if home.cases.judged(number) is None else file_of(number), now)
    elif about == "period" and first is not None and last is not None:
        paper = period_paper(home, first, last, now)
    else:
        raise ConfigError(
            "A document is about a model (`number`: its version), a case (`number`) or a period (`start` and `end`)."
        )
    content = to_docx(paper) if how == "docx" else to_html(paper)
    if how == "pdf":
        content = to_pdf(content)
    return DocumentResult(paper.title, f"{paper.name}.{how}", MEDIA[how], paper.fingerprint, content)
