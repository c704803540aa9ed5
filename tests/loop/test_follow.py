"""Cases that wait, ask a person, or are asked for by one."""

import re
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from riskloop.cases import CaseState
from riskloop.cases.events import Judged
from riskloop.core.errors import Conflict, GateRefused
from riskloop.core.types import Json, PromotionKind
from riskloop.loop.cases import follow_rollback
from riskloop.loop.trial import approve_challenger
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import month_starts
from riskloop.store import audit
from riskloop.store.tries import tries_against

from .conftest import MONTHS, live, recession

MAY = datetime(2025, 5, 1, tzinfo=UTC)
Copy = Callable[[Path], Portfolio]


def _reopened(portfolio: Portfolio, old: str, new: str) -> Portfolio:
    config = portfolio.home.config
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    return Portfolio.open(config)


def _cycle(portfolio: Portfolio, month: int, day: int = 2) -> Json:
    return portfolio.cycle(now=datetime(2025, month, day, tzinfo=UTC)).to_dict()


# --------------------------------------------------------------------------- waiting


def test_a_waiting_case_is_tried_again_when_enough_has_matured(trained_folder: Path, copied: Copy) -> None:
    portfolio = _reopened(copied(trained_folder), "[gate]", "[gate]\nalpha = 1e-15\nretry_growth = 2.0")
    home = portfolio.home
    months = month_starts(date(2025, 1, 1), 4)
    live(portfolio, months[0], 100, recession())
    live(portfolio, months[1], 101, recession(), n=700)
    _cycle(portfolio, 3, day=4)  # January is final
    case = home.cases.latest()[0]
    assert case.state is CaseState.WAITING
    assert (case.tries, len(home.ledger.models())) == (1, 2)
    assert case.wait_for == pytest.approx(2.0 * case.learned, rel=0.01)
    live(portfolio, months[2], 102, recession(), n=700)
    _cycle(portfolio, 4, day=2)  # February is final: not twice as many
    assert home.cases.get(case.id).tries == 1
    live(portfolio, months[3], 103, recession(), n=700)
    _cycle(portfolio, 5, day=2)
    assert home.cases.get(case.id).tries == 2
    assert home.cases.get(case.id).state is CaseState.WAITING
    said = (step.event for step in home.cases.steps(case.id))
    first, second = (event.report.checks[1] for event in said if isinstance(event, Judged))
    assert second.sizes["defaults"] > first.sizes["defaults"]
    assert second.details["tries_before"] == 1
    assert [one.alpha for one in tries_against(home.database, 1)] == [c.details["level"] for c in (first, second)]
    home.close()


def test_progress_is_told_fit_by_fit(drifted_folder: Path, copied: Copy) -> None:
    portfolio, told = copied(drifted_folder), []
    portfolio.cycle(now=datetime(2025, 4, 30, tzinfo=UTC), progress=lambda what, share: told.append((what, share)))
    fits = [share for what, share in told if "2025-" not in what]
    months = [share for what, share in told if "2025-" in what]
    assert months
    assert len(fits) == 5 + 5  # a validation and a fit, for each of four blocks and for the whole
    assert (fits, months) == (sorted(fits), sorted(months))
    assert fits[-1] == 1.0
    assert {what for what, _ in told} >= {"scorecard, credibility", "scorecard without a block", "all rows"}


# --------------------------------------------------------------------------- a person


def test_a_rollback_moves_the_case_and_leaves_the_harm_on_record(asking: Portfolio) -> None:
    approve_challenger(
        asking.home.ledger, asking.home.cases, asking.home.cases.get(1), by="a.validator", note="read", now=MAY
    )
    promoted = asking.home.cases.get(1)
    assert (promoted.state, promoted.closed_by, promoted.unresolved) == (CaseState.PROMOTED, "a.validator", False)
    asking.rollback(by="b.officer", reason="Complaints.")
    case = asking.home.cases.get(1)
    assert (case.state, case.unresolved, case.champion) == (CaseState.ROLLED_BACK, True, 1)
    assert case.sentence == "Version 2 was rolled back. Version 1 is champion again: Complaints."
    assert follow_rollback(asking.home.ledger, asking.home.cases, MAY) == [], "once"
    asking.home.close()


def test_a_persons_word_without_the_gate_is_on_record_as_that(asking: Portfolio) -> None:
    asking.promote(2, by="b.officer", reason="The branches asked for it.", force=True)
    made = asking.home.champion()
    assert (made.kind, made.by) == (PromotionKind.FORCED, "b.officer")
    with pytest.raises(Conflict, match="champion already"):
        asking.promote(2, by="b.officer", reason="The branches asked for it.", force=True)
    asking.approve(1, by="a.validator", note="read")
    case = asking.home.cases.get(1)
    assert case.state is CaseState.WAITING, "it was judged against another champion"
    assert "the champion changed meanwhile" in case.sentence
    asking.home.close()


