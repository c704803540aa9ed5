"""Style sheet, scripts and Plotly, all from this package: nothing comes from elsewhere."""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from riskloop import bundles
from riskloop.core.errors import NotFound

FOLDER: Final = Path(__file__).parent / "static"
KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOREVER: Final = "public, max-age=31536000, immutable"  # the address changes with the content
PLOTLY: Final = "plotly.min.js"

router = APIRouter()


@lru_cache(maxsize=32)
def _content(name: str) -> tuple[bytes, bytes, str]:
    """The file, its gzip, and a short hash."""
    path = bundles.FOLDER / name if name == PLOTLY else FOLDER / name
    content = path.read_bytes()
    return content, gzip.compress(content, 6, mtime=0), hashlib.sha256(content).hexdigest()[:12]


def address(name: str) -> str:
    """Where a page finds an asset; a changed file has another address."""
    return f"/static/{_content(name)[2]}/{name}"


@router.get("/static/{version}/{name}", include_in_schema=False)
def asset(version: str, name: str, request: Request) -> Response:
    """One asset, kept by the browser for good."""
    known = {path.name for path in FOLDER.iterdir()} | {PLOTLY}
    if name not in known:
        raise NotFound(f"There is no file '{name}' in the dashboard.")
    content, packed, _hash = _content(name)
    headers = {"Cache-Control": FOREVER, "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type=KINDS[Path(name).suffix], headers={**headers, "Content-Encoding": "gzip"})
    return Response(content, media_type=KINDS[Path(name).suffix], headers=headers)
