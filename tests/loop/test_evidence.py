"""What the gate is shown."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from riskloop.core.manifest import RetrainOrder
from riskloop.core.types import Action, Diagnosis, to_micros
from riskloop.gate import judge
from riskloop.loop import snapshot
from riskloop.loop.champion import load
from riskloop.loop.evidence import context, evaluate
from riskloop.loop.making import make
from riskloop.loop.register import register
from riskloop.portfolio import Portfolio
from riskloop.scoring.model import load_model

from .conftest import MONTHS, live, recession

NOW = datetime(2025, 5, 5, tzinfo=UTC)


def test_where_only_the_approved_have_outcomes_the_report_says_so(
    trained_folder: Path, copied: Callable[[Path], Portfolio]
) -> None:
    """Tests need outcomes and speak for the approved; approval rates need none and are those of all applicants."""
    portfolio = copied(trained_folder)
    for number, month in enumerate(MONTHS):
        live(portfolio, month, 600 + number, recession(), declined_too=False)
    home, champion = portfolio.home, load(portfolio.home, 1)
    since = to_micros(datetime(2025, 1, 1, tzinfo=UTC))
    made = make(
        home.settings,
        home.decisions,
        home.artefacts,
        RetrainOrder(1, Action.RETRAIN, Diagnosis.CONCEPT_DRIFT, since, snapshot.take(home.feed, home.windows, NOW)),
        champion,
    )
    version = register(
        home.artefacts, home.ledger, made.candidate, made.trained_on.rows, origin="retrain", parent=1, now=NOW
    )
    model = load_model(home.artefact(version), version)
    plan = made.plan
    evaluation = evaluate(
        home.settings, champion, model, made.rows, plan.tested, made.scores, made.frame, "retrain", plan.blocks
    )
    assert (evaluation.champion < evaluation.champion_threshold).all()
    everybody = evaluation.everybody
    assert len(everybody.champion) > 1.1 * evaluation.labels.size
    np.testing.assert_array_equal(everybody.champion[: evaluation.labels.size], evaluation.champion)
    settings = home.settings.gate
    report = judge(
        evaluation,
        settings,
        context(home.settings, home.ledger, champion, version, made.candidate.manifest, NOW, ("who knows",)),
    )
    checks = {check.name: check for check in report.checks}
    assert checks["labels"].passed is False
    assert checks["labels"].sentence == "who knows"
    assert "compared within each block of time" in checks["auc_gain"].sentence
    assert checks["approval_shift"].sizes["applicants"] == len(everybody.champion)
    approved = [
        float(np.mean(scores < threshold))
        for scores, threshold in (
            (everybody.champion, champion.model.threshold),
            (everybody.challenger, model.threshold),
        )
    ]
    assert checks["approval_shift"].statistic == abs(approved[1] - approved[0])
    assert checks["outcome_coverage"].passed is None
    assert "approved customers only" in checks["outcome_coverage"].sentence
