"""The notebooks of examples/: made from their sources, and they run."""

import importlib.util
import json
import runpy
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "notebooks.py"))
SOURCES: list[Path] = SCRIPT["SOURCES"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_holds_what_its_source_says_and_was_run_to_its_end(source: Path) -> None:
    book = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in book["cells"]]
    assert cells == SCRIPT["cells_of"](source), "run: python scripts/notebooks.py"
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert source.with_suffix(".ipynb").stat().st_size < 600_000


LACKING = [name for name in ("nbformat", "nbclient", "ipykernel") if importlib.util.find_spec(name) is None]


@pytest.mark.skipif(bool(LACKING), reason=f"The notebooks are not run: pip install {' '.join(LACKING)}")
def test_the_notebooks_run(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Jupyter's own
        for source in SOURCES:
            book: Any = SCRIPT["executed"](source, tmp_path)
            shown = [output for cell in book.cells for output in cell.get("outputs", ())]
            assert any("srcdoc" in output.get("data", {}).get("text/html", "") for output in shown), "a chart"
            text = json.dumps(shown)
            assert ("needs_approval" in text) is source.name.startswith("1_")
            assert ("every byte is the same" in text) is source.name.startswith("2_")
