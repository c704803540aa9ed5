"""What is on record reads the same from every database: the documents of a portfolio and of its copy on PostgreSQL."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests.document.test_case import judged_case
from tests.postgres import Server

from riskloop.portfolio import Portfolio
from riskloop.store.home import CONFIG
from riskloop.store.transfer import copy

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def moved(portfolio: Portfolio, postgres: Server, tmp_path: Path) -> Iterator[Portfolio]:
    """The same portfolio, with a judged case, over PostgreSQL."""
    judged_case(portfolio)
    folder, url = tmp_path / "moved", postgres.fresh()
    shutil.copytree(portfolio.home.folder, folder)
    config = folder / CONFIG
    config.write_text(config.read_text().replace("[storage]\n", f'[storage]\nurl = "{url}"\n'))
    opened = Portfolio.open(folder)
    copy(portfolio.home.database, opened.home.database)
    yield opened
    opened.home.close()


def test_every_document_is_the_same_from_either_database(portfolio: Portfolio, moved: Portfolio) -> None:
    assert moved.home.database.engine.dialect.name == "postgresql"
    versions = [model.version for model in portfolio.home.ledger.models()]
    cases = [case.id for case in portfolio.home.cases.latest(10)]
    assert len(versions) > 1
    assert cases
    one, other = (_fingerprints(each, versions, cases) for each in (portfolio, moved))
    assert one == other


def _fingerprints(portfolio: Portfolio, versions: Sequence[int], cases: Sequence[int]) -> list[str]:
    first, last = date(2025, 1, 1), date(2025, 3, 31)
    papers = [portfolio.document("model", number, now=NOW) for number in (None, *versions)]
    papers += [portfolio.document("case", number, now=NOW) for number in cases]
    papers.append(portfolio.document("period", start=first, end=last, now=NOW))
    return [paper.fingerprint for paper in papers]
