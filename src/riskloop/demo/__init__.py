"""`riskloop demo`: the whole loop on one machine in about a minute, through the real server, files and commands."""

import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from riskloop.cases import CaseState
from riskloop.console import Console, table
from riskloop.core.errors import Conflict, Unreachable
from riskloop.core.types import Diagnosis, Json
from riskloop.demo.story import Chapter, Story, embedded_story, frame_story
from riskloop.demo.traffic import Traffic
from riskloop.store.files import make_folder

if TYPE_CHECKING:
    from riskloop.portfolio import Portfolio

MARKER: Final = ".riskloop-demo"  # only a folder that the demo made is ever deleted by it
LIVE: Final = 200  # customers of each month that come one by one
START_SECONDS: Final = 60
CHOSEN: Final[dict[str, dict[str, Any]]] = {
    "portfolio": {"name": "Demo portfolio"},
    # keeps the demo to a minute; a portfolio of one's own has the defaults
    "train": {"learners": ["scorecard", "lightgbm"]},
}
ASKING: Final[dict[str, dict[str, Any]]] = {"gate": {"approval": "always"}}


@dataclass(frozen=True)
class MonthDone:
    """What happened in one month."""

    month: str
    truth: str
    decisions: int
    diagnosis: str
    action: str
    verdict: str | None
    champion: int


def run_demo(
    data: Path | None,
    *,
    target: str | None,
    folder: Path,
    port: int,
    seed: int,
    leave: bool,
    ask: bool = False,
    console: Console,
) -> None:
    """Play the story and print what happened; serve on afterwards unless ``leave``.

    With ``ask`` the gate promotes nothing by itself: its challenger waits for a person.
    """
    started = time.perf_counter()
    _fresh(folder)
    story = embedded_story(seed) if data is None else frame_story(data, target, seed)
    portfolio = _train(folder, story, ask, console)
    port = port or _free_port()
    with _server(folder, port) as url:
        traffic = Traffic(url)
        traffic.start()
        verdicts = _play(portfolio, story, url, traffic, folder, console)
        traffic.stop()
        document = _document(portfolio, story, verdicts, traffic, time.perf_counter() - started)
        console.answer(document, *_lines(document, folder, url, leave))
        if not leave:
            _serve_on(console)


# --------------------------------------------------------------------------- before the first month


def _fresh(folder: Path) -> None:
    if folder.exists():
        if not (folder / MARKER).exists():
            raise Conflict(f"{folder} exists and was not made by the demo; choose another place with --folder.")
        shutil.rmtree(folder)
    make_folder(folder)
    (folder / MARKER).touch()


def _train(folder: Path, story: Story, ask: bool, console: Console) -> "Portfolio":
    from riskloop.data.config import infer_config
    from riskloop.portfolio import Portfolio

    console.say(f"History: {len(story.history):,} customers, {story.history[story.target].mean():.1%} defaulted.")
    history = folder / "history.csv"
    story.history.to_csv(history, index=False)
    text = infer_config(
        history,
        target=story.target,
        id=story.id,
        time=story.time,
        folder=folder,
        outcome_window=timedelta(days=30),
        chosen={**CHOSEN, **ASKING} if ask else CHOSEN,
    )
    (folder / "riskloop.toml").write_text(text, encoding="utf-8")
    portfolio = Portfolio.open(folder)
    with console.progress("Training") as tick:
        trained = portfolio.train(history, progress=tick, now=_at(story.chapters[0]) - timedelta(days=1))
    compared = ", ".join(f"{name} {entry['auc']:.4f}" for name, entry in trained.comparison.items())
    console.say(f"Trained: {compared}. {trained.sentence}")
    return portfolio


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _server(folder: Path, port: int) -> Iterator[str]:
    """The API in a process of its own, ended by its id when the demo ends."""
    import requests

    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "riskloop.cli", "serve", "--config", str(folder / "riskloop.toml")]
    log = folder / "server.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(  # noqa: S603 - our own module
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=out, stderr=subprocess.STDOUT
        ) as server,
    ):
        try:
            until = time.monotonic() + START_SECONDS
            with requests.Session() as session:
                session.trust_env = False
                while not _ready(session, url):
                    if server.poll() is not None or time.monotonic() > until:
                        raise Unreachable(f"The demo's API did not start on {url}; {log} says why.")
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()


