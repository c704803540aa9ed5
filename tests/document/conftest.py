"""A small real portfolio, made by riskloop 0.1.0 and opened by the code of today."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from riskloop.portfolio import Portfolio

OLD = Path(__file__).parents[1] / "old" / "format_1"


@pytest.fixture
def portfolio(tmp_path: Path) -> Iterator[Portfolio]:
    folder = tmp_path / "portfolio"
    shutil.copytree(OLD, folder)
    opened = Portfolio.open(folder)
    yield opened
    opened.home.close()
