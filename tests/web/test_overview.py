from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import update

from riskloop import views
from riskloop.cases import CaseState, Move, ended
from riskloop.core.settings import RiskLevelSettings
from riskloop.core.types import Action, Decisions, Diagnosis, Finding, PromotionKind, Severity, to_micros
from riskloop.monitor.breakdown import grade_findings
from riskloop.monitor.matured import Matured
from riskloop.store.cases import move_case, open_case
from riskloop.store.cycles import recorded
from riskloop.store.home import Home
from riskloop.store.running import announced
from riskloop.store.tables import checkpoints, promotions
from riskloop.web import queries
from riskloop.web.overview import _headlines, headline, overview, standing

from .conftest import MAY, add_model, client_of, decide, promote, save, window


def test_before_the_first_model_it_says_what_to_do(empty: Home) -> None:
    page = client_of(empty).get("/")
    assert page.status_code == 200
    assert "No model serves yet." in page.text
    assert "<code>riskloop train</code>" in page.text


def test_names_and_sentences_are_text_and_never_markup(home: Home) -> None:
    page = client_of(home).get("/").text
    assert "Cards &lt;b&gt;&amp;&lt;/b&gt; loans" in page
    assert "because &lt;it&gt; is better" in page


def test_it_shows_champion_windows_cases_and_promotions(home: Home) -> None:
    with home.database.write() as connection:
        case = open_case(
            connection,
            Move(CaseState.CONFIRMED, "The AUC fell."),
            at=MAY,
            diagnosis=Diagnosis.CONCEPT_DRIFT,
            window_id=2,
            champion=1,
        )
    save(home, window(1))
    save(home, window(2, Diagnosis.CONCEPT_DRIFT, action=Action.RETRAIN, case_id=case.id))
    page = client_of(home).get("/").text
    for shown in ("0.730 to 0.770", "2025-02", "What was found in 2.", "The AUC fell.", "Concept drift", "by anna"):
        assert shown in page


def test_what_waits_for_a_person_comes_first(home: Home) -> None:
    with home.database.write() as connection:
        waiting = open_case(
            connection,
            Move(CaseState.WATCHING, "a"),
            at=MAY,
            diagnosis=Diagnosis.COVARIATE_SHIFT,
            window_id=1,
            champion=1,
        )
        move_case(connection, waiting, Move(CaseState.NEEDS_APPROVAL, "Look at it."), at=MAY)
        open_case(
            connection,
            Move(CaseState.QUARANTINED, "b"),
            at=MAY,
            diagnosis=Diagnosis.DATA_FAULT,
            window_id=2,
            champion=1,
        )
    text = client_of(home).get("/").text
    assert f"Case {waiting.id} needs an approval." in text
    assert text.index("Look at it.") < text.index("<span>b</span>")


def test_a_sound_loop_says_so(home: Home) -> None:
    save(home, window(1))
    found = headline(home.ledger.champion(), home.windows.latest(1)[0], [])
    assert (found.tone, found.text) == ("ok", "Version 1 serves, and no case is open.")


def test_a_loop_that_stands_still_is_said_first_and_nothing_is_green(home: Home) -> None:
    save(home, window(1))
    text = client_of(home).get("/").text
    assert "The loop stands still" in text
    assert "headline tone-ok" not in text
    with recorded(home.database):
        pass
    text = client_of(home).get("/").text
    assert "stands still" not in text
    assert "Version 1 serves, and no case is open." in text
    assert "Last finished cycle:" in text


@pytest.mark.parametrize("state", [CaseState.REJECTED, CaseState.ROLLED_BACK])
@pytest.mark.parametrize("diagnosis", [Diagnosis.STABLE, Diagnosis.NOT_ENOUGH_DATA, Diagnosis.COVARIATE_SHIFT])
def test_a_champion_that_is_known_to_do_worse_is_never_green(
    home: Home, state: CaseState, diagnosis: Diagnosis
) -> None:
    with home.database.write() as connection:
        opened = Move(CaseState.CONFIRMED, "The AUC fell.")
        case = open_case(connection, opened, at=MAY, diagnosis=Diagnosis.CONCEPT_DRIFT, window_id=1, champion=1)
        move_case(
            connection, case, Move(state, "No better one was found.", changes={"unresolved": True, "harmed": 1}), at=MAY
        )
    save(home, window(2, diagnosis))
    client = client_of(home)
    page = client.get("/").text
    assert "Version 1 serves and is known to do worse: concept drift, unresolved since 1 May 2025." in page
    assert "and no case is open" not in page
    assert "Unresolved since" in client.get(f"/dashboard/cases/{case.id}").text
    assert "unresolved" in client.get("/dashboard/cases").text
    assert [one["id"] for one in views.status(home, MAY)["unresolved"]] == [case.id]
    promote(home, add_model(home, points=3.0), PromotionKind.FORCED)
    assert "known to do worse" not in client.get("/").text, "another model serves"


