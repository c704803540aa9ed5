"""Shadows score what is logged, decide nothing, and are held against what happened."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.test_cli import run
from tests.web.conftest import CONFIG, add_model, promote

from riskloop.core.settings import ShadowSettings
from riskloop.core.types import Decisions, Floats, Rows, to_micros
from riskloop.loop.shadow import follow, shadows
from riskloop.portfolio import Portfolio
from riskloop.scoring.decide import decide
from riskloop.scoring.model import load_model
from riskloop.store.home import Home
from riskloop.store.outcomes import Outcome
from riskloop.store.verify import recompute

MAY, AUGUST = datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 8, 1, tzinfo=UTC)
FEED = '\n[outcomes]\ncomplete = "always"\n'


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A champion, version 1, and two others; 2 and 3 are shadows."""
    url = request.getfixturevalue("postgres").fresh() if request.param == "postgresql" else "sqlite:///riskloop.db"
    text = f'{CONFIG}\n[storage]\nurl = "{url}"\n[shadow]\nversions = [2, 3]\n'
    (tmp_path / "riskloop.toml").write_text(text)
    home = Home.open(tmp_path)
    promote(home, add_model(home, points=2.0))
    add_model(home, points=0.5)
    add_model(home, points=-2.0)
    yield home
    home.close()


def log(home: Home, n: int, seed: int, *, to_segment: bool = False) -> Floats:
    """Decisions by the champion, in the table or in a segment; returns their features."""
    rng = np.random.default_rng(seed)
    features = np.stack([rng.uniform(0, 10, n), rng.integers(0, 2, n), rng.integers(0, 2, n)], axis=1)
    model = load_model(home.artefact(1), 1)
    rows = Rows(features, [f"s{seed}-{i}" for i in range(n)], np.full(n, to_micros(MAY)))
    decided: Decisions = decide(model, rows, to_micros(MAY))
    if to_segment:
        written = home.segments.files.write(decided, home.schema.names)
        assert home.segments.register(f"run{seed}", "f", [written], seq=1)
    else:
        home.decisions.append(decided)
    return features


def go_on(home: Home, rows: int = 100_000, versions: tuple[int, ...] = (2, 3)) -> list[str]:
    settings = home.settings.model_copy(update={"shadow": ShadowSettings(versions=versions, rows=rows)})
    return list(follow(replace(home, settings=settings), 1, MAY, lambda: None))


def counts(home: Home) -> dict[int, dict[str, Any]]:
    return {found["version"]: found for found in shadows(home, AUGUST)}


def test_a_shadow_scores_rows_and_files_to_the_bit_and_replays_them(home: Home) -> None:
    log(home, 30, 1)
    assert go_on(home) == []  # from here on
    features = np.concatenate([log(home, 40, 2), log(home, 70, 3, to_segment=True), log(home, 5, 4)])
    assert go_on(home, rows=100) == []
    assert [found["behind"] for found in shadows(home, AUGUST)] == [15, 15]
    assert "15 decisions wait" in counts(home)[2]["sentence"]
    assert go_on(home, rows=100) == []
    champion = load_model(home.artefact(1), 1)
    declined = champion.probabilities(features) >= champion.threshold
    for version in (2, 3):
        model = load_model(home.artefact(version), version)
        expected, found = model.probabilities(features), counts(home)[version]
        said = expected >= model.threshold
        assert (found["scored"], found["decisions"], found["behind"]) == (115, 115, 0)
        assert found["mean_pd"] == pytest.approx(expected.mean(), abs=1e-12)
        assert found["agreement"]["rows"] == (said == declined).sum()
        assert found["swapped_in"]["rows"] == (~said & declined).sum()
        assert found["swapped_out"]["rows"] == (said & ~declined).sum()
        assert found["agreement"]["low"] <= found["agreement"]["share"] <= found["agreement"]["high"]
        for number in (31, 71, 145):
            (one,) = [s for s in Portfolio(home).replay(number).shadows if s["version"] == version]
            row = number - 31
            assert one == {
                "version": version,
                "probability": expected[row],
                "default": bool(said[row]),
                "identical": True,
            }
    assert Portfolio(home).replay(30).shadows == []  # before it began
    assert home.decisions.get(31).model_version == 1
    assert recompute(home.database).breaches == []
    status = Portfolio(home).status().shadow
    assert status is not None
    assert (status["failures"], [one["scored"] for one in status["versions"]]) == (0, [115, 115])


