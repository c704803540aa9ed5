"""What a loop kept out or could not judge is in the answer, the document and the page."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from riskloop.backtest.history import History, Played
from riskloop.backtest.report import figures, page
from riskloop.backtest.request import Request
from riskloop.backtest.score import Scores
from riskloop.backtest.study import answer, backtest
from riskloop.backtest.watched import doubtful, sentences, watched
from riskloop.core.settings import Settings
from riskloop.core.types import Diagnosis, Json, Rows

Customers = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def broken(customers: Customers, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """Every month after training arrives in cents, and twice as many default as before: nothing is ever learned."""
    frame = customers(9, 300)
    late = frame["period"] > 3
    frame.loc[late, "income"] *= 100
    rng = np.random.default_rng(3)
    frame.loc[late, "default"] |= (rng.random(int(late.sum())) < 0.4).astype(int)
    work = tmp_path_factory.mktemp("work")
    return backtest(Request(frame, policies="on_drift", settings=settings, work=work, jobs=1))


def test_a_stream_that_is_all_quarantined_does_not_read_as_fine(broken: Json) -> None:
    entry = broken["policies"]["on_drift"]
    out = entry["watch"]["quarantined"]
    assert (out["windows"], out["decisions"], out["longest"]) == (6, 1800, 6)
    assert (entry["watch"]["judged"], entry["retrainings"]) == (0, 0)
    first, *rest = re.split(r"(?<=\.) (?=[A-Z'])", broken["answer"])
    assert first.startswith("'on_drift' kept 6 of 6 windows out as faulty (4 to 9, 6 in a row at most)")
    assert f"{out['default_rate']:.1%}" in first
    assert f"at a PD of {out['mean_pd']:.1%}" in first
    assert any("judged none of 6 windows" in sentence for sentence in rest)
    assert all(period["quarantined"] for period in entry["periods"])


def test_the_cost_is_what_happened_there_and_what_others_made_of_it(broken: Json, customers: Customers) -> None:
    out = broken["policies"]["on_drift"]["watch"]["quarantined"]
    interval = binomtest(round(out["default_rate"] * out["outcomes"]), out["outcomes"]).proportion_ci(method="wilson")
    assert (out["default_rate_low"], out["default_rate_high"]) == pytest.approx((interval.low, interval.high))
    periods = {name: broken["policies"][name]["periods"] for name in ("on_drift", "always")}
    gain = np.average(
        [a["auc"] - b["auc"] for a, b in zip(periods["always"], periods["on_drift"], strict=True)],
        weights=[p["outcomes"] for p in periods["always"]],
    )
    assert out["always_since"]["auc"] == pytest.approx(gain, abs=1e-12)


def test_the_page_shows_it(broken: Json) -> None:
    html = page(broken)
    assert "What was not looked at" in html
    assert 'class="headline tone-fault"' in html
    assert "6 of 6" in html


def test_what_is_not_monitored_is_not_said_to_be_watched(broken: Json) -> None:
    assert broken["policies"]["never"]["watch"] is broken["policies"]["always"]["watch"] is None


def _history(rows: int, periods: int, settings: Settings, truth: Diagnosis | None) -> History:
    first = datetime(2024, 1, 1, tzinfo=UTC)
    ids = [str(k) for k in range(rows)]
    made = Rows(np.zeros((rows, 1)), ids, np.zeros(rows, np.int64), np.zeros(rows))
    played = [
        Played(str(k), first + timedelta(days=30 * k), first + timedelta(days=30 * (k + 1)), made, truth=truth)
        for k in range(periods)
    ]
    return History(settings, made, tuple(played))


@pytest.mark.parametrize("seed", range(20))
def test_every_window_is_counted_once(seed: int, settings: Settings) -> None:
    """Whatever a loop says of its windows: judged, kept out, not judged, or waiting for outcomes that are not due."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 30))
    history = _history(20, number, settings, truth=rng.choice([None, Diagnosis.STABLE]))  # type: ignore[arg-type]
    scores = [
        Scores((rng.random(20) < 0.3).astype(np.float64), rng.random(20), rng.random(20) < 0.5) for _ in range(number)
    ]
    windows = {
        str(k): {
            "quarantined": bool(rng.random() < 0.4),
            "mature": bool(rng.random() < 0.7),
            "diagnosis": rng.choice([d.value for d in Diagnosis]),
            "sentence": f"Window {k}.",
        }
        for k in range(number)
        if rng.random() < 0.9
    }
    found = watched(history, windows, scores, scores)
    kept_out = [k for k, w in windows.items() if w["quarantined"]]
    less = found["not_judged"]["windows"] if found["not_judged"] else 0
    assert found["windows"] == len(windows) == found["judged"] + found["waiting"] + less + len(kept_out)
    assert len(found["reasons"]) == found["waiting"] + less
    runs = re.findall("q+", "".join("q" if str(k) in kept_out else "." for k in range(number)))
    if kept_out:
        out = found["quarantined"]
        assert (out["windows"], out["longest"]) == (len(kept_out), max(map(len, runs)))
        assert out["sound"] == (None if history.periods[0].truth is None else len(kept_out))
        assert out["always_since"]["auc"] == pytest.approx(0.0)
        rate = np.mean([scores[int(k)].outcomes.mean() for k in kept_out])
        assert out["default_rate"] == pytest.approx(rate)
    else:
        assert found["quarantined"] is None
    assert doubtful({**found, "held_outcomes": []}) == (
        bool(windows) and (not found["judged"] or 2 * (len(kept_out) + less) >= len(windows))
    )


