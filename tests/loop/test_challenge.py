"""When another try is due, and what of an evaluation is kept."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import numpy as np

from riskloop.cases import Case, CaseState, Move
from riskloop.core.manifest import EvaluationManifest
from riskloop.core.types import Diagnosis
from riskloop.gate import Evaluation
from riskloop.loop.challenge import _patience
from riskloop.loop.champion import ReferenceModel, dump_array
from riskloop.loop.evidence import keep, kept
from riskloop.retrain.dataset import Pool
from riskloop.store.cases import move_case, open_case
from riskloop.store.home import Home

JULY = datetime(2025, 7, 1, tzinfo=UTC)


def case(home: Home, diagnosis: Diagnosis, window: int, challenger: int | None = None) -> Case:
    with home.database.write() as connection:
        opened = open_case(
            connection,
            Move(CaseState.CONFIRMED, "Changed."),
            at=JULY,
            diagnosis=diagnosis,
            window_id=window,
            champion=1,
        )
        if challenger is None:
            return opened
        return move_case(
            connection, opened, Move(CaseState.PROMOTED, "Better.", changes={"challenger": challenger}), at=JULY
        )


def test_only_where_the_champion_is_shown_to_do_worse_the_next_try_is_soon(home: Home) -> None:
    champion = cast("ReferenceModel", SimpleNamespace(version=2))
    soon, late = home.settings.gate.retry_growth, home.settings.policy.renew
    assert soon < late
    case(home, Diagnosis.CONCEPT_DRIFT, window=4, challenger=2)  # what the champion was made for
    found = {
        what: _patience(home.cases, home.settings, case(home, diagnosis, window), champion).retry_growth
        for what, diagnosis, window in (
            ("another mix", Diagnosis.COVARIATE_SHIFT, 7),
            ("the same world again", Diagnosis.CONCEPT_DRIFT, 4),
            ("another world", Diagnosis.CONCEPT_DRIFT, 7),
        )
    }
    assert found == {"another mix": late, "the same world again": late, "another world": soon}


def test_an_evaluation_is_kept_with_its_blocks_and_old_ones_have_one(home: Home) -> None:
    columns = np.array([0.0, 1.0, 0.0, 1.0]), np.linspace(0.1, 0.4, 4), np.linspace(0.2, 0.5, 4)
    evaluation = Evaluation(*columns, 0.2, 0.2, blocks=np.array([0, 0, 1, 1]))
    rows = cast("Pool", SimpleNamespace(sources=np.arange(1, 9)))
    again = kept(home.artefacts, keep(home.artefacts, evaluation, rows, np.array([1, 2, 5, 6]), 1, 2))
    np.testing.assert_array_equal(again.decisions, [2, 3, 6, 7])
    np.testing.assert_array_equal(again.blocks, [0, 0, 1, 1])
    names = ("decisions", "labels", "champion", "challenger")
    values = (np.arange(4.0), *columns)
    files = {f"{name}.npy": dump_array(column) for name, column in zip(names, values, strict=True)}
    old = home.artefacts.write(EvaluationManifest(champion=1, challenger=2), files)
    np.testing.assert_array_equal(kept(home.artefacts, old.name).blocks, np.zeros(4))
