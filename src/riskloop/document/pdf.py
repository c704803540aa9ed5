"""A document as PDF, printed by a Chromium of this machine. No page is loaded from anywhere."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from riskloop.core.errors import ConfigError

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SECONDS: Final = 120


def to_pdf(page: bytes) -> bytes:
    """The pages of an HTML document. Raises ConfigError where no such program is installed or it fails."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise ConfigError(
            "A PDF is printed by Chromium or Chrome, and none is on the PATH. Install one, or take --format html and "
            "print it from a browser."
        )
    with tempfile.TemporaryDirectory(prefix="riskloop-") as folder:
        source, target = Path(folder, "document.html"), Path(folder, "document.pdf")
        source.write_bytes(page)
        options = [
            *("--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer", "--disable-extensions"),
            *("--disable-background-networking", f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}"),
        ]
        if _is_root():
            options.append("--no-sandbox")  # Chromium does not start for root otherwise
        _run([program, *options, source.as_uri()])
        if not target.is_file():
            raise ConfigError(f"{program} printed no PDF; take --format html and print it from a browser.")
        return target.read_bytes()


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)  # noqa: S603 - our own words
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"{command[0]} could not print the PDF ({type(error).__name__}); take --format html and print it from a "
            "browser."
        ) from None


def _is_root() -> bool:
    import os

    return hasattr(os, "geteuid") and os.geteuid() == 0
