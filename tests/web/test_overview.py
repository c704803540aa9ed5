from datetime import UTC, datetime, timedelta

import pytest

from riskloop import views
from riskloop.cases import CaseState, Move
from riskloop.core.types import Action, Diagnosis, PromotionKind
from riskloop.store.cases import move_case, open_case
from riskloop.store.cycles import recorded
from riskloop.store.home import Home
from riskloop.web import queries
from riskloop.web.overview import headline

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


def test_the_pulse_rises_with_everything_that_happens(home: Home) -> None:
    client = client_of(home)
    before = client.get("/dashboard/live").json()
    decide(home, 2)
    save(home, window(1))
    promote(home, add_model(home, points=3.0))
    after = client.get("/dashboard/live").json()
    risen = {name for name in before if before[name] != after[name]}
    assert risen == {"promotions", "windows", "decisions", "champion"}
