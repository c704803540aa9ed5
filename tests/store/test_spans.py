from itertools import product

import numpy as np
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from riskloop.core.span import Span
from riskloop.store.database import Database
from riskloop.store.spans import where


def test_sql_and_mask_say_the_same_of_every_span(database: Database) -> None:
    rng = np.random.default_rng(5)
    ids, times = np.arange(1, 41), rng.integers(0, 20, 40)
    table = Table("rows", MetaData(), Column("id", Integer, primary_key=True), Column("time", Integer))
    with database.write() as connection:
        table.create(connection)
        rows = [{"id": n, "time": t} for n, t in zip(ids.tolist(), times.tolist(), strict=True)]
        connection.execute(insert(table), rows)
    limits = (None, 0, 7, 13, 40)
    with database.read() as connection:
        for first, last, start, end in product(limits, repeat=4):
            span = Span(first, last, start, end)
            found = connection.execute(select(table.c.id).where(where(span, table)).order_by(table.c.id)).scalars()
            brute = [
                n
                for n, t in zip(ids.tolist(), times.tolist(), strict=True)
                if (first is None or n >= first)
                and (last is None or n <= last)
                and (start is None or t >= start)
                and (end is None or t < end)
            ]
            assert list(found) == brute
            assert ids[span.mask(times, ids)].tolist() == brute
