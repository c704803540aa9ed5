"""What a challenger is made of, and what it is later compared with."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from riskloop.core.manifest import RetrainOrder
from riskloop.core.span import Span
from riskloop.core.types import Action, Diagnosis, Severity, to_micros
from riskloop.loop import snapshot
from riskloop.loop.champion import load
from riskloop.loop.examine import Arrived, at_closing
from riskloop.loop.making import make
from riskloop.loop.register import register
from riskloop.portfolio import Portfolio

from .conftest import MONTHS, live, recession

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