@pytest.fixture(scope="module")
def asking_folder(drifted_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case that needs approval, because the approval rate moves by more than was planned."""
    folder = tmp_path_factory.mktemp("asking")
    shutil.copytree(drifted_folder, folder, dirs_exist_ok=True)
    portfolio = _reopened(Portfolio.open(folder), "max_approval_shift = 0.5", "max_approval_shift = 0.001")
    _cycle(portfolio, 4, day=30)
    assert [case.state for case in portfolio.home.cases.latest()] == [CaseState.NEEDS_APPROVAL]
    portfolio.home.close()
    return folder


@pytest.fixture
def asking(asking_folder: Path, copied: Copy) -> Portfolio:
    return copied(asking_folder)


def test_an_approval_is_bound_to_the_report_that_was_read(asking: Portfolio) -> None:
    fingerprint = asking.case(1).events[-1]["document"]["fingerprint"]
    for evidence in ("0" * 12, fingerprint[:4]):
        with pytest.raises(GateRefused, match="other evidence"):
            asking.approve(1, by="a.validator", note="read", evidence=evidence)
    with pytest.raises(GateRefused, match="names no person"):
        asking.approve(1, by="root", note="read", evidence=fingerprint)
    assert asking.home.champion().version == 1
    asking.approve(1, by="a.validator", note="read", evidence=fingerprint[:12])
    promotion = asking.home.champion()
    assert (promotion.version, promotion.by, promotion.kind) == (2, "a.validator", PromotionKind.APPROVED)
    assert promotion.evidence["approval"]["evidence"] == promotion.evidence["fingerprint"] == fingerprint
    with pytest.raises(Conflict):
        asking.reject(1, by="b.validator", note="too late")
    asking.home.close()


def test_a_switch_asks_a_person_for_what_the_gate_would_promote(drifted_folder: Path, copied: Copy) -> None:
    portfolio = _reopened(
        copied(drifted_folder), "max_approval_shift = 0.5", 'max_approval_shift = 0.5\napproval = "always"'
    )
    _cycle(portfolio, 4, day=30)
    (case,) = portfolio.home.cases.latest()
    assert case.state is CaseState.NEEDS_APPROVAL
    assert portfolio.home.champion().version == 1
    portfolio.approve(case.id, by="a.validator", note="read")
    made = portfolio.home.champion()
    assert (made.version, made.kind, made.by) == (case.challenger, PromotionKind.APPROVED, "a.validator")
    portfolio.home.close()


def test_of_two_persons_at_once_one_decides(asking: Portfolio) -> None:
    """Both read the case before either decided."""
    from riskloop.loop.trial import reject_challenger

    case, now = asking.home.cases.get(1), datetime(2025, 5, 1, tzinfo=UTC)
    reject_challenger(asking.home.database, case, by="a.validator", note="no", now=now)
    with pytest.raises(Conflict, match="somebody else moved it"):
        reject_challenger(asking.home.database, case, by="b.validator", note="no", now=now)
    assert [e.by for e in asking.home.cases.steps(1) if e.state is CaseState.REJECTED] == ["a.validator"]
    asking.home.close()


def test_asking_again_and_again_spends_the_budget(drifted_folder: Path, copied: Copy) -> None:
    portfolio = _reopened(copied(drifted_folder), 'learners = ["scorecard"]', 'learners = ["scorecard"]\nseed = 5')
    portfolio.train(portfolio.home.folder / "history.csv")
    spent = []
    for month in range(2):
        with pytest.raises(GateRefused, match="--force"):
            portfolio.promote(2, by="a.validator", reason="luck")
        live(portfolio, MONTHS[month], 300 + month, recession(), n=200)
        spent.append(audit.latest(portfolio.home.database, 1)[0].document["report"]["checks"][1]["details"])
    assert [details["tries_before"] for details in spent] == [0, 1]
    assert spent[1]["budget_left"] < spent[0]["budget_left"]
    assert portfolio.home.champion().version == 1
    portfolio.home.close()


def test_a_first_champion_below_the_floor_needs_a_persons_word(trained_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "below"
    folder.mkdir()
    config = (trained_folder / "riskloop.toml").read_text()
    config = re.sub(r"(?m)^history = .*$", f'history = "{trained_folder / "history.csv"}"', config)
    (folder / "riskloop.toml").write_text(re.sub(r"(?m)^(\[train\].*)$", r"\1\nfloor_auc = 0.99", config))
    portfolio = Portfolio.open(folder)
    try:
        with pytest.raises(GateRefused, match=r"models promote 1 --force --reason"):
            portfolio.train(trained_folder / "history.csv")
        with pytest.raises(GateRefused, match="no champion yet"):
            portfolio.promote(1, by="ann", reason="a start")
        portfolio.promote(1, by="ann", reason="a start", force=True)
        champion = portfolio.home.champion()
        assert (champion.version, champion.kind, champion.previous) == (1, PromotionKind.FORCED, None)
    finally:
        portfolio.home.close()
