"""How long does the server take for each page of the dashboard, with a year of daily windows and a million decisions?

    python -m benchmarks.web [--quick] [--json] [--decisions N] [--windows N] [--processor] [--url postgresql+psycopg://…]

A small loop is run for real: two models, one day of decisions, its outcomes, two cycles. That day is then copied in
bulk to all others, so that the database has the size of a year and every page the content of one. Each page is asked
for in this process, through the whole application, without a network: first once, then several times. What counts is
the median; the first time includes the loading of libraries, templates and models. Where other programs use the
machine, `--processor` judges by the time of the processor that the page took, which waits for nobody.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import numpy as np
from sqlalchemy import Connection, text

from benchmarks.postgres import twin
from riskloop.app import create_app
from riskloop.cases import CaseState, Move
from riskloop.cases.events import Judged
from riskloop.core.manifest import EvaluationManifest
from riskloop.core.types import Diagnosis, Verdict, to_micros
from riskloop.data.config import infer_config
from riskloop.gate.approval import evidence_fingerprint
from riskloop.gate.verdict import sentences
from riskloop.loop import snapshot
from riskloop.loop.challenge import compare
from riskloop.loop.challenger_file import make_file
from riskloop.loop.champion import load
from riskloop.loop.evidence import evaluate, keep
from riskloop.portfolio import Portfolio
from riskloop.retrain.dataset import pool
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate
from riskloop.store.cases import move_case, open_case
from riskloop.store.documents import gate_report, plain

LIMIT: Final = 300.0  # milliseconds
DAY: Final = timedelta(days=1)
START: Final = datetime(2025, 1, 1, tzinfo=UTC)
ROWS: Final = 2000  # of the day that is copied
CASES: Final = 120
REMARKS: Final = 50  # on one case
FAULTY: Final = 3  # windows
EVENTS: Final = 100_000  # of the audit trail
FILES: Final = frozenset(("report of a version", "report of a case"))  # made to be saved: shown, and not judged


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
    _waiting_case(portfolio)
    with portfolio.home.database.write() as connection:
        _copy(connection, windows, count)
        _fault(connection, windows)
        _cases(connection, windows)
        _trail(connection)
    portfolio.home.feed.keep_tallies()  # as every cycle does
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


def _waiting_case(portfolio: Portfolio) -> None:
    """Case 1 waits for a person who reads the challenger file, and people have spoken about it."""
    home, settings, now = portfolio.home, portfolio.home.settings, START + 40 * DAY
    champion, challenger = load(home, 2), load(home, 1)
    frame = snapshot.read(home.decisions, snapshot.take(home.feed, home.windows, now))
    rows = pool(None, frame)
    tested = np.arange(len(rows.rows.ids))
    scores = challenger.model.probabilities(rows.rows.features[tested])
    evaluation = evaluate(settings, champion, challenger.model, rows, tested, scores, frame, "retrain", blocks=None)
    file = make_file(settings, evaluation, champion, challenger.model, rows, tested, frame)
    about = EvaluationManifest(champion=2, challenger=1)
    kept = keep(home.artefacts, evaluation, rows, tested, frame, about, file)
    judged = replace(compare(home, 2, 1, now), verdict=Verdict.NEEDS_APPROVAL, evaluation=kept.sha256)
    report = gate_report(plain(judged))
    fingerprint = evidence_fingerprint(report, 1)
    said = Judged(report, sentences(report), fingerprint, kept.name, None, len(frame), None, 2, home.champion().seq)
    confirmed = Move(CaseState.CONFIRMED, "It fell.")
    with home.database.write() as connection:
        case = open_case(connection, confirmed, at=now, diagnosis=Diagnosis.CONCEPT_DRIFT, window_id=1, champion=2)
        trained = Move(CaseState.TRAINED, "Judged.", event=said, changes={"challenger": 1, "tries": 1})
        case = move_case(connection, case, trained, at=now)
        move_case(connection, case, Move(CaseState.NEEDS_APPROVAL, report.sentence), at=now)
    for number in range(REMARKS):
        portfolio.comment(case.id, f"Remark {number}.", by="benchmark")


def _fault(connection: Connection, windows: int) -> None:
    """Case 2: a fault in the last windows but one, whose decisions are in quarantine."""
    held = Move(CaseState.QUARANTINED, "Units changed.")
    last = windows - 1
    case = open_case(
        connection, held, at=START + DAY * last, diagnosis=Diagnosis.DATA_FAULT, window_id=last - FAULTY + 1, champion=1
    )
    connection.execute(
        text(
            "UPDATE windows SET quarantined = TRUE, diagnosis = 'data_fault', case_id = :case "
            "WHERE id BETWEEN :first AND :last"
        ),
        {"case": case.id, "first": last - FAULTY + 1, "last": last},
    )


def _trail(connection: Connection) -> None:
    """A year of an audit trail."""
    connection.execute(
        text(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
            'INSERT INTO audit (at, "by", action, subject, document) '
            "SELECT :start + i * 300000000, 'person ' || (i % 20), "
            "CASE i % 4 WHEN 0 THEN 'read decision' WHEN 1 THEN 'login' WHEN 2 THEN 'export' ELSE 'comment' END, "
            "'decision ' || i, '{}' FROM n"
        ),
        {"last": EVENTS, "start": to_micros(START)},
    )


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


def pages(portfolio: Portfolio, windows: int, count: int) -> dict[str, str]:
    """Addresses by what they show."""
    middle = count // 2
    customer, found = portfolio.home.decisions.get(middle).customer_id, "/dashboard/decisions?"
    return {
        "overview": "/",
        "drift, 52 windows": "/dashboard/drift?size=52",
        "one feature": f"/dashboard/drift/PAY_0?window={windows}",
        "one window": f"/dashboard/windows/{windows // 2}",
        "performance, 52 cohorts": "/dashboard/performance?size=52",
        "cases": "/dashboard/cases",
        "open cases": "/dashboard/cases?show=open",
        "one case": f"/dashboard/cases/{CASES // 2}",
        "a case to decide": "/dashboard/cases/1",
        "form of an approval": "/dashboard/cases/1/approve",
        "challenger file": "/dashboard/cases/1/challenger",
        "an incident": "/dashboard/cases/2",
        "models": "/dashboard/models",
        "one model": "/dashboard/models/1",
        "two models": "/dashboard/models/compare?a=1&b=2",
        "decisions": "/dashboard/decisions",
        "decisions, page in the middle": f"{found}after={middle}.0",
        "decisions of nobody": f"{found}customer=no-such-customer",
        "a person's history": f"{found}customer={customer}",
        "decisions of one day": f"{found}since=2025-01-02&until=2025-01-02",
        "decisions by a rare score": f"{found}low=99.99",
        "decisions of one window": f"{found}window={windows // 2}",
        "decisions of a version": f"{found}version=2",
        "decisions of no version": f"{found}version=1",
        "declined ones": f"{found}decision=decline",
        "approved and defaulted": f"{found}decision=approve&outcome=defaulted",
        "with an unknown outcome": f"{found}outcome=unknown",
        "of one grade": f"{found}grade=very_high",
        "flagged ones": f"{found}flag=yes",
        "of a segment": f"{found}segment=SEX%3D2",
        "several filters, oldest first": f"{found}segment=SEX%3D2&outcome=defaulted&grade=low&order=oldest",
        "one decision": f"/dashboard/decisions/{middle}",
        "one decision, replayed": f"/dashboard/decisions/{middle}?replay=1",
        "audit trail": "/dashboard/audit",
        "audit trail of a person": "/dashboard/audit?by=person+7",
        "audit trail by a rare action": "/dashboard/audit?action=register",
        "live news": "/dashboard/live",
        "report of a version": "/dashboard/models/2/document",
        "report of a case": "/dashboard/cases/1/document",
    }


def measure(portfolio: Portfolio, addresses: dict[str, str], times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of the first answer, of ``times`` more (median, slowest, processor), and the page's kilobytes."""
    app = create_app(portfolio.home, portfolio).pages

    async def ask() -> dict[str, dict[str, float]]:
        found = {}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=600) as client:
            for name, address in addresses.items():
                taken, busy, size = [], [], 0
                for _ in range(times + 1):
                    started, used = time.perf_counter(), time.process_time()
                    answer = await client.get(address)
                    taken.append((time.perf_counter() - started) * 1e3)
                    busy.append((time.process_time() - used) * 1e3)
                    assert answer.status_code == 200, (address, answer.text[:500])
                    size = len(answer.content)
                found[name] = {
                    "first": taken[0],
                    "median": median(taken[1:]),
                    "slowest": max(taken[1:]),
                    "processor": median(busy[1:]),
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
    parser.add_argument("--processor", action="store_true", help="judge by processor time, on a machine that is shared")
    parser.add_argument("--url", help="of an empty PostgreSQL database, where the same pages are asked for, too")
    given = parser.parse_args()
    count = given.decisions or (100_000 if given.quick else 1_000_000)
    windows = given.windows or (60 if given.quick else 365)
    times = 3 if given.quick else 9
    judged = "processor" if given.processor else "median"
    found: dict[str, dict[str, dict[str, float]]] = {}

    def ask(database: str, portfolio: Portfolio) -> None:
        """The pages over one database, told as soon as they are measured."""
        with said("asked"):
            found[database] = measure(portfolio, pages(portfolio, windows, count), times)
        portfolio.home.close()
        if not given.json:
            tell(f"{database}, {count:,} decisions, {windows} windows; milliseconds", found[database], judged)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "sqlite"
        place.mkdir()
        with said("built"):
            portfolio = build(place, windows, count)
        ask("SQLite", portfolio)
        if given.url:
            with said("copied"):
                portfolio = Portfolio.open(twin(place, given.url))
            ask("PostgreSQL", portfolio)
    slow = [
        f"{name} ({database})"
        for database, answers in found.items()
        for name, taken in answers.items()
        if taken[judged] >= LIMIT and name not in FILES
    ]
    document: dict[str, Any] = {
        "decisions": count,
        "windows": windows,
        "limit": LIMIT,
        "judged": judged,
        "pages": found,
        "slow": slow,
    }
    if given.json:
        print(json.dumps(document))
    if slow:
        sys.exit(f"Slower than {LIMIT:.0f} ms: {', '.join(slow)}.")


def tell(title: str, answers: dict[str, dict[str, float]], judged: str) -> None:
    """One database's table."""
    print(title)
    print(f"{'page':<32} {'first':>8} {'median':>8} {'slowest':>8} {'processor':>9} {'kB':>7}")
    for name, taken in answers.items():
        told = " ".join(f"{taken[key]:>8.1f}" for key in ("first", "median", "slowest"))
        print(f"{name:<32} {told} {taken['processor']:>9.1f} {taken['kilobytes']:>7.0f}")
    worst = max(taken[judged] for name, taken in answers.items() if name not in FILES)
    print(
        f"{'MISSED ' if worst >= LIMIT else 'reached'}  slowest page's {judged}, ms: {worst:.0f} ({LIMIT:.0f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
