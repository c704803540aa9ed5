"""What a challenger is made of, and what it is later compared with."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from riskloop.core.errors import ConfigError
from riskloop.core.manifest import RetrainOrder
from riskloop.core.settings import FeatureSettings, Settings
from riskloop.core.span import Span
from riskloop.core.types import Action, Diagnosis, Severity, to_micros
from riskloop.doctor import examine
from riskloop.loop import snapshot
from riskloop.loop.champion import load
from riskloop.loop.cycle import cycle
from riskloop.loop.examine import Arrived, at_closing
from riskloop.loop.making import make
from riskloop.loop.register import register
from riskloop.portfolio import Portfolio
from riskloop.train.candidate import Candidate

from .conftest import BEGUN, MONTHS, TRAINED, live, recession

NOW = datetime(2025, 5, 5, tzinfo=UTC)
CHANGED = {Severity.DRIFTED, Severity.SEVERE, Severity.FAULT}


def test_after_a_retraining_on_the_approved_windows_are_compared_with_all_applicants(
    trained_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    """Its rows are the approved customers'; those who apply next are not only such."""
    portfolio = copied(trained_folder)
    for number, month in enumerate(MONTHS):
        live(portfolio, month, 600 + number, recession(), declined_too=False)
    home, champion = portfolio.home, load(portfolio.home, 1)
    since = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
    taken = snapshot.take(home.feed, home.windows, NOW)
    made = make(
        home.settings,
        home.decisions,
        home.artefacts,
        RetrainOrder(1, Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, since, taken),
        champion,
    )
    version = register(
        home.artefacts, home.ledger, made.candidate, made.trained_on.rows, origin="retrain", parent=1, now=NOW
    )
    challenger = load(home, version)

    frame = snapshot.read(home.decisions, taken)
    declined = float(np.isnan(frame.outcomes[frame.times <= frame.times[~np.isnan(frame.outcomes)].max()]).mean())
    assert declined > 0.1
    assert abs(float(np.isnan(challenger.outcomes).mean()) - declined) < 0.01
    assert not np.isnan(challenger.probabilities).any()
    assert len(challenger.labelled[2]) == np.count_nonzero(~np.isnan(challenger.outcomes))

    live(portfolio, date(2025, 4, 1), 700, recession(), known=False)
    april = home.decisions.frame(Span(first_id=taken.decisions + 1))
    scores = challenger.model.probabilities(april.features)
    profile = challenger.reference.profile(april.features, scores, april.times)
    found = at_closing(challenger, home.settings, Arrived(profile, april.features, scores, april.times))
    assert [f.sentence for f in found if f.severity in CHANGED] == []


def _challenger(portfolio: Portfolio, settings: Settings) -> Candidate:
    home = portfolio.home
    taken = snapshot.take(home.feed, home.windows, NOW)
    since = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
    order = RetrainOrder(1, Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, since, taken)
    return make(settings, home.decisions, home.artefacts, order, load(home, 1)).candidate


@pytest.mark.parametrize("seed", [1, 2])
def test_features_may_stand_in_another_order_than_the_champion_knows(
    drifted_folder: Path, copied: Callable[[Path], Portfolio], seed: int
) -> None:
    """History and log are in the champion's order, whatever riskloop.toml lists first."""
    portfolio = copied(drifted_folder)
    settings = portfolio.home.settings
    names = np.random.default_rng(seed).permutation(list(settings.features)).tolist()
    shuffled = settings.model_copy(update={"features": {name: settings.features[name] for name in names}})
    assert shuffled.row_schema.names != settings.row_schema.names
    made, same = _challenger(portfolio, shuffled), _challenger(portfolio, settings)
    assert made.manifest.schema == same.manifest.schema
    assert made.files == same.files


def _less(features: dict[str, FeatureSettings]) -> str:
    del features["LIMIT_BAL"]
    return "'LIMIT_BAL' is gone"


def _more(features: dict[str, FeatureSettings]) -> str:
    features["SCORE"] = FeatureSettings()
    return "'SCORE' is new"


def _other_levels(features: dict[str, FeatureSettings]) -> str:
    levels = features["EDUCATION"].categories
    features["EDUCATION"] = features["EDUCATION"].model_copy(update={"categories": ("none", *levels)})
    return "'EDUCATION' has other levels"


def _other_order(features: dict[str, FeatureSettings]) -> str:
    levels = features["EDUCATION"].categories
    features["EDUCATION"] = features["EDUCATION"].model_copy(update={"categories": levels[::-1]})
    return "'EDUCATION' has other levels, or the same in another order"


def _other_kind(features: dict[str, FeatureSettings]) -> str:
    features["PAY_0"] = FeatureSettings(kind="category", categories=("-1", "0", "1"))
    return "'PAY_0' is read as a category, and was as a number (plain)"


def _otherwise_written(features: dict[str, FeatureSettings]) -> str:
    features["PAY_AMT1"] = features["PAY_AMT1"].model_copy(update={"written": "percent"})
    return "'PAY_AMT1' is read as a number (percent), and was as a number (plain)"


@pytest.mark.parametrize("change", [_less, _more, _other_levels, _other_order, _other_kind, _otherwise_written])
def test_no_challenger_learns_from_rows_that_mean_something_else(
    drifted_folder: Path, copied: Callable[[Path], Portfolio], change: Callable[[dict[str, FeatureSettings]], str]
) -> None:
    portfolio = copied(drifted_folder)
    settings = portfolio.home.settings
    features = dict(settings.features)
    said = change(features)
    with pytest.raises(ConfigError, match=f"{re.escape(said)}.*riskloop train"):
        _challenger(portfolio, settings.model_copy(update={"features": features}))


def test_a_case_waits_for_whoever_changed_the_features_and_the_loop_goes_on(
    drifted_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    portfolio = copied(drifted_folder)
    config = portfolio.home.config
    portfolio.home.close()
    before = config.read_text(encoding="utf-8")
    config.write_text(before + '\n[features.SCORE]\nkind = "number"\n', encoding="utf-8")
    changed = Portfolio.open(config.parent)
    assert [case.state for case in cycle(changed.home, BEGUN).cases][-1:] == ["waiting"]
    waiting = changed.home.cases.latest(only_open=True)[0]
    assert "'SCORE' is new" in waiting.sentence
    assert any(waiting.sentence == check["says"] for check in examine(config).checks)
    assert cycle(changed.home, TRAINED).cases == []  # said once
    changed.home.close()
    config.write_text(before, encoding="utf-8")
    mended = Portfolio.open(config.parent)
    assert [case.challenger for case in cycle(mended.home, TRAINED).cases][:1] == [2]
    mended.home.close()
