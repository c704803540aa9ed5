"""`riskloop backtest` and `Portfolio.backtest`, as users meet them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from riskloop import cli
from riskloop.core.settings import Settings, settings_text
from riskloop.portfolio import Portfolio

Customers = Callable[..., pd.DataFrame]


@pytest.fixture
def folder(tmp_path: Path, customers: Customers, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    customers(6, 300).to_csv(tmp_path / "history.csv", index=False)
    (tmp_path / "riskloop.toml").write_text(settings_text(settings), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _riskloop(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["riskloop", "backtest", *words])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_writes_both_files_and_says_the_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("history.csv", "--policy", "manual", "--outcome-window", "60d", "--config", "riskloop.toml", "--jobs", "1")
    assert _riskloop(monkeypatch, *words, "--json", "out.json", "--html", "out.html") == 0
    document = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert set(document["policies"]) == {"manual", "never", "always"}
    assert document["outcome_window"] == "60d"
    assert "<title>Back-test of" in (folder / "out.html").read_text(encoding="utf-8")
    out = capsys.readouterr().out
    assert document["answer"] in out
    assert "Wrote out.json." in out
    assert not (folder / ".riskloop-backtest").exists()
    assert not (folder / "riskloop.db").exists(), "the portfolio itself is not touched"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("history.csv", "--target", "default"), 2, "name the column of the date with --time"),
        (("none.csv", "--target", "default", "--time", "period"), 4, "does not exist"),
        (("history.csv", "--target", "default", "--time", "region"), 3, "which is no date"),
        (("history.csv", "--target", "default", "--time", "period", "--policy", "weekly"), 2, "no policy 'weekly'"),
        (("history.csv", "--target", "default", "--time", "period", "--windows", "era"), 2, "choose day, week"),
        (("history.csv", "--target", "default", "--time", "period", "--json", "no/o.json"), 8, "does not exist"),
        (("--scenario", "doom"), 2, "choose one of stable"),
        ((), 2, "Name a history"),
    ],
)
def test_refusals_are_one_sentence(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    assert _riskloop(monkeypatch, *words) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert not captured.out
    assert not (folder / ".riskloop-backtest").exists()


def test_ctrl_c_is_exit_code_130_and_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("riskloop.backtest.study.backtest", interrupted)
    assert _riskloop(monkeypatch, "history.csv", "--target", "default", "--time", "period") == 130
    assert capsys.readouterr().err.strip() == "riskloop: stopped."


def test_a_portfolio_replays_a_frame_with_its_own_settings(folder: Path, customers: Customers) -> None:
    portfolio = Portfolio.open(folder)
    document = portfolio.backtest(customers(6, 300), policies="never", train_on=4)
    assert document.policies["never"]["periods"][0]["period"] == "5"
    assert portfolio.models.empty
