"""Pages that stand alone, shown in a sandbox: Evidently's, and documents. They reach neither dashboard nor network."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import Response

from riskloop.core.errors import NotFound
from riskloop.results import DocumentResult
from riskloop.store.windows import Windows
from riskloop.web.queries import window_of

# Evidently puts its scripts and styles into the page itself. Without allow-same-origin they run as a stranger.
POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

ALONE: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
# A document has its style in it, and runs nothing.
DOCUMENT_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def why_none() -> str:
    """Why a window has no page."""
    if find_spec("evidently") is None:
        return (
            "it is not installed (`pip install 'riskloop[evidently]'`). The numbers on the window's page are the same."
        )
    return "nothing in it drifted, or it was larger than drift.evidently_rows when it was closed."


def report(windows: Windows, folder: Path, number: int) -> Response:
    """The page of a window that drifted; NotFound for one that did not."""
    window = window_of(windows, number)
    if window.report is None:
        raise NotFound(f"{window.name} has no page of Evidently: {why_none()}")
    path = (folder / window.report).resolve()
    if folder.resolve() not in path.parents or not path.is_file():
        raise NotFound(f"The page of {window.name} is not in {folder} any more.")
    headers = {**ALONE, "Content-Security-Policy": POLICY, "Cache-Control": "private, max-age=3600"}
    return Response(path.read_bytes(), headers=headers, media_type="text/html; charset=utf-8")


def paper(made: DocumentResult) -> Response:
    """A document: a page to read and print, any other format as a file."""
    shown = "inline" if made.media_type.startswith("text/html") else "attachment"
    headers = {
        **ALONE,
        "Content-Security-Policy": DOCUMENT_POLICY,
        "Cache-Control": "no-store",
        "Content-Disposition": f'{shown}; filename="{made.file}"',
    }
    return Response(made.content, headers=headers, media_type=made.media_type)