def test_a_window_without_its_outcomes_is_not_judged_when_they_were_due(settings: Settings) -> None:
    history = _history(20, 4, settings, truth=None)
    window = {"quarantined": False, "mature": False, "diagnosis": "stable", "sentence": "Stable."}
    scores = [Scores(np.full(20, np.nan), np.full(20, 0.1), np.zeros(20, np.bool_))] * 4
    found = watched(history, {str(k): window for k in range(4)}, scores, None)
    assert (found["judged"], found["waiting"]) == (0, 1)
    assert found["not_judged"]["without_outcomes"] == 3
    assert found["not_judged"]["reason"] == "Its outcomes were not complete when they should have been."


def test_windows_that_were_not_judged_for_several_reasons_name_each_with_its_count(settings: Settings) -> None:
    history = _history(20, 6, settings, truth=None)
    few = [f"Only {n:,} customers came, 1,000 are needed." for n in (40, 1_050, 80)] + ["No default came."] * 2
    windows = {
        str(k): {"quarantined": False, "mature": True, "diagnosis": "not_enough_data", "sentence": said}
        for k, said in enumerate(few)
    }
    scores = [Scores(np.zeros(20), np.full(20, 0.1), np.zeros(20, np.bool_))] * 6
    less = watched(history, windows, scores, None)["not_judged"]
    assert less["windows"] == 5
    assert less["reasons"] == [{"reason": few[2], "windows": 3}, {"reason": few[4], "windows": 2}]
    assert less["reason"] == f"3 × {few[2]} 2 × {few[4]}"


NEVER_JUDGED: dict[str, Any] = {
    "their outcomes are final after the end": (
        {"outcome_window": timedelta(days=4000)},
        "final only after the history",
    ),
    "too few rows": ({"windows": {"min_rows": 1000}}, "needed to judge it"),
}


@pytest.fixture(scope="module", params=NEVER_JUDGED)
def unjudged(
    request: pytest.FixtureRequest, customers: Customers, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Json, str]:
    """A back-test in which no window can be judged by its outcomes, and why."""
    changed, why = NEVER_JUDGED[request.param]
    if "windows" in changed:
        settings = settings.model_copy(update={"windows": settings.windows.model_copy(update=changed["windows"])})
    asked = Request(
        customers(6, 300),
        policies="on_drift",
        settings=settings,
        work=tmp_path_factory.mktemp("work"),
        jobs=1,
        **{k: v for k, v in changed.items() if k == "outcome_window"},
    )
    return backtest(asked), why


def test_no_period_that_was_not_judged_is_called_stable(unjudged: tuple[Json, str]) -> None:
    document, why = unjudged
    periods = document["policies"]["on_drift"]["periods"]
    assert periods
    for period in periods:
        assert period["diagnosis"] not in ("stable", "not_enough_data")
        assert why in period["not_judged"]
    quiet = [period["sentence"] for period in periods if period["diagnosis"] is None]
    assert quiet
    assert all(said.startswith("Not judged, because ") for said in quiet)


def test_the_answer_begins_with_that_nothing_was_judged(unjudged: tuple[Json, str]) -> None:
    document, why = unjudged
    before, _, after = document["answer"].partition("'on_drift' never exchanged the model")
    assert "judged none of" in before
    assert why in before
    assert "judged none of" not in after


def test_the_page_draws_no_stable_period_where_nothing_was_judged(unjudged: tuple[Json, str]) -> None:
    document, why = unjudged
    traces = {trace["name"]: trace for trace in figures(document)["timeline"]["data"]}
    assert "Not judged" in traces
    assert not {"Stable", "Not enough data"} & {*traces}
    assert all("Not judged, because" in text for text in traces["Not judged"]["text"])
    html = page(document)
    assert 'class="headline tone-fault"' in html
    assert why in html


def test_a_sound_stream_says_nothing_of_it() -> None:
    watch: Json = {
        "windows": 5,
        "judged": 4,
        "waiting": 1,
        "quarantined": None,
        "not_judged": None,
        "held_outcomes": [],
    }
    assert sentences("on_drift", watch) == []
    assert not doubtful(watch)
    held = sentences("on_drift", {**watch, "held_outcomes": ["delivery 3 of 2020-02-01"]})
    assert held == ["Outcomes under 'on_drift' are in quarantine and count nowhere: delivery 3 of 2020-02-01."]


def test_the_answer_begins_with_what_it_rests_on() -> None:
    out: dict[str, Any] = {"windows": 1, "decisions": 300, "first": "4", "last": "4", "longest": 1, "sound": 0}
    out |= {"default_rate": None, "always_since": None, "reason": "A fault."}
    entry = {"against_never": {"auc": 0.0, "auc_low": 0.0, "auc_high": 0.0}, "retrainings": 0, "promotions": 0}
    watch = {"judged": 1, "waiting": 0, "quarantined": out, "not_judged": None, "held_outcomes": []}
    few = answer({"policies": {"on_drift": {**entry, "watch": {**watch, "windows": 9}}}})
    many = answer({"policies": {"on_drift": {**entry, "watch": {**watch, "windows": 2}}}})
    assert few.startswith("'on_drift' never exchanged the model, after 0 retrainings. 'on_drift' kept 1 of 9 windows")
    assert many.startswith("'on_drift' kept 1 of 2 windows out as faulty (4)")
