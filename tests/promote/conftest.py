from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from riskloop.core.types import PromotionKind
from riskloop.promote import promote
from riskloop.store.ledger import Ledger
from riskloop.store.migrations import upgrade
from riskloop.store.sqlite import Sqlite

NOW = datetime(2025, 5, 5, 14, 3, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Three registered versions; the first is the champion."""
    database = Sqlite(tmp_path / "riskloop.db")
    upgrade(database)
    made = Ledger(database)
    for number in (1, 2, 3):
        made.register(
            created_at=NOW, learner="scorecard", artefact=f"m{number}", sha256=f"{number}" * 64, origin="train", auc=0.7
        )
    promote(
        made,
        1,
        expected_seq=0,
        kind=PromotionKind.FIRST,
        at=NOW,
        by="riskloop",
        reason="It cleared the floor.",
        evidence={},
        fingerprint="first",
    )
    yield made
    database.close()