def test_a_window_with_too_few_decisions_is_not_a_green_tick(home: Home) -> None:
    save(home, window(1, Diagnosis.NOT_ENOUGH_DATA))
    found = headline(home.ledger.champion(), home.windows.latest(1)[0], [])
    assert (found.tone, found.icon) == ("quiet", "dots")


@pytest.mark.parametrize("count", [1, 7, 2 * queries.SAMPLE + 1])
def test_decisions_of_today_are_counted_exactly_and_averaged_over_a_sample(home: Home, count: int) -> None:
    midnight = datetime(2025, 6, 2, tzinfo=UTC)
    decide(home, 3, scored_at=midnight - timedelta(microseconds=1))
    decide(home, count, scored_at=midnight)
    served = queries.served_since(home.database, midnight)
    assert served.decisions == count
    assert served.sampled <= queries.SAMPLE
    assert served.mean_pd is not None
    assert 0.25 <= served.mean_pd <= 0.75
    assert queries.served_since(home.database, midnight + timedelta(seconds=1)).decisions == 0


def test_approvals_of_a_version_are_not_those_of_another(home: Home) -> None:
    decide(home, 40)
    home.decisions.append(
        Decisions(
            customer_ids=["x"] * 20,
            times=[to_micros(MAY)] * 20,
            scored_at=to_micros(MAY),
            model_version=2,
            probabilities=np.full(20, 0.9),
            defaults=np.full(20, True),
            features=np.zeros((20, 3)),
        )
    )
    both, first, second, none = (queries.served_since(home.database, MAY, version) for version in (None, 1, 2, 3))
    assert [one.decisions for one in (both, first, second, none)] == [60, 60, 60, 60]
    assert [one.sampled for one in (both, first, second, none)] == [60, 40, 20, 0]
    assert [one.approval_rate for one in (first, second, none)] == [0.5, 0.0, None]
    assert both.approval_rate == pytest.approx(1 / 3)
    assert second.mean_pd == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_skips_what_lies_in_segments(home: Home, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against counting by hand: every step-th id of each stretch of the table between segments."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(queries, "SAMPLE", int(rng.integers(5, 60)))
    monkeypatch.setattr(queries, "GAPS", int(rng.integers(1, 4)))
    decide(home, 200)
    cuts = np.sort(rng.choice(np.arange(2, 200), 8, replace=False)).reshape(-1, 2).tolist()
    held = [SimpleNamespace(first_id=low, last_id=high) for low, high in cuts]
    ends = [0, *(edge for pair in cuts for edge in pair), 201]
    gaps = [range(low + 1, high) for low, high in zip(ends[::2], ends[1::2], strict=True)]
    step = -(-sum(map(len, gaps)) // queries.SAMPLE)
    ids = [number for gap in gaps for number in gap[::step]]
    with home.database.read() as connection:
        share, sampled, total, declined = queries._sampled(connection, held, 1, 200, None)  # type: ignore[arg-type]
    assert (share, sampled) == (1.0, len(ids))
    assert declined == sum(number % 2 == 0 for number in ids)
    assert total == pytest.approx(sum(0.75 if number % 2 == 0 else 0.25 for number in ids))


def test_the_pulse_rises_with_everything_that_happens(home: Home) -> None:
    client = client_of(home)
    before = client.get("/dashboard/live").json()
    decide(home, 2)
    save(home, window(1))
    promote(home, add_model(home, points=3.0))
    after = client.get("/dashboard/live").json()
    risen = {name for name in before if before[name] != after[name]}
    assert risen == {"promotions", "windows", "decisions", "champion"}


def _judged(home: Home, number: int, version: int, auc: float) -> None:
    band = {"lower": auc - 0.01, "upper": auc + 0.01}
    found = Finding("auc", "window", Severity.OK, auc, None, "no worse", "DeLong 1988", 500, 0, "It fell.", band)
    save(home, window(number, model_version=version, matured_at=MAY), found)


def test_a_champion_that_came_back_is_shown_by_its_own_outcomes(home: Home) -> None:
    promote(home, add_model(home, 3.0), PromotionKind.GATE)
    _judged(home, 1, 1, 0.711)
    _judged(home, 2, 2, 0.622)
    assert "0.622" in _champion(home)
    assert views.status(home, MAY)["realised"]["model_version"] == 2
    promote(home, 1, PromotionKind.ROLLBACK)
    found = views.status(home, MAY)["realised"]
    assert (found["model_version"], found["window"]) == (1, "2025-01")
    assert "0.711" in _champion(home)
    assert "0.622" not in _champion(home)
    promote(home, add_model(home, 4.0), PromotionKind.GATE)  # it has none: another's are shown as such
    assert views.status(home, MAY)["realised"]["model_version"] == 2
    assert "not known yet" in _champion(home)
    assert "version 2 had 0.622 in 2025-02" in _champion(home)


GRADES = ("low", "medium", "high", "very_high")
PDS = (0.02, 0.08, 0.2, 0.4)


def _graded(home: Home, rates: Sequence[float], size: int, number: int = 1) -> None:
    """A judged window with ``size`` decisions in each grade, of which these shares defaulted, judged by the monitor."""
    bad = np.concatenate([np.arange(size) < round(rate * size) for rate in rates]).astype(np.float64)
    part = Matured(np.repeat(PDS, size), bad)
    found = grade_findings(part, part, RiskLevelSettings(low=0.05, medium=0.1, high=0.3), 0.01)
    assert [f.subject for f in found] == list(GRADES)
    auc = Finding("auc", "window", Severity.OK, 0.75, None, "no worse", "DeLong 1988", 500, 0, "It held.", {})
    save(home, window(number, matured_at=MAY), auc, *found)
    with recorded(home.database):
        pass  # the loop does not stand still


@pytest.mark.parametrize("up", [1, -1])
def test_a_grade_that_is_off_is_told_and_nothing_is_green(home: Home, up: int) -> None:
    for off in (chosen for count in range(1, 5) for chosen in combinations(range(4), count)):
        rates = [pd * (1 + up * 0.4 * (place in off)) for place, pd in enumerate(PDS)]
        _graded(home, rates, 20_000)
        worst = off[-1]  # the higher the grade, the farther it is here
        (told,) = standing(home)["headlines"]
        assert told.tone == "watch"
        assert f"{rates[worst]:.1%} defaulted at a PD of {PDS[worst]:.1%}" in told.text
        assert GRADES[worst].replace("_", " ") in told.text
        assert (f"{len(off)} grades" in told.text) == (len(off) > 1)
        realised = views.status(home, MAY)["realised"]
        assert set(realised["grades_off"]) == {GRADES[place] for place in off}
        assert told.text.partition("and ")[2] in realised["sentence"]


@pytest.mark.parametrize(
    ("ratio", "size", "why"),
    [
        (1.0, 2_000, "every grade holds"),
        (1.4, 30, "too few outcomes to tell"),
        (1.05, 200_000, "sure, and of no weight"),
    ],
)
def test_grades_that_hold_leave_the_headline_alone(home: Home, ratio: float, size: int, why: str) -> None:
    _graded(home, [pd * ratio for pd in PDS], size)
    (told,) = standing(home)["headlines"]
    assert (told.tone, told.text) == ("ok", "Version 1 serves, and no case is open."), why
    assert views.status(home, MAY)["realised"]["grades_off"] == []


def test_grades_of_another_version_or_of_broken_rows_say_nothing_of_the_champion(home: Home) -> None:
    decide(home, 10)
    _graded(home, [2 * pd for pd in PDS], 500, number=5)
    page = client_of(home).get("/").text
    assert "headline tone-watch" in page
    assert 'class="muted off"' in _champion(home)
    (serves,) = [stage for stage in overview(home, MAY)["stages"] if stage.key == "serve"]
    assert serves.tone == "watch"
    save(home, replace(home.windows.latest(1)[0], quarantined=True), *home.windows.findings(5))
    assert standing(home)["headlines"][0].tone == "ok"
    assert views.status(home, MAY)["realised"] is None
    save(home, replace(home.windows.latest(1)[0], quarantined=False), *home.windows.findings(5))
    promote(home, add_model(home, points=3.0), PromotionKind.FORCED)
    assert standing(home)["headlines"][0].tone == "ok"
    assert 'class="muted off"' not in _champion(home)


def _champion(home: Home) -> str:
    page = client_of(home).get("/").text
    return page[page.index('id="champion-title"') : page.index("Scored today")]


@pytest.mark.parametrize("state", [CaseState.REJECTED, CaseState.ROLLED_BACK, CaseState.ENDED])
def test_a_harm_that_goes_on_says_how_its_case_ended(home: Home, state: CaseState) -> None:
    words = {CaseState.REJECTED: "rejected", CaseState.ROLLED_BACK: "promoted and rolled back"}
    said = ended(state)
    assert words.get(state, "ended without a better model") in said


def test_a_checkpoint_that_is_only_old_is_no_doubt(home: Home) -> None:
    with home.database.engine.begin() as connection:
        connection.execute(update(checkpoints).values(at=0))
    state = home.trust.state()
    old = replace(state, problem="The last checkpoint is of long ago: nothing was signed since.", doubt=False)
    for one, shown in ((old, "not signed up to now"), (replace(old, doubt=True), "in doubt")):
        (first, *_) = _headlines({"stands_still": False}, one, headline(None, None, []))
        assert shown in first.text


def test_a_loop_that_was_started_just_now_does_not_stand_still(home: Home) -> None:
    save(home, window(1))
    decide(home, 3)
    with home.database.engine.begin() as connection:
        connection.execute(update(promotions).values(at=0))
    late = views.status(home, MAY)
    assert late["loop"]["stands_still"]
    assert late["next"][0]["why"] == "nobody watches the decisions"
    with announced(home.folder, "127.0.0.1", 1, watches=True):
        started = views.status(home, MAY)
        assert not started["loop"]["stands_still"]
        assert all(step["why"] != "nobody watches the decisions" for step in started["next"])
    with announced(home.folder, "127.0.0.1", 1):  # a server alone watches nothing
        assert views.status(home, MAY)["loop"]["stands_still"]
