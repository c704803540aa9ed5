"""Evidently's pages, shown in a sandbox: what they run can reach neither the dashboard nor the network."""

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


def report(windows: Windows, folder: Path, number: int) -> Response:
    """The page of a window that drifted; NotFound for one that did not."""
    window = window_of(windows, number)
    if window.report is None:
        raise NotFound(f"{window.name} has no page of Evidently: nothing in it drifted.")
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
