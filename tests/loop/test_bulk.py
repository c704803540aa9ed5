"""A real champion scores a file on several cores: its profiles are what monitoring would make of the rows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from riskloop.core.span import EVERYTHING
from riskloop.data.config import infer_config
from riskloop.loop.champion import load
from riskloop.monitor.profile import Profile
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate

TRAINED = datetime(2024, 12, 31, tzinfo=UTC)


def test_a_file_goes_through_the_loop_as_decisions_of_the_api_do(tmp_path: Path) -> None:
    history = simulate(month_starts(TRAINED.date().replace(month=1, day=1), 6), 400, 1)
    history.to_csv(tmp_path / "history.csv", index=False)
    text = infer_config(tmp_path / "history.csv", target=TARGET, id=ID, time=TIME, outcome_window=timedelta(days=30))
    text = text.split("\n[train]")[0] + '\n[train]\nlearners = ["lightgbm"]\nfolds = 3\n[drift]\nevidently_rows = 0\n'
    (tmp_path / "riskloop.toml").write_text(text, encoding="utf-8")
    portfolio = Portfolio.open(tmp_path)
    portfolio.train(now=TRAINED)
    customers = simulate(month_starts(datetime(2025, 1, 1, tzinfo=UTC).date(), 2), 1500, 7)
    known = {c: set(history[c]) for c in ("EDUCATION", "MARRIAGE")}
    for column, levels in known.items():
        customers[column] = customers[column].where(customers[column].isin(levels), min(levels))
    customers.drop(columns=TARGET).to_parquet(tmp_path / "in.parquet", index=False)
    summary = portfolio.score_file(tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert summary.rows == len(customers)
    log = portfolio.home.decisions
    champion = load(portfolio.home, 1)
    whole = champion.reference.empty
    for stored in log.profiles(EVERYTHING):
        whole += Profile.from_bytes(stored.profile)
    frame = log.frame()
    assert frame.probabilities.tobytes() == champion.model.probabilities(frame.features).tobytes()
    again = champion.reference.profile(frame.features, frame.probabilities, frame.times)
    assert whole.to_bytes() == again.to_bytes()
    labels = customers[[ID, TARGET]].assign(known_at="2025-08-01")
    assert portfolio.record_outcomes(labels, now=datetime(2025, 9, 1, tzinfo=UTC)).recorded == len(customers)
    done = portfolio.cycle(now=datetime(2025, 9, 1, tzinfo=UTC))
    closed = [window for window in done.closed if window["decisions"]]
    assert sum(window["decisions"] for window in closed) == len(customers)
    assert len(done.matured) == len(closed) == 2
    assert portfolio.replay(5).identical
    portfolio.home.close()
