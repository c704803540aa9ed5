"""How the portfolio in `format_1/` was made: by the code of riskloop 0.1.0, commit ee70378, never by today's.

    git worktree add /tmp/old ee70378 && make -C /tmp/old .venv/.ready
    /tmp/old/.venv/bin/python tests/old/make_portfolio.py tests/old/format_1

Tests only read the result. Modules are imported by name, because they are that commit's and may be gone today.
"""

import json
import shutil
import sqlite3
import sys
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

CONFIG: Final = """[portfolio]
name = "Small loans"
target = "bad"
id = "id"
time = "day"
[features.debt]
range = [0, 100]
monotone = 1
[features.income]
nullable = true
[features.age]
range = [18, inf]
protected = true
[features.job]
kind = "category"
categories = ["none", "clerk", "7", "gärtner"]
unseen = "flag"
[train]
learners = ["LEARNER"]
folds = 3
threads = 1
[exploration]
rate = 0.2
[drift]
reference_rows = 120
[storage]
reports = "reports"
"""
NOW: Final = datetime(2025, 3, 20, tzinfo=UTC)


def rows(count: int, seed: int, first: date, days: int, shift: float = 0.0) -> pd.DataFrame:
    """Customers whose risk grows with debt and falls with income; ``shift`` raises everybody's log-odds."""
    rng = np.random.default_rng(seed)
    debt = rng.gamma(2.0, 10.0, count).clip(0, 100).round(2)
    income = rng.normal(3.0, 1.0, count).round(2)
    job = rng.choice(["none", "clerk", "7", "gärtner"], count)
    z = -1.5 + 0.06 * (debt - 20) - 0.8 * (income - 3) + 0.5 * (job == "none") + shift
    frame = pd.DataFrame(
        {
            "id": [f"c{seed}-{i}" for i in range(count)],
            "day": [str(first + timedelta(days=int(i))) for i in np.sort(rng.integers(0, days, count))],
            "debt": debt,
            "income": np.where(rng.random(count) < 0.05, np.nan, income),
            "age": rng.integers(18, 80, count),
            "job": job,
        }
    )
    return frame.assign(bad=(rng.random(count) < 1 / (1 + np.exp(-z))).astype(int))


def opened(folder: Path, learner: str) -> Any:
    """The portfolio with one learner in its configuration."""
    (folder / "riskloop.toml").write_text(CONFIG.replace("LEARNER", learner), encoding="utf-8")
    return import_module("riskloop.portfolio").Portfolio.open(folder)


def lived(portfolio: Any, frame: pd.DataFrame, known: int) -> None:
    """Score rows, and hand in the first ``known`` outcomes."""
    customers = frame.drop(columns="bad")
    customers.loc[customers.index[3], "job"] = "astronaut"  # unseen
    scored = portfolio.score(customers)
    reported = pd.DataFrame({"decision_id": scored["decision_id"], "bad": frame["bad"]}).head(known)
    portfolio.record_outcomes(reported, now=NOW)


def challenger(portfolio: Any, action: str, diagnosis: str, case: int) -> int:
    """A version that was made from an order, as a case makes it."""
    loop, types = "riskloop.loop", import_module("riskloop.core.types")
    making, home = import_module(f"{loop}.making"), portfolio.home
    taken = import_module(f"{loop}.snapshot").Snapshot.judged(home, NOW)
    since = int(datetime(2025, 2, 1, tzinfo=UTC).timestamp()) * 1_000_000
    order = making.Order(1, types.Action(action), types.Diagnosis(diagnosis), since, taken)
    work = making.make(home, order, import_module(f"{loop}.champion").load(home, 1))
    made = work.made
    register = import_module(f"{loop}.register").register
    return int(
        register(
            home,
            made.candidate,
            made.trained_on.rows,
            origin=work.recipe.origin,
            parent=1,
            case_id=case,
            now=NOW,
        )
    )


def expected(portfolio: Any, versions: list[int], history: pd.DataFrame) -> dict[str, Any]:
    """What that code said, as exact hexadecimal floats."""
    home, read = portfolio.home, import_module("riskloop.data.read")
    load = import_module("riskloop.serve.scorer").load_scorer
    matrix = read.rows_from(history, home.schema, target="required", where="the history").features
    models = {}
    for version in versions:
        scorer = load(home.artefact(version), version)
        models[version] = {
            "sha256": home.ledger.model(version).sha256,
            "threshold": scorer.threshold.hex(),
            "probabilities": [p.hex() for p in scorer.probabilities(matrix[:50]).tolist()],
            "contributions": [p.hex() for p in scorer.contributions(matrix[:5]).ravel().tolist()],
        }
    decisions = {}
    for number in range(1, home.decisions.last_id() + 1):
        replayed = portfolio.replay(number)
        assert replayed["identical"], replayed["sentence"]
        kept = ["model_version", "default", "risk_level", "flags"]
        kept += ["features", "reasons"] if number % 40 == 4 else []
        decisions[number] = {key: replayed[key] for key in kept} | {"probability": replayed["probability"].hex()}
    return {"schema": home.schema.fingerprint, "models": models, "decisions": decisions}


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    history = rows(500, 1, date(2024, 1, 1), 360)
    history.head(50).to_csv(folder / "rows.csv", index=False)
    first = opened(folder, "scorecard")
    first.train(history, now=datetime(2025, 1, 1, tzinfo=UTC))
    lived(first, rows(120, 2, date(2025, 1, 1), 31), 120)
    first.home.close()
    second = opened(folder, "lightgbm")
    second.train(history, now=datetime(2025, 2, 1, tzinfo=UTC))
    second.promote(2, by="anna", reason="The boosted trees rank better.", force=True)
    lived(second, rows(120, 3, date(2025, 2, 1), 28, shift=1.0), 100)
    second.cycle(now=NOW)  # before the challengers, so that their snapshots hold spans
    made = [challenger(second, "recalibrate", "prior_shift", 7), challenger(second, "retrain", "concept_drift", 8)]
    document = expected(second, [1, 2, *made], history)
    second.home.close()
    shutil.rmtree(folder / "reports", ignore_errors=True)
    database = next(folder.glob("*.db"))
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
    (folder / "expected.json").write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