def _ready(session: Any, url: str) -> bool:
    import requests

    try:
        return bool(session.get(f"{url}/readyz", timeout=5).status_code == 200)
    except requests.RequestException:
        return False


# --------------------------------------------------------------------------- the months


def _play(
    portfolio: "Portfolio", story: Story, url: str, traffic: Traffic, folder: Path, console: Console
) -> dict[str, str]:
    """Month by month: a file at night, customers all the time, outcomes late, one cycle. Gate verdicts by month."""
    from riskloop.batch.client import score_file

    verdicts: dict[str, str] = {}
    traffic.feed(_customers(story.chapters[0]))
    for position, chapter in enumerate(story.chapters):
        console.say(f"\n{chapter.month:%Y-%m}: {chapter.title}")
        clean = folder / f"{chapter.month:%Y-%m}_production_clean.csv"
        chapter.frame.iloc[LIVE:].to_csv(clean, index=False)
        scored = score_file(clean, folder / f"{chapter.month:%Y-%m}_production_with_predictions.csv", url)
        traffic.drain()
        console.say(f"  {scored.rows:,} customers scored from a file, {LIVE} one by one")
        if position + 1 < len(story.chapters):
            traffic.feed(_customers(story.chapters[position + 1]))  # they keep coming while the loop works
        if position:
            _hand_in(portfolio, story, story.chapters[position - 1], folder)
        before = portfolio.home.champion().version
        cycle = portfolio.cycle(now=_at(chapter) + timedelta(days=35), say=lambda line: console.say(f"  {line}"))
        for case in cycle.cases:
            verdict = _verdict(portfolio, case["id"])
            if verdict is not None and case["state"] not in {CaseState.WATCHING, CaseState.CONFIRMED}:
                verdicts[f"{chapter.month:%Y-%m}"] = verdict
        champion = portfolio.home.champion().version
        if champion != before:
            seconds = _live(url, champion)
            console.say(
                f"  The API answers with version {champion}, {seconds:.1f} s after the cycle, without a restart"
            )
    return verdicts


def _live(url: str, version: int) -> float:
    """Wait until the running API serves a version, while customers keep coming; the seconds that it took."""
    import requests

    started = time.monotonic()
    with requests.Session() as session:
        session.trust_env = False
        while session.get(f"{url}/model", timeout=5).json()["version"] != version:
            if time.monotonic() > started + START_SECONDS:
                raise Unreachable(f"The API at {url} did not pick up version {version}; its log says why.")
            time.sleep(0.02)
    return time.monotonic() - started


def _at(chapter: Chapter) -> datetime:
    return datetime(chapter.month.year, chapter.month.month, 1, tzinfo=UTC)


def _customers(chapter: Chapter) -> list[dict[str, Any]]:
    """The first rows as a client would send them: plain JSON numbers, and no key for a missing value."""
    rows = chapter.frame.iloc[:LIVE].astype(object).where(chapter.frame.iloc[:LIVE].notna(), None)
    return [{str(k): value for k, value in row.items() if value is not None} for row in rows.to_dict("records")]


def _hand_in(portfolio: "Portfolio", story: Story, chapter: Chapter, folder: Path) -> None:
    """The outcomes of a month as a file, known when their outcome window is over."""
    labels = chapter.frame[[story.id]].copy()
    labels[story.target] = chapter.target
    labels["known_at"] = (_at(chapter) + timedelta(days=62)).isoformat()
    path = folder / f"{chapter.month:%Y-%m}_outcomes.csv"
    labels.to_csv(path, index=False)
    portfolio.record_outcomes(path)


