"""Writes the notebooks of examples/ from their plain sources, executed: ``python scripts/notebooks.py``.

A source is a Python file in cells: ``# %%`` begins code, ``# %% [markdown]`` text. The notebooks run in order in one
temporary folder, because the second reads what the first made. Needs nbclient, nbformat and ipykernel; charts are
drawn as pictures by Chromium, where there is one, so that a notebook is small and is seen where no script runs.
"""

import base64
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent / "examples"
SOURCES = sorted(EXAMPLES.glob("*.py"))
FRAME = re.compile(r'<iframe srcdoc="(.*?)" title="(.*?)" style="width:100%;height:(\d+)px', re.DOTALL)


def cells_of(source: Path) -> list[tuple[str, str]]:
    """The kind and the text of each cell."""
    found = []
    for part in re.split(r"(?m)^# %%", source.read_text(encoding="utf-8"))[1:]:
        head, _, body = part.partition("\n")
        text = body.strip("\n")
        if head.strip() == "[markdown]":
            found.append(("markdown", re.sub(r"(?m)^# ?", "", text)))
        else:
            found.append(("code", text))
    return found


def executed(source: Path, folder: Path) -> Any:
    """The notebook with its outputs; raises where a cell fails."""
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    made = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    cells = [made[kind](text, id=f"cell-{number}") for number, (kind, text) in enumerate(cells_of(source), start=1)]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    config = Config({"KernelManager": {"transport": "ipc", "ip": str(folder / "kernel")}})  # sockets, no port
    client = NotebookClient(book, timeout=600, kernel_name="python3", config=config)
    client.execute(cwd=str(folder), env=os.environ | {"OMP_NUM_THREADS": "1", "LOGNAME": "analyst"})
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # times of the run
    return book


def draw(book: Any) -> None:
    """Charts become pictures; without Chromium their names stay."""
    from html import unescape

    program = shutil.which("chromium")
    for output in (output for cell in book.cells for output in cell.get("outputs", ()) if "data" in output):
        found = FRAME.match(output["data"].get("text/html", ""))
        if found is None:
            continue
        del output["data"]["text/html"]
        if program is not None:
            output["data"]["image/png"] = base64.b64encode(
                _picture(program, unescape(found[1]), int(found[3]))
            ).decode()


def _picture(program: str, page: str, height: int) -> bytes:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 820, "height": height})
        tab.set_content(page)
        tab.wait_for_function("[...document.querySelectorAll('.plot')].every(plot => plot.dataset.drawn)")
        return tab.screenshot()


def main() -> None:
    """Write every notebook."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            book = executed(source, Path(folder))
            draw(book)
            target = source.with_suffix(".ipynb")
            nbformat.write(book, target)
            sys.stdout.write(f"{target.name}: {target.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
