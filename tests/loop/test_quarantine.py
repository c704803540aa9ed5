from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from riskloop.core.types import Action, Diagnosis
from riskloop.loop.cases import follow_window
from riskloop.store.home import Home
from riskloop.store.windows import Window

NOW = datetime(2025, 3, 5, tzinfo=UTC)


def faulty() -> Window:
    return Window(
        id=1,
        name="2025-02",
        first_time=datetime(2025, 2, 1, tzinfo=UTC),
        end_time=datetime(2025, 3, 1, tzinfo=UTC),
        first_id=1,
        last_id=10,
        rows=10,
        model_version=1,
        closed_at=NOW,
        matured_at=None,
        diagnosis=Diagnosis.DATA_FAULT,
        confirmed=True,
        action=Action.QUARANTINE,
        sentence="Units changed.",
        rungs=(),
        report=None,
        quarantined=True,
        case_id=None,
    )


def test_a_fault_is_one_case_also_when_its_outcomes_are_final(tmp_path: Path) -> None:
    (tmp_path / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    home = Home.open(tmp_path)
    with home.database.write() as connection:
        window = follow_window(connection, home, faulty(), NOW)
    later = datetime(2025, 4, 5, tzinfo=UTC)
    with home.database.write() as connection:
        again = follow_window(connection, home, replace(window, matured_at=later), later)
    assert again.case_id == window.case_id
    assert [case.id for case in home.cases.latest()] == [window.case_id]
    home.close()
