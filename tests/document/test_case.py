"""The gate's report of a case for signature: the challenger file, told once more and bound by its fingerprint."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.document.reading import grid_of, number, read

from riskloop.cases import Case, CaseState, Move
from riskloop.cases.events import Judged, Making
from riskloop.core.errors import NotFound
from riskloop.core.manifest import EvaluationManifest
from riskloop.core.settings import GateSettings, MoneySettings
from riskloop.core.titles import CHECKS
from riskloop.core.types import Diagnosis
from riskloop.document.case import case_paper
from riskloop.document.html import to_html
from riskloop.document.parts import MISSING, Paper, Said
from riskloop.gate import Context, Evaluation, judge
from riskloop.gate.approval import evidence_fingerprint
from riskloop.gate.challenger_file import challenger_file
from riskloop.loop.evidence import FILE
from riskloop.portfolio import Portfolio
from riskloop.store.cases import move_case, open_case

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
MAY = datetime(2025, 5, 1, tzinfo=UTC)


def evaluation(rows: int = 2_000) -> Evaluation:
    """A champion, and a challenger that ranks better."""
    rng = np.random.default_rng(3)
    risk = rng.normal(-1.2, 1.2, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-risk))).astype(np.float64)
    champion, challenger = (1 / (1 + np.exp(-(risk + rng.normal(0, noise, rows)))) for noise in (1.5, 0.4))
    return Evaluation(labels, champion, challenger, champion_threshold=0.3, challenger_threshold=0.3)


def judged_case(portfolio: Portfolio, *, with_file: bool = True) -> tuple[Case, Judged]:
    """A case on record whose challenger, version 4, was judged on made-up scores by the real gate."""
    home, found = portfolio.home, evaluation()
    report = judge(found, GateSettings(), Context(MAY, 2, 4, "scorecard", ("scorecard",), ("debt",), ("debt",)))
    document = challenger_file(
        found,
        MoneySettings(default_cost=100.0, good_gain=10.0),
        {"job": np.where(found.labels == 1, "<b>x</b>", "clerk")},
    )
    kept = home.artefacts.write(
        EvaluationManifest(champion=2, challenger=4), {FILE: json.dumps(document).encode()} if with_file else {}
    )
    made = Making("All rows.", "Out of fold.", "Fitted.", "uniform", "scorecard", {"scorecard": 0.71}, 12.5, "f" * 64)
    said = Judged(report, [report.sentence], evidence_fingerprint(report, 4), kept.name, made, 10, None, 2, 2)
    with home.database.write() as connection:
        case = open_case(
            connection,
            Move(CaseState.CONFIRMED, "The <AUC> fell."),
            at=MAY,
            diagnosis=Diagnosis.CONCEPT_DRIFT,
            window_id=1,
            champion=2,
        )
        move = Move(CaseState.TRAINED, "Judged.", event=said, changes={"challenger": 4, "tries": 1})
        case = move_case(connection, case, move, at=MAY)
    return case, said


def paper_of(portfolio: Portfolio, case: Case) -> Paper:
    return case_paper(portfolio.home, case.id, portfolio.challenger_file(case.id), NOW)


def test_the_report_is_the_gates_and_bound_by_its_fingerprint(portfolio: Portfolio) -> None:
    case, said = judged_case(portfolio)
    paper = paper_of(portfolio, case)
    card = dict(paper.card)
    assert card["Fingerprint of the report"] == said.fingerprint
    assert (card["Champion"], card["Challenger"]) == ("version 2", "version 4")
    rows = {row[0]: row for row in grid_of(paper, "Both models on the evaluated decisions, failed checks first").rows}
    words = {True: "passed", False: "FAILED", None: "undecided"}
    judged = [check for check in said.report.checks if CHECKS[check.name] in rows]
    assert len(judged) >= 5
    for check in judged:
        assert rows[CHECKS[check.name]][1] in (words[check.passed], "shown")
    page = read(to_html(paper))
    text = " ".join(page.words)
    for role in ("Prepared by", "Validated by", "Approved or rejected by"):
        assert f"{role}: name, date, signature" in text
    for check in said.report.checks:
        assert check.sentence in text


def test_every_number_is_the_challenger_files(portfolio: Portfolio) -> None:
    case, _ = judged_case(portfolio)
    paper, found = paper_of(portfolio, case), evaluation()
    grades = grid_of(paper, "Calibration by grade").rows
    assert sum(number(row[2]) for row in grades if row[0] == "version 2") == found.labels.size
    assert sum(number(row[3]) for row in grades if row[0] == "version 4") == found.labels.sum()
    swap = {row[0]: row for row in grid_of(paper, "Swap set").rows}
    entered = (found.champion >= 0.3) & (found.challenger < 0.3)
    assert number(swap["only the challenger approves"][1]) == entered.sum()
    assert number(swap["only the challenger approves"][3]) == pytest.approx(found.champion[entered].mean(), abs=5.1e-4)
    money = grid_of(paper, "Money").rows[0]
    worth = np.where(found.labels == 1, -100.0, 10.0) * 1000  # per thousand
    assert number(money[1]) == pytest.approx((worth * (found.champion < 0.3)).mean(), abs=0.51)
    groups = grid_of(paper, "From champion to challenger, the same people").rows
    assert {row[0] for row in groups} == {"job = <b>x</b>", "job = clerk"}


def test_hostile_words_stay_words(portfolio: Portfolio) -> None:
    case, _ = judged_case(portfolio)
    page = to_html(paper_of(portfolio, case))
    assert b"<b>x" not in page
    assert b"The &lt;AUC&gt; fell." in page


def test_what_an_earlier_version_kept_nothing_of_is_said(portfolio: Portfolio) -> None:
    case, _ = judged_case(portfolio, with_file=False)
    paper = paper_of(portfolio, case)
    said = [block.text for one in paper.chapters for block in one.blocks if isinstance(block, Said)]
    assert any("scores behind the report" in text and MISSING in text for text in said)
    assert {one.key for one in paper.chapters} >= {"finding", "verdict", "story"}


def test_a_case_before_the_gate_and_one_that_is_not_there(portfolio: Portfolio, tmp_path: Path) -> None:
    with portfolio.home.database.write() as connection:
        move = Move(CaseState.WATCHING, "It moved.")
        case = open_case(connection, move, at=MAY, diagnosis=Diagnosis.COVARIATE_SHIFT, window_id=2, champion=2)
    made = portfolio.document("case", case.id)
    assert f"{MISSING}: the gate has said nothing yet" in made.content.decode()
    (portfolio.home.folder / "documents").mkdir()
    (portfolio.home.folder / "documents" / f"case-{case.id}.md").write_text("Seen by Ann.")
    assert "Seen by Ann." in portfolio.document("case", case.id).content.decode()
    with pytest.raises(NotFound):
        portfolio.document("case", case.id + 1)