def _verdict(portfolio: "Portfolio", number: int) -> str | None:
    judged = portfolio.home.cases.judged(number)
    return None if judged is None else judged.report.verdict.value


# --------------------------------------------------------------------------- after the last month


def _document(portfolio: "Portfolio", story: Story, verdicts: dict[str, str], traffic: Traffic, seconds: float) -> Json:
    windows = portfolio.home.windows.latest(len(story.chapters))
    truths = {f"{chapter.month:%Y-%m}": chapter.title for chapter in story.chapters}
    champions = portfolio.home.ledger
    months = []
    for window in windows:
        served = champions.champion_at(window.closed_at)
        months.append(
            MonthDone(
                month=window.name,
                truth=truths[window.name],
                decisions=window.rows,
                diagnosis=window.diagnosis.value,
                action=window.action.value,
                verdict=verdicts.get(window.name),
                champion=window.model_version if served is None else served.version,
            )
        )
    cases = portfolio.home.cases.latest(1000)
    on_faults = sum(case.diagnosis is Diagnosis.DATA_FAULT and case.challenger is not None for case in cases)
    champion = portfolio.model()
    return {
        "months": [asdict(month) for month in months],
        "promotions": sum(p.kind.brings_challenger for p in portfolio.home.ledger.promotions()),
        "rejected": sum(case.state is CaseState.REJECTED for case in cases),
        "waiting": [case.id for case in cases if case.state is CaseState.NEEDS_APPROVAL],
        "faults": sum(month.diagnosis == Diagnosis.DATA_FAULT for month in months),
        "retrainings_on_faults": on_faults,
        "requests": traffic.sent,
        "failed_requests": len(traffic.failures),
        "failures": traffic.failures[:5],
        "answered_by_version": {str(version): count for version, count in sorted(traffic.versions.items())},
        "champion": {"version": champion.version, "auc": champion.auc},
        "seconds": round(seconds, 1),
    }


def _lines(document: Json, folder: Path, url: str, leave: bool) -> list[str]:
    head = ("month", "what really happened", "decisions", "diagnosis", "action", "gate", "champion")
    answered = ", ".join(f"{n:,} by version {v}" for v, n in document["answered_by_version"].items())
    config = f"--config {shlex.quote(str(folder / 'riskloop.toml'))}"  # a copied line must work
    run = (
        "riskloop" if shutil.which("riskloop") else shlex.quote(sys.argv[0])
    )  # `make demo` runs it from an environment not entered
    lines = [
        "",
        table(head, [tuple(month.values()) for month in document["months"]]),
        f"Promotions by evidence: {document['promotions']}, challengers rejected: {document['rejected']}, "
        f"data faults: {document['faults']}, retrainings on them: {document['retrainings_on_faults']}.",
        f"{document['requests']:,} single requests ({answered}), {document['failed_requests']} failed.",
        f"Champion: version {document['champion']['version']}. {document['seconds']:.0f} seconds.",
        "",
        "Where to look:",
        f"  {run} status {config}",
        f"  {run} cases list {config}        {run} cases show 1 {config}",
        f"  {run} models list {config}       {run} replay 1 {config}",
        *(f"  {run} cases show {case} {config}   it waits for your approval" for case in document["waiting"]),
        *(
            [f"  {folder}/reports/   Evidently's pages of the months that drifted"]
            if Path(folder, "reports").exists()
            else []
        ),
    ]
    if leave:
        lines.append(f"  {run} up {config}   serves the dashboard on http://127.0.0.1:8000")
    else:
        lines.append(f"  {url}/   the dashboard        {url}/docs   the API        (Ctrl-C ends both)")
    return lines


def _serve_on(console: Console) -> None:
    console.say("Serving until Ctrl-C …")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.say("Stopped.")