def test_both_are_held_against_what_happened(home: Home) -> None:
    go_on(home)
    features = log(home, 400, 5)
    go_on(home)
    assert all(found["outcomes"]["gain"] is None for found in shadows(home, MAY))
    rng = np.random.default_rng(6)
    champion = load_model(home.artefact(1), 1)
    happened = rng.uniform(size=400) < champion.probabilities(features)
    outcomes = [Outcome(bool(bad), MAY + timedelta(days=29), i + 1) for i, bad in enumerate(happened.tolist())]
    home.outcomes.record(outcomes, MAY + timedelta(days=40), complete_until=MAY + timedelta(days=35))
    declined = champion.probabilities(features) >= champion.threshold
    for version, found in counts(home).items():
        model, turned = load_model(home.artefact(version), version), found["outcomes"]
        p = model.probabilities(features)
        assert (turned["rows"], turned["defaults"]) == (400, happened.sum())
        ours, theirs = roc_auc_score(happened, p), roc_auc_score(happened, champion.probabilities(features))
        assert turned["auc"]["estimate"] == pytest.approx(ours, abs=1e-12)
        assert turned["champion_auc"]["estimate"] == pytest.approx(theirs, abs=1e-12)
        assert turned["gain"]["estimate"] == pytest.approx(ours - theirs, abs=1e-12)
        assert turned["gain"]["low"] <= ours - theirs <= turned["gain"]["high"]
        swapped = declined & (p < model.threshold)
        assert (turned["swapped_in"]["rows"], turned["swapped_in"]["defaults"]) == (
            swapped.sum(),
            happened[swapped].sum(),
        )
    assert counts(home)[3]["outcomes"]["gain"]["high"] < 0.0  # it ranks the wrong way round


def test_what_a_shadow_cannot_do_is_said_and_keeps_no_other_from_it(home: Home) -> None:
    assert go_on(home, versions=(2, 9)) == go_on(home, versions=(2, 9))  # version 9 is not registered
    log(home, 20, 7)
    (sentence,) = go_on(home, versions=(9, 2))
    assert sentence.startswith("Shadow of version 9:")
    assert counts(home)[2]["scored"] == 20
    status = Portfolio(home).status().shadow
    assert status is not None
    assert "version 9" in status["problem"]
    assert (status["failures"], len(status["versions"])) == (3, 2)
    assert go_on(home, versions=(1, 2)) == []  # the champion scores the traffic itself
    assert sorted(counts(home)) == [2, 3]
    short = Decisions(
        ["x"] * 3, [to_micros(MAY)] * 3, to_micros(MAY), 4, np.full(3, 0.2), np.zeros(3, bool), np.ones((3, 2))
    )
    fewer = home.settings.model_copy(update={"features": dict(list(home.settings.features.items())[:2])})
    add_model(replace(home, settings=fewer))  # version 4 reads two columns
    log(home, 10, 8)
    home.decisions.append(short)
    log(home, 4, 9)
    assert go_on(home, versions=(2,)) == []
    found = counts(home)[2]
    assert (found["decisions"], found["scored"]) == (37, 34)
    assert "Not scored: 3, which were erased, or made on other columns." in found["sentence"]


def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "shadow.md").read_text(encoding="utf-8")
    named = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert named is not None
    (tmp_path / "riskloop.toml").write_text(f"{CONFIG}\n{named[1]}")
    home = Home.open(tmp_path)
    promote(home, add_model(home, points=2.0))
    add_model(home, points=0.5)
    assert run("watch", "--once", folder=tmp_path).code == 0  # from the next cycle on
    log(home, 50, 1)
    said = {}
    for command in re.findall(r"(?m)^riskloop (.*)$", page):
        done = run(*command.replace("4711", "7").split(), "--json", folder=tmp_path)
        assert done.code == 0, done.err
        said[command] = done.out
    assert '"scored": 50' in said["models shadow"]
    assert '"scored": 50' in said["status"]
    assert '"version": 2' in said["replay 4711"]
    shown = run("replay", "7", folder=tmp_path).out
    assert re.search(r"Version 2 said 0\.\d+ as a shadow; scored again it is the same\.", shown)
    home.close()
