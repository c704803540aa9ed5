"""Scripts and styles of others that the pages need, as they were published: riskloop is their host, nobody else.

Plotly's basic bundle has the kinds of charts that are drawn, in a quarter of the whole; the Python packages that carry
these files weigh ten times as much. Each file is held to its hash by a test; its licence lies beside it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Published:
    """Where a file is from."""

    package: str  # of npm
    version: str
    licence: str
    sha256: str


PUBLISHED: Final = {
    "plotly.min.js": Published(
        "plotly.js-basic-dist-min",
        "2.35.2",
        "MIT",
        "138c2e81014b979dc00867a93da55b7605a17495ee78dd7afb433b7f021dfcfa",
    ),
    "swagger-ui-bundle.js": Published(
        "swagger-ui-dist",
        "5.35.0",
        "Apache-2.0",
        "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    ),
    "swagger-ui.css": Published(
        "swagger-ui-dist",
        "5.35.0",
        "Apache-2.0",
        "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    ),
}
