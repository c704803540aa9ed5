import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from riskloop.core.errors import GateRefused
from riskloop.core.settings import GateSettings
from riskloop.core.types import GateReport, Verdict
from riskloop.gate import Approval, Context, Evaluation, approve, evidence_fingerprint, judge
from riskloop.store import documents


@pytest.fixture
def report(evaluation: Callable[..., Evaluation], context: Callable[..., Context]) -> GateReport:
    made = judge(evaluation(), GateSettings(), context(learner="svm"))
    assert made.verdict is Verdict.NEEDS_APPROVAL
    return made


@pytest.fixture
def approval(report: GateReport, context: Callable[..., Context]) -> Approval:
    return Approval(2, evidence_fingerprint(report, 2), "a.validator", context().now, "tried in shadow")


def test_an_approval_of_this_version_and_evidence_counts(report: GateReport, approval: Approval) -> None:
    approve(report, approval)


def test_it_still_counts_after_the_report_was_stored(report: GateReport, approval: Approval) -> None:
    approve(documents.gate_report(json.loads(documents.dumps(report))), approval)


def test_another_version_or_other_evidence_does_not(report: GateReport, approval: Approval) -> None:
    with pytest.raises(GateRefused, match="other evidence"):
        approve(report, replace(approval, version=3))
    changed = replace(report, checks=(replace(report.checks[0], statistic=1.0), *report.checks[1:]))
    with pytest.raises(GateRefused, match="other evidence"):
        approve(changed, approval)


def test_the_kept_scores_are_part_of_the_evidence(report: GateReport, approval: Approval) -> None:
    with pytest.raises(GateRefused, match="other evidence"):
        approve(replace(report, evaluation="ab" * 32), approval)


def test_a_report_of_before_scores_were_kept_has_the_fingerprint_that_it_had(report: GateReport) -> None:
    said = {"version": 2, "report": json.loads(documents.dumps(report))}
    del said["report"]["evaluation"]
    assert evidence_fingerprint(report, 2) == hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("by", [" ", "riskloop", "root", "Unknown", "local"])
def test_nobody_is_not_a_person(by: str, report: GateReport, approval: Approval) -> None:
    with pytest.raises(GateRefused, match="names no person"):
        approve(report, replace(approval, by=by))


def test_only_needs_approval_can_be_approved(
    evaluation: Callable[..., Evaluation], context: Callable[..., Context]
) -> None:
    kept = judge(evaluation(champion=0.5, challenger=1.0), GateSettings(), context())
    with pytest.raises(GateRefused, match="verdict is 'keep'"):
        approve(kept, Approval(2, evidence_fingerprint(kept, 2), "a.validator", context().now, "please"))
