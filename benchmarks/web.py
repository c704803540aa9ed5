"""How long does the server take for each page of the dashboard, with a year of daily windows and a million decisions?

    python -m benchmarks.web [--quick] [--json] [--decisions N] [--windows N]

A small loop is run for real: two models, one day of decisions, its outcomes, two cycles. That day is then copied in
bulk to all others, so that the database has the size of a year and every page the content of one. Each page is asked
for in this process, through the whole application, without a network: first once, then several times. What counts is
the median; the first time includes the loading of libraries, templates and models.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
from sqlalchemy import Connection, text

from riskloop.app import create_app
from riskloop.cases import CaseState, Move
from riskloop.core.types import Diagnosis, to_micros
from riskloop.data.config import infer_config
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate
from riskloop.store.cases import move_case, open_case

LIMIT: Final = 300.0  # milliseconds
DAY: Final = timedelta(days=1)
START: Final = datetime(2025, 1, 1, tzinfo=UTC)
ROWS: Final = 2000  # of the day that is copied
CASES: Final = 120


def build(folder: Path, windows: int, count: int) -> Portfolio:
    """The portfolio with everything in it."""
    history = folder / "history.csv"
    simulate(month_starts(date(2024, 1, 1), 12), 1500, 1).to_csv(history, index=False)
    config = infer_config(history, target=TARGET, id=ID, time=TIME, folder=folder, outcome_window=timedelta(days=30))
    config = config.replace("[windows]", '[windows]\nby = "day"', 1)
    _write(folder, config, "lightgbm")
    Portfolio.open(folder).train(history, now=START - DAY)
    _write(folder, config, "scorecard")
    portfolio = Portfolio.open(folder)
    portfolio.train(history, now=START - DAY)
    portfolio.promote(2, by="benchmark", reason="To have two.", force=True)
    _one_day(portfolio)
    with portfolio.home.database.write() as connection:
        _copy(connection, windows, count)
        _cases(connection, windows)
    with portfolio.home.database.read() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    return portfolio


def _write(folder: Path, config: str, learner: str) -> None:
    lines = config.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("[train]"))
    lines.insert(at + 1, f'learners = ["{learner}"]')
    (folder / "riskloop.toml").write_text("\n".join(lines), encoding="utf-8")


def _one_day(portfolio: Portfolio) -> None:
    """Decisions of one day, monitored, and judged again with their outcomes."""
    frame = simulate([START.date()], ROWS, 2)
    target = frame.pop(TARGET)
    frame[TIME] = START.date().isoformat()
    portfolio.score(frame)
    portfolio.cycle(now=START + 2 * DAY)
    labels = frame[[ID]].assign(known_at=(START + 20 * DAY).isoformat())
    labels[TARGET] = target
    portfolio.record_outcomes(labels, now=START + 40 * DAY)
    portfolio.cycle(now=START + 40 * DAY)


def _copy(connection: Connection, windows: int, count: int) -> None:
    """The first day's decisions, outcomes, window and findings for every other day."""
    connection.execute(text("DELETE FROM findings WHERE window_id > 1"))  # of the empty days after it
    connection.execute(text("DELETE FROM windows WHERE id > 1"))
    a_day = to_micros(START + DAY) - to_micros(START)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
    rows = ", ".join(("customer_id", "scored_at", "model_version", "probability", "is_default", "features", "flags"))
    connection.execute(
        text(
            f"{numbers} INSERT INTO decisions (id, time, {rows}) SELECT {ROWS} + i, "
            f":start + :day * (({ROWS} + i - 1) * :windows / :count), d.{rows.replace(', ', ', d.')} "
            f"FROM n JOIN decisions d ON d.id = (i - 1) % {ROWS} + 1"
        ),
        {"last": count - ROWS, "start": to_micros(START), "day": a_day, "windows": windows, "count": count},
    )
    connection.execute(
        text(
            "INSERT INTO outcomes (decision_id, defaulted, known_at, recorded_at) "
            f"SELECT d.id, o.defaulted, o.known_at, o.recorded_at FROM decisions d "
            f"JOIN outcomes o ON o.decision_id = (d.id - 1) % {ROWS} + 1 WHERE d.id > {ROWS}"
        )
    )
    kept = "model_version, closed_at, matured_at, diagnosis, confirmed, action, sentence, rungs, profile, report"
    kept += ", quarantined, case_id"
    connection.execute(
        text(
            f"{numbers} INSERT INTO windows (id, name, first_time, end_time, first_id, last_id, rows, {kept}) "
            "SELECT i + 1, date('2025-01-01', '+' || i || ' days'), first_time + :day * i, end_time + :day * i, "
            f":each * i + 1, :each * (i + 1), :each, {kept} FROM n JOIN windows w ON w.id = 1"
        ),
        {"last": windows - 1, "day": a_day, "each": count // windows},
    )
    columns = '"check", subject, severity, statistic, critical, document'
    connection.execute(
        text(
            f"{numbers} INSERT INTO findings (window_id, {columns}) "
            f"SELECT i + 1, {columns} FROM n JOIN findings f ON f.window_id = 1"
        ),
        {"last": windows - 1},
    )


def _cases(connection: Connection, windows: int) -> None:
    for number in range(CASES):
        at = START + DAY * (number * windows // CASES)
        kind = Diagnosis.COVARIATE_SHIFT
        first = number * windows // CASES + 1
        case = open_case(
            connection,
            Move(CaseState.WATCHING, "Other customers come."),
            at=at,
            diagnosis=kind,
            window_id=first,
            champion=1,
        )
        move_case(connection, case, Move(CaseState.ENDED, "It went away."), at=at + DAY)


def pages(windows: int, count: int) -> dict[str, str]:
    """Addresses by what they show."""
    middle = count // 2
    return {
        "overview": "/",
        "drift, 52 windows": "/dashboard/drift?size=52",
        "one feature": f"/dashboard/drift/PAY_0?window={windows}",
        "one window": f"/dashboard/windows/{windows // 2}",
        "performance, 52 cohorts": "/dashboard/performance?size=52",
        "cases": "/dashboard/cases",
        "one case": f"/dashboard/cases/{CASES // 2}",
        "models": "/dashboard/models",
        "one model": "/dashboard/models/1",
        "two models": "/dashboard/models/compare?a=1&b=2",
        "decisions": "/dashboard/decisions",
        "decisions, page in the middle": f"/dashboard/decisions?after={middle}.0",
        "decisions of a customer": "/dashboard/decisions?customer=no-such-customer",
        "decisions of one day": "/dashboard/decisions?since=2025-01-02&until=2025-01-02",
        "decisions by a rare score": "/dashboard/decisions?low=99.99",
        "one decision": f"/dashboard/decisions/{middle}",
        "one decision, replayed": f"/dashboard/decisions/{middle}?replay=1",
        "live news": "/dashboard/live",
    }


def measure(portfolio: Portfolio, addresses: dict[str, str], times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of the first answer, the median and the slowest of ``times`` more, and the page's kilobytes."""
    app = create_app(portfolio.home, portfolio).pages

    async def ask() -> dict[str, dict[str, float]]:
        found = {}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=600) as client:
            for name, address in addresses.items():
                taken, size = [], 0
                for _ in range(times + 1):
                    started = time.perf_counter()
                    answer = await client.get(address)
                    taken.append((time.perf_counter() - started) * 1e3)
                    assert answer.status_code == 200, (address, answer.text[:500])
                    size = len(answer.content)
                found[name] = {
                    "first": taken[0],
                    "median": median(taken[1:]),
                    "slowest": max(taken[1:]),
                    "kilobytes": size / 1024,
                }
        return found

    return asyncio.run(ask())


@contextmanager
def said(what: str) -> Iterator[None]:
    """Progress on standard error."""
    started = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Print a table, or JSON; exit code 1 when a page is slower than the limit."""
    parser = argparse.ArgumentParser(description="Server time of every page of the dashboard.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the decisions and windows")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--decisions", type=int, help="default 1,000,000, quick 100,000")
    parser.add_argument("--windows", type=int, help="default 365, quick 60")
    given = parser.parse_args()
    count = given.decisions or (100_000 if given.quick else 1_000_000)
    windows = given.windows or (60 if given.quick else 365)
    with tempfile.TemporaryDirectory() as folder:
        with said("built"):
            portfolio = build(Path(folder), windows, count)
        with said("asked"):
            found = measure(portfolio, pages(windows, count), 3 if given.quick else 9)
        portfolio.home.close()
    slow = [name for name, taken in found.items() if taken["median"] >= LIMIT]
    document: dict[str, Any] = {"decisions": count, "windows": windows, "limit": LIMIT, "pages": found, "slow": slow}
    if given.json:
        print(json.dumps(document))
    else:
        print(f"{count:,} decisions, {windows} windows; milliseconds")
        print(f"{'page':<32} {'first':>8} {'median':>8} {'slowest':>8} {'kB':>7}")
        for name, taken in found.items():
            figures = (taken["first"], taken["median"], taken["slowest"], taken["kilobytes"])
            print(f"{name:<32} " + " ".join(f"{value:>8.1f}" for value in figures[:3]) + f" {figures[3]:>7.0f}")
        worst = max(taken["median"] for taken in found.values())
        print(f"{'MISSED ' if slow else 'reached'}  slowest page's median, ms: {worst:.0f} ({LIMIT:.0f})")
    if slow:
        sys.exit(f"Slower than {LIMIT:.0f} ms: {', '.join(slow)}.")


if __name__ == "__main__":
    main()
