"""The outcomes that count: the latest that was known, and nothing that is in quarantine; the same in SQL and arrays."""

import numpy as np
import pytest
from sqlalchemy import insert, select

from riskloop.core.maturity import LATEST, Maturity
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.reported import has_report, is_reported, reported_on
from riskloop.store.tables import decisions, outcomes

from .rows import scored

DECIDED = 8


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("highest", "held"), [(LATEST, ()), (12, ()), (LATEST, ((3, 6), (15, 15))), (9, ((1, 2),))])
def test_arrays_and_sql_are_the_rule_in_python(
    database: Database, log: DecisionLog, seed: int, highest: int, held: tuple[tuple[int, int], ...]
) -> None:
    rng = np.random.default_rng(seed)
    log.append(scored(DECIDED))
    about = rng.choice(np.array([1, 2, 4, 5, 8]), 20).tolist()
    values = rng.integers(0, 2, 20).tolist()
    rows = [
        {"id": number, "decision_id": decision, "defaulted": value, "known_at": 1, "recorded_at": 1}
        for number, (decision, value) in enumerate(zip(about, values, strict=True), start=1)
    ]
    with database.write() as connection:
        connection.execute(insert(outcomes), rows)
    wanted = np.full(DECIDED, np.nan)
    for row in rows:
        if row["id"] <= highest and not any(first <= row["id"] <= last for first, last in held):
            wanted[row["decision_id"] - 1] = row["defaulted"]
    known, ids = Maturity(0, outcomes=highest, held=held), np.arange(1, DECIDED + 1)
    with database.read() as connection:
        np.testing.assert_array_equal(reported_on(connection, ids, known), wanted)
        np.testing.assert_array_equal(reported_on(connection, ids[[1, 4, 7]], known), wanted[[1, 4, 7]])
        np.testing.assert_array_equal(has_report(connection, ids, known), ~np.isnan(wanted))
        there = connection.execute(select(decisions.c.id).where(is_reported(known)).order_by(decisions.c.id)).scalars()
        assert there.all() == ids[~np.isnan(wanted)].tolist()
        assert reported_on(connection, ids[:0], known).size == 0
