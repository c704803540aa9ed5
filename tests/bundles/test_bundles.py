"""The files of others are those that were published, whole, with their licences; and no chart needs more of Plotly."""

import hashlib
import re
from pathlib import Path

import pytest

import riskloop
from riskloop.bundles import FOLDER, PUBLISHED

SOURCE = Path(riskloop.__file__).parent


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_file_is_the_one_that_was_published(name: str) -> None:
    file = PUBLISHED[name]
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == file.sha256
    text = (FOLDER / f"{'plotly' if 'plotly' in file.package else 'swagger-ui'}.LICENSE").read_text(encoding="utf-8")
    assert {"MIT": "MIT License", "Apache-2.0": "Apache License"}[file.licence].lower() in text.lower()


def test_nothing_else_lies_there() -> None:
    found = {p.name for p in FOLDER.iterdir() if p.suffix in (".js", ".css", ".map")}
    assert found == set(PUBLISHED)


def test_every_chart_is_of_a_kind_that_the_basic_bundle_draws() -> None:
    """Scatter, bar and pie. Shapes of a layout are no charts."""
    drawn = set()
    for path in [*(SOURCE / "web").glob("*.py"), *(SOURCE / "backtest").glob("*.py")]:
        drawn |= set(re.findall(r'"type": "(\w+)"', path.read_text(encoding="utf-8")))
    assert drawn <= {"scatter", "bar", "line", "rect", "data", "linear", "date", "category", "log"}
    assert "scatter" in drawn
