"""A lender's features come and go: what the loop makes of a log that several schemas coded."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from riskloop.core.errors import DataError
from riskloop.core.types import Severity
from riskloop.loop.champion import load
from riskloop.loop.cycle import cycle
from riskloop.loop.promotion import promote_on_request
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import World

from .conftest import BEGUN, MONTHS, live

Change = Callable[[str], str]


def _without(name: str) -> Change:
    """The text of a riskloop.toml whose feature is an ignored column from now on."""

    def change(text: str) -> str:
        gone = re.sub(rf"\[features\.{name}\]\n(?:[^\[\n].*\n|\n)*", "", text)
        assert gone != text
        return gone.replace("[portfolio]\n", f'[portfolio]\nignore = ["{name}"]\n', 1)

    return change


def _reordered(text: str) -> str:
    parts = re.split(r"(?=^\[features\.)", text, flags=re.MULTILINE)
    head, features, tail = parts[0], parts[1:-1], parts[-1]
    return head + "".join(features[::-1]) + tail


def _new_level(text: str) -> str:
    changed = re.sub(r"(\[features\.EDUCATION\]\n(?:[^\[\n].*\n)*?categories = \[)", r'\1"none", ', text)
    assert changed != text
    return changed


def _reopened(portfolio: Portfolio, change: Change) -> Portfolio:
    """The portfolio with other features, and a champion that was trained on the history anew."""
    config = portfolio.home.config
    portfolio.home.close()
    config.write_text(change(config.read_text(encoding="utf-8")), encoding="utf-8")
    changed = Portfolio.open(config.parent)
    changed.train(config.parent / "history.csv", now=datetime(2025, 2, 15, tzinfo=UTC))
    _force(changed, 2, datetime(2025, 2, 28, 23, tzinfo=UTC))
    return changed


def _force(portfolio: Portfolio, version: int, at: datetime) -> None:
    promote_on_request(portfolio.home, version, by="a person", reason="Other features.", force=True, now=at)


@pytest.mark.parametrize(
    "change", [_without("BILL_AMT1"), _reordered, _new_level], ids=["a feature less", "another order", "a new level"]
)
def test_the_loop_goes_on_with_what_the_old_log_tells(
    trained_folder: Path, copied: Callable[[Path], Portfolio], change: Change
) -> None:
    """Windows, the gate and a challenger: all of them across the exchange."""
    portfolio = copied(trained_folder)
    live(portfolio, MONTHS[0], 100, World(), n=500)
    live(portfolio, MONTHS[1], 101, World(), n=500)
    before = portfolio.home.decisions.frame()
    portfolio = _reopened(portfolio, change)
    live(portfolio, MONTHS[2], 102, World(), n=500)
    home, champion = portfolio.home, load(portfolio.home, 2)

    frame = home.decisions.frame(schema=champion.model.schema)
    assert len(frame) > len(before)
    assert frame.features.shape[1] == len(champion.model.schema)
    then = load(home, 1).model
    for row in (0, len(before) - 1):
        told = then.schema.decode(before.features[row])
        now = champion.model.schema.decode(frame.features[row])
        assert now == {name: told[name] for name in champion.model.schema.names}

    done = cycle(home, BEGUN)
    assert home.windows.count() == 3
    for window in home.windows.latest(3):
        assert not window.quarantined
        assert [f.sentence for f in home.windows.findings(window.id) if f.severity is Severity.FAULT] == []
    assert not any("cannot be compared" in line for line in done.lines)
    unwatched = ["reads 'BILL_AMT1' otherwise or as well: nobody watches" in line for line in done.lines]
    assert sum(unwatched) == ("BILL_AMT1" not in champion.model.schema.names)


def test_decisions_without_a_new_feature_are_left_out_and_that_is_said(
    trained_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    """Nobody can say what it would have been, so the new champion cannot be held against them."""
    portfolio = copied(trained_folder)
    full = portfolio.home.config.read_text(encoding="utf-8")
    portfolio = _reopened(portfolio, _without("BILL_AMT1"))
    live(portfolio, MONTHS[2], 100, World(), n=400)
    config = portfolio.home.config
    portfolio.home.close()
    config.write_text(full, encoding="utf-8")
    portfolio = Portfolio.open(config.parent)  # version 1 again, which reads one feature more
    home = portfolio.home
    _force(portfolio, 1, datetime(2025, 3, 15, tzinfo=UTC))
    live(portfolio, MONTHS[2], 101, World(), n=600)
    champion = load(home, 1)
    assert len(home.decisions.frame(schema=champion.model.schema)) < 650
    cycle(home, BEGUN)
    (window,) = home.windows.latest(1)
    said = [f for f in home.windows.findings(window.id) if f.check == "unread"]
    assert [f.details["lacking"] for f in said] == [["BILL_AMT1"]]
    assert re.match(
        r"[34]\d\d of [\d,]+ decisions cannot be compared: version 2 made them without BILL_AMT1", said[0].sentence
    )
    assert not window.quarantined
    with pytest.raises(DataError, match="'BILL_AMT1' is gone"):
        portfolio.promote(2, reason="Is it better?")
    assert portfolio.side_by_side(1, 2).apart == ["'BILL_AMT1' is gone"]
