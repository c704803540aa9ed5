"""Evidently's pages, shown in a sandbox: what they run can reach neither the dashboard nor the network."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import Response

from riskloop.core.errors import NotFound
from riskloop.store.windows import Windows
from riskloop.web.queries import window_of

# Evidently puts its scripts and styles into the page itself. Without allow-same-origin they run as a stranger.
POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'; "
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
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "private, max-age=3600",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(path.read_bytes(), headers=headers, media_type="text/html; charset=utf-8")
