"""Steps are never rewritten: every format that was ever stored is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from riskloop.cases import CaseState, events
from riskloop.core.errors import StorageError
from riskloop.core.types import Check, GateReport, Verdict
from riskloop.gate import evidence_fingerprint

OLD = sorted((Path(__file__).parents[1] / "store" / "portfolios_0_1").glob("*.json"))
CHECK = Check("auc_gain", True, 0.01, 0.05, "DeLong", {"rows": 9, "defaults": 3}, "It is better.", {"level": 0.05})
REPORT = GateReport(Verdict.PROMOTE, "Promote version 2.", (CHECK,), 0.7, 0.75)
MAKING = events.Making("Refit.", "Four blocks.", "All rows.", "uniform", "lightgbm", {"lightgbm": 0.75}, 9.5, "f" * 64)


@pytest.mark.parametrize(
    "event",
    [
        events.Note(),
        events.Waits(100, 150),
        events.Asks("f" * 64),
        events.Judged(REPORT, ["Promote."], evidence_fingerprint(REPORT, 2), "e" * 64, MAKING, 100, None, 1, 3),
    ],
)
def test_an_event_comes_back(event: events.Event) -> None:
    assert events.loads(events.dumps(event)) == event
    assert json.loads(events.dumps(event))["format"] == events.FORMAT


def old_steps() -> list[dict[str, Any]]:
    return [step for file in OLD for step in json.loads(file.read_text())["case_events"]]


@pytest.mark.parametrize("step", old_steps(), ids=lambda step: f"{step['state']}-{step['id']}")
def test_steps_of_riskloop_0_1_are_read(step: dict[str, Any]) -> None:
    document = json.loads(step["document"])
    event = events.loads(step["document"])
    state = CaseState(step["state"])
    assert state is (CaseState.REJECTED if step["state"] == "refused" else state)
    if state is CaseState.TRAINED:
        assert isinstance(event, events.Judged)
        assert event.record is not None
        assert event.record.learner == document["record"]["learner"]
        # An approval is bound to the report as it was stored then.
        version = int(event.report.sentence.split("version ")[1].split()[0])
        assert evidence_fingerprint(event.report, version) == document["fingerprint"] == event.fingerprint
    elif state is CaseState.NEEDS_APPROVAL:
        assert event == events.Asks(document["fingerprint"])
    elif not document:
        assert event == events.Note()


def test_a_format_of_a_newer_riskloop_is_refused() -> None:
    with pytest.raises(StorageError, match="Install a newer one"):
        events.loads(json.dumps({"format": events.FORMAT + 1, "type": "note"}))
