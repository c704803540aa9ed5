"""The whole loop through its own commands: processes, HTTP and files, nothing in between.

A year of history; then a month as before, a month whose limits arrive a hundred times too large, and a recession. The
server runs all the while, the worker comes once a month as a scheduler would start it.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from riskloop.simulation import SCENARIOS, Embedded, stream
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate

PATIENCE = 180  # seconds for anything that a process does; machines are slow at times
FIRST = date(2025, 1, 1)
PLOT = [("stable", 1), ("units_x100", 1), ("recession", 3)]


def riskloop(folder: Path, *words: str) -> Any:
    """One command in a process of its own; its JSON document."""
    done = subprocess.run(
        [sys.executable, "-m", "riskloop.cli", *words, "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """`riskloop serve` on a free port, ended by its id."""
    command = [sys.executable, "-m", "riskloop.cli", "serve", "--port", "0"]
    said = folder / "server.log"
    with (
        said.open("w", encoding="utf-8") as log,
        subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=log) as process,
    ):
        try:
            wait_for(lambda: "serves on" in said.read_text(encoding="utf-8"))
            url = next(
                word for word in said.read_text(encoding="utf-8").split() if word.startswith("http://127.0.0.1:")
            )
            wait_for(lambda: requests.get(f"{url}/readyz", timeout=PATIENCE).status_code == 200)
            yield url
        finally:
            process.terminate()


def wait_for(true: Any) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if true():
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < until
        time.sleep(0.05)


def months(per_month: int) -> list[tuple[str, date, pd.DataFrame, Sequence[int]]]:
    """Scenario, first day, what the feed delivers, what happened."""
    found = []
    first = FIRST
    for seed, (name, length) in enumerate(PLOT, start=1):
        starts = month_starts(first, length)
        for month in stream(SCENARIOS[name], Embedded(), starts, per_month, seed, starts_at=0):
            found.append((name, month.start, month.frame, month.target.tolist()))
        first = month_starts(first, length + 1)[-1]
    return found


def hand_in(folder: Path, frame: pd.DataFrame, target: Sequence[int], known: datetime) -> None:
    labels = frame[[ID]].copy()
    labels[TARGET], labels["known_at"] = list(target), known.isoformat()
    labels.to_csv(folder / "labels.csv", index=False)
    recorded = riskloop(folder, "outcomes", "labels.csv")
    assert recorded["recorded"] == len(frame)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Where an empty database of either kind is."""
    if request.param == "sqlite":
        return lambda: "sqlite:///riskloop.db"
    databases = request.getfixturevalue("postgres")
    return lambda: str(databases.empty())


def stored(settings: str, url: str) -> str:
    """The settings with another database."""
    changed, count = re.subn(r'# url = "sqlite:.*', f'url = "{url}"', settings)
    assert count == 1
    return changed


def brought_back(folder: Path, settings: str, replayed: list[Any]) -> list[Any]:
    """The same decisions replayed in a portfolio that was restored from a backup."""
    backed_up = riskloop(folder, "backup", "kept")
    place = folder / "back"
    place.mkdir()
    (place / "riskloop.toml").write_text(settings, encoding="utf-8")
    assert riskloop(place, "restore", "../kept")["rows"] == backed_up["rows"]
    return [riskloop(place, "replay", each["decision_id"]) for each in replayed]


def test_the_loop_closes(tmp_path: Path, url: Callable[[], str]) -> None:
    simulate(month_starts(date(2024, 1, 1), 12), 1000, 11).to_csv(tmp_path / "history.csv", index=False)
    riskloop(tmp_path, "init", "history.csv", "--target", TARGET, "--id", ID, "--time", TIME, "--outcome-window", "30d")
    config = tmp_path / "riskloop.toml"  # one learner: the story is the loop's, not the selection's
    text = re.sub(r"# learners = \[.*(?=  # Learners)", 'learners = ["lightgbm"]', config.read_text(encoding="utf-8"))
    config.write_text(stored(text, url()), encoding="utf-8")
    trained = riskloop(tmp_path, "train")
    assert list(trained["comparison"]) == ["lightgbm"]
    assert trained["version"] == 1

    seen: list[dict[str, Any]] = []
    with server(tmp_path) as api:
        played = months(2000)
        for position, (name, start, frame, _) in enumerate(played):
            clean, scored = tmp_path / "production_clean.csv", tmp_path / "production_with_predictions.csv"
            frame.to_csv(clean, index=False)
            summary = riskloop(tmp_path, "score", clean.name, scored.name, "--url", api)
            assert summary["rows"] == len(frame)
            written = pd.read_csv(scored)
            assert written[ID].tolist() == frame[ID].tolist()
            assert written["probability"].between(0, 1).all()
            if position:
                _, earlier, before, target = played[position - 1]
                known = datetime(earlier.year, earlier.month, 1) + timedelta(days=62)
                hand_in(tmp_path, before, target, known)
            cycle = riskloop(tmp_path, "watch", "--once", "--now", str(start + timedelta(days=35)))
            seen.append({"scenario": name, **cycle["closed"][-1]})

        # A stable month is left alone; a broken feed is quarantined and never learned from.
        assert [month["diagnosis"] for month in seen[:2]] == ["stable", "data_fault"]
        cases = riskloop(tmp_path, "cases", "list")
        fault = next(case for case in cases if case["diagnosis"] == "data_fault")
        assert fault["challenger"] is None
        # The recession is found, retrained for and answered with a better model, proven on matured outcomes …
        changes = [case for case in cases if case["diagnosis"] == "concept_drift"]
        drift = changes[-1]  # the first; later ones make its model again with more outcomes
        assert drift["state"] == "promoted", drift["sentence"]
        report = next(
            event["document"]["report"]
            for event in reversed(riskloop(tmp_path, "cases", "show", str(drift["id"]))["events"])
            if "report" in event["document"]
        )
        assert report["verdict"] == "promote"
        assert report["challenger_auc"] > report["champion_auc"]
        # … and the server, which nobody restarted, answers with it.
        champion = riskloop(tmp_path, "status")["champion"]["version"]
        assert champion == drift["challenger"]
        wait_for(lambda: requests.get(f"{api}/model", timeout=PATIENCE).json()["version"] == champion)
        row = json.loads(played[-1][2].iloc[0].dropna().to_json())
        answer = requests.post(f"{api}/predict", json=row, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == champion

    # All of that was scored today: the months since the last file are no silence of the feed.
    later = riskloop(tmp_path, "watch", "--once")
    assert all(window["decisions"] for window in later["closed"])
    faults = [case for case in riskloop(tmp_path, "cases", "list") if case["diagnosis"] == "data_fault"]
    assert [case["id"] for case in faults] == [fault["id"]]

    # The first decision and the last replay to the last bit, each with the model of its day.
    replayed = [riskloop(tmp_path, "replay", decision) for decision in ("1", answer.json()["decision_id"])]
    assert all(each["identical"] for each in replayed)
    assert brought_back(tmp_path, stored(text, url()), replayed) == replayed
    rolled_back = riskloop(tmp_path, "models", "rollback", "--reason", "to see that one can")
    assert rolled_back["version"] == trained["version"]
