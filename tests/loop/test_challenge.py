"""When another try is due, and what of an evaluation is kept."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from riskloop.cases import Case, CaseState, Move
from riskloop.core.errors import ArtefactError
from riskloop.core.manifest import EvaluationManifest
from riskloop.core.types import DecisionFrame, Diagnosis, to_micros
from riskloop.gate import Applicants, Evaluation
from riskloop.loop.challenge import _patience, since
from riskloop.loop.challenger_file import read_file
from riskloop.loop.champion import ReferenceModel, dump_array
from riskloop.loop.evidence import keep, kept
from riskloop.retrain.dataset import Pool
from riskloop.store.cases import move_case, open_case
from riskloop.store.home import Home
from riskloop.store.windows import Windows

JULY = datetime(2025, 7, 1, tzinfo=UTC)


def case(home: Home, diagnosis: Diagnosis, window: int, challenger: int | None = None, champion: int = 1) -> Case:
    with home.database.write() as connection:
        opened = open_case(
            connection,
            Move(CaseState.CONFIRMED, "Changed."),
            at=JULY,
            diagnosis=diagnosis,
            window_id=window,
            champion=champion,
        )
        if challenger is None:
            return opened
        return move_case(
            connection, opened, Move(CaseState.PROMOTED, "Better.", changes={"challenger": challenger}), at=JULY
        )


@pytest.mark.parametrize(
    ("first", "second", "windows", "begins"),
    [
        (Diagnosis.CONCEPT_DRIFT, Diagnosis.CONCEPT_DRIFT, (4, 7, 9), 4),  # a recession that ends and comes again
        (Diagnosis.CONCEPT_DRIFT, Diagnosis.CONCEPT_DRIFT, (4, 4, 9), 4),  # a case that was opened again
        (Diagnosis.CONCEPT_DRIFT, Diagnosis.CONCEPT_DRIFT, (1, 6, 9), 6),  # longer ago than `policy.again`
        (Diagnosis.CONCEPT_DRIFT, Diagnosis.CONCEPT_DRIFT, (1, 2, 9), 9),
        (Diagnosis.COVARIATE_SHIFT, Diagnosis.CONCEPT_DRIFT, (4, 7, 9), 7),
        (Diagnosis.CONCEPT_DRIFT, Diagnosis.PRIOR_SHIFT, (4, 7, 9), 9),
    ],
)
def test_a_concept_that_changes_back_is_no_third_world(
    home: Home, first: Diagnosis, second: Diagnosis, windows: tuple[int, int, int], begins: int
) -> None:
    case(home, first, windows[0], challenger=2)
    case(home, second, windows[1], challenger=3, champion=2)
    last = case(home, Diagnosis.CONCEPT_DRIFT, windows[2], champion=3)
    starts = {number: datetime(2025, number, 1, tzinfo=UTC) for number in range(1, 13)}
    known = cast("Windows", SimpleNamespace(get=lambda n: SimpleNamespace(first_time=starts[n])))
    assert since(known, home.cases, last, again=6) == to_micros(starts[begins])


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


def test_an_evaluation_is_kept_with_its_blocks_its_applicants_and_its_file_and_old_ones_are_read(home: Home) -> None:
    columns = np.array([0.0, 1.0, 0.0, 1.0]), np.linspace(0.1, 0.4, 4), np.linspace(0.2, 0.5, 4)
    everybody = Applicants(np.append(columns[1], 0.9), np.append(columns[2], 0.8))
    evaluation = Evaluation(*columns, 0.2, 0.2, applicants=everybody, blocks=np.array([0, 0, 1, 1]))
    times = SimpleNamespace(times=np.arange(8))
    rows = cast("Pool", SimpleNamespace(sources=np.arange(1, 9), rows=times))
    outcomes = np.array([0.0, np.nan, 1.0])
    frame = cast(
        "DecisionFrame", SimpleNamespace(ids=np.array([2, 5, 7]), times=np.array([1, 4, 6]), outcomes=outcomes)
    )
    about, tested = EvaluationManifest(champion=1, challenger=2), np.array([1, 2, 5, 6])
    artefact = keep(home.artefacts, evaluation, rows, tested, frame, about, {"rows": 4})
    again = kept(home.artefacts, artefact.name)
    np.testing.assert_array_equal(again.decisions, [2, 3, 6, 7])
    np.testing.assert_array_equal(again.challenger, columns[2])
    np.testing.assert_array_equal(again.blocks, [0, 0, 1, 1])
    assert read_file(home.artefacts, artefact.name) == {"rows": 4}
    same = keep(home.artefacts, evaluation, rows, tested, frame, about, {"rows": 4})
    assert same.sha256 == artefact.sha256  # no time in the compressed bytes
    (artefact.path / "challenger_file.json").write_text("{}")
    with pytest.raises(ArtefactError, match="altered"):
        read_file(home.artefacts, artefact.name)
    names = ("decisions", "labels", "champion", "challenger")
    values = (np.arange(4.0), *columns)
    files = {f"{name}.npy": dump_array(column) for name, column in zip(names, values, strict=True)}
    old = home.artefacts.write(EvaluationManifest(champion=1, challenger=2), files)
    np.testing.assert_array_equal(kept(home.artefacts, old.name).blocks, np.zeros(4))
    assert read_file(home.artefacts, old.name) is None
