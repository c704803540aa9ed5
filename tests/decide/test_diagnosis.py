"""The ladder as a table: findings in, diagnosis, confirmation and sentence out."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from riskloop.core.settings import DriftSettings
from riskloop.core.types import Diagnosis, Finding, Severity
from riskloop.decide.diagnosis import diagnose

DRIFT = DriftSettings()
OK, NOISE, DRIFTED, SEVERE, FAULT, UNKNOWN = (
    Severity.OK,
    Severity.NOISE,
    Severity.DRIFTED,
    Severity.SEVERE,
    Severity.FAULT,
    Severity.UNKNOWN,
)


def finding(check: str, severity: Severity, subject: str = "window", sentence: str = "", since: str = "") -> Finding:
    words = sentence or f"{check} of {subject} is {severity}."
    details = {"since": since} if since else {}
    return Finding(check, subject, severity, 1.0, 0.5, "", "", 1000, 5000, words, details)


def verdict(severity: Severity, since: str = "") -> Finding:
    return finding("drift", severity, since=since)


def outcomes(
    auc: Severity = OK, level: Severity = OK, explained: Severity | None = None, level_explained: Severity | None = None
) -> list[Finding]:
    found = [finding("auc", auc), finding("calibration", level), finding("calibration_slope", OK)]
    if explained is not None:
        found.append(finding("auc_explained", explained))
    if level_explained is not None:
        found.append(finding("calibration_explained", level_explained))
    return found


def slope(statistic: float, severity: Severity) -> Finding:
    return replace(finding("calibration_slope", severity), statistic=statistic)


def slope_explained(statistic: float, explained: Severity) -> list[Finding]:
    return [slope(statistic, DRIFTED), replace(finding("slope_explained", explained), statistic=statistic)]


def level_moved(explained: Severity, estimate: float) -> list[Finding]:
    """12% default where 23% were expected; the mix of customers explains ``estimate``."""
    level = replace(finding("calibration", DRIFTED), details={"expected": 0.23})
    left = replace(finding("calibration_explained", explained), statistic=0.12, details={"estimate": estimate})
    return [level, left]


FEW = finding("rows", UNKNOWN)
SCALE = finding("scale", FAULT, "BILL_AMT1", "BILL_AMT1 is 100 times larger in all rows.", since="2025-05-03")

TABLE = [
    ("nothing", [verdict(OK)], Diagnosis.STABLE),
    ("chance", [verdict(NOISE)], Diagnosis.STABLE),
    ("the mix", [verdict(DRIFTED)], Diagnosis.COVARIATE_SHIFT),
    ("too few rows", [FEW, verdict(SEVERE)], Diagnosis.NOT_ENOUGH_DATA),
    ("no rows", [FEW, verdict(UNKNOWN)], Diagnosis.NOT_ENOUGH_DATA),
    ("a fault explains all the rest", [SCALE, verdict(SEVERE), *outcomes(SEVERE, SEVERE)], Diagnosis.DATA_FAULT),
    ("a fault in few rows", [FEW, SCALE], Diagnosis.DATA_FAULT),
    ("sound outcomes", [verdict(OK), *outcomes()], Diagnosis.STABLE),
    ("the mix, and sound outcomes", [verdict(DRIFTED), *outcomes()], Diagnosis.COVARIATE_SHIFT),
    ("the level", [verdict(OK), *outcomes(level=DRIFTED)], Diagnosis.PRIOR_SHIFT),
    ("the ranking", [verdict(OK), *outcomes(auc=DRIFTED)], Diagnosis.CONCEPT_DRIFT),
    ("both", [verdict(OK), *outcomes(DRIFTED, SEVERE)], Diagnosis.CONCEPT_DRIFT),
    ("a flat slope", [verdict(OK), slope(0.7, DRIFTED)], Diagnosis.CONCEPT_DRIFT),
    ("another level, and nothing of it by the mix", [verdict(OK), *level_moved(NOISE, 0.23)], Diagnosis.PRIOR_SHIFT),
    ("another level, most of it by the mix", [verdict(OK), *level_moved(NOISE, 0.15)], Diagnosis.STABLE),
    ("another level, none that matters left", [verdict(OK), *level_moved(OK, 0.13)], Diagnosis.STABLE),
    (
        "another level over many windows, which the mix of one does not undo",
        [verdict(OK), *level_moved(OK, 0.13), finding("level_over_time", DRIFTED)],
        Diagnosis.PRIOR_SHIFT,
    ),
    ("labels that may follow another definition", [finding("labels_definition", DRIFTED)], Diagnosis.PRIOR_SHIFT),
    ("a flat slope, as the mix explains", [verdict(DRIFTED), *slope_explained(0.7, OK)], Diagnosis.COVARIATE_SHIFT),
    ("a flat slope, beyond the mix", [verdict(DRIFTED), *slope_explained(0.7, DRIFTED)], Diagnosis.CONCEPT_DRIFT),
    ("a steep slope", [verdict(OK), slope(1.4, DRIFTED)], Diagnosis.PRIOR_SHIFT),
    ("a steep slope, as the mix explains", [verdict(OK), *slope_explained(1.4, NOISE)], Diagnosis.STABLE),
    ("noise in the outcomes", [verdict(OK), *outcomes(NOISE, NOISE)], Diagnosis.STABLE),
    ("the ranking, as the mix explains", [verdict(DRIFTED), *outcomes(SEVERE, OK, OK)], Diagnosis.COVARIATE_SHIFT),
    ("the ranking, beyond the mix", [verdict(DRIFTED), *outcomes(SEVERE, OK, SEVERE)], Diagnosis.CONCEPT_DRIFT),
    ("the level, as the mix explains", [verdict(OK), *outcomes(OK, SEVERE, OK, OK)], Diagnosis.STABLE),
    ("the level, beyond the mix", [verdict(DRIFTED), *outcomes(OK, SEVERE, OK, SEVERE)], Diagnosis.PRIOR_SHIFT),
    ("unknown outcomes", [verdict(OK), finding("auc", UNKNOWN)], Diagnosis.NOT_ENOUGH_DATA),
    ("an unknown level", [verdict(OK), finding("auc", OK), finding("calibration", UNKNOWN)], Diagnosis.NOT_ENOUGH_DATA),
    ("an unknown slope", [verdict(OK), *outcomes()[:2], slope(0.7, UNKNOWN)], Diagnosis.NOT_ENOUGH_DATA),
    ("an unknown population", [verdict(UNKNOWN), *outcomes()], Diagnosis.NOT_ENOUGH_DATA),
    ("the mix, and unknown outcomes", [verdict(DRIFTED), finding("auc", UNKNOWN)], Diagnosis.COVARIATE_SHIFT),
    (
        "the level, and an unknown slope",
        [verdict(OK), *outcomes(OK, SEVERE)[:2], slope(1.0, UNKNOWN)],
        Diagnosis.PRIOR_SHIFT,
    ),
    (
        "a volume that nothing is compared with",
        [verdict(OK), finding("volume", UNKNOWN), *outcomes()],
        Diagnosis.STABLE,
    ),
    ("features that do not matter", [finding("psi", SEVERE, "AGE"), verdict(NOISE)], Diagnosis.STABLE),
    ("a segment alone", [verdict(OK), finding("segment", DRIFTED, "SEX = 2"), *outcomes()], Diagnosis.STABLE),
    ("an estimate alone", [verdict(OK), finding("estimated_auc", DRIFTED, "pape")], Diagnosis.STABLE),
]


@pytest.mark.parametrize(("findings", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_ladder(findings: Sequence[Finding], expected: Diagnosis) -> None:
    answer = diagnose(findings, [], DRIFT)
    assert answer.diagnosis is expected
    assert [rung.explanation for rung in answer.rungs] == [
        Diagnosis.DATA_FAULT,
        Diagnosis.NOT_ENOUGH_DATA,
        Diagnosis.STABLE,
        Diagnosis.COVARIATE_SHIFT,
        Diagnosis.PRIOR_SHIFT,
        Diagnosis.CONCEPT_DRIFT,
    ]
    assert next(rung for rung in answer.rungs if rung.explanation is expected).holds
    assert all(rung.evidence_for for rung in answer.rungs if rung.holds)
    assert answer.sentence.endswith(".")
    assert diagnose(findings, [], DRIFT) == answer


def test_every_rung_says_what_speaks_against_it() -> None:
    answer = diagnose([verdict(DRIFTED), *outcomes()], [], DRIFT)
    against = {rung.explanation: rung.evidence_against for rung in answer.rungs}
    assert against[Diagnosis.DATA_FAULT] == ("No column changed mechanically.",)
    assert against[Diagnosis.STABLE] == ("drift of window is drifted.",)
    assert against[Diagnosis.CONCEPT_DRIFT] == ("auc of window is ok.",)
    early = diagnose([verdict(DRIFTED)], [], DRIFT)
    assert early.rungs[-1].evidence_against == ("No outcomes have matured yet.",)


# --------------------------------------------------------------------------- confirmation


@pytest.mark.parametrize(
    ("history", "now", "confirmed"),
    [
        ([], DRIFTED, False),
        ([DRIFTED], DRIFTED, True),
        ([DRIFTED, OK], DRIFTED, True),  # two of the latest three
        ([DRIFTED, OK, OK], DRIFTED, False),
        ([OK, OK], SEVERE, True),
        ([SEVERE], DRIFTED, True),
        ([DRIFTED, DRIFTED], OK, False),
    ],
)
def test_two_of_three_windows_or_a_severe_one(history: list[Severity], now: Severity, confirmed: bool) -> None:
    answer = diagnose([verdict(now)], [[verdict(s)] for s in history], DRIFT)
    assert answer.confirmed is confirmed
    waits = answer.diagnosis is Diagnosis.COVARIATE_SHIFT and not confirmed
    assert ("Not confirmed yet" in answer.sentence) is waits


def test_faulty_and_small_windows_confirm_nothing_and_break_nothing() -> None:
    between = [[verdict(DRIFTED)], [SCALE, verdict(SEVERE)], [FEW, verdict(SEVERE)]]
    assert diagnose([verdict(DRIFTED)], between, DRIFT).confirmed
    assert not diagnose([verdict(DRIFTED)], between[1:], DRIFT).confirmed


def test_a_fault_needs_no_confirmation() -> None:
    assert diagnose([SCALE], [], DRIFT).confirmed


def test_falling_ranks_confirm_a_change_of_level_but_not_the_other_way() -> None:
    ranked = [verdict(OK), *outcomes(auc=DRIFTED)]
    level = [verdict(OK), *outcomes(level=DRIFTED)]
    assert diagnose(level, [ranked], DRIFT).confirmed
    assert not diagnose(ranked, [level], DRIFT).confirmed


@pytest.mark.parametrize("severity", [DRIFTED, SEVERE])
@pytest.mark.parametrize("check", ["level_over_time", "ranking_over_time", "features_over_time", "labels_definition"])
def test_evidence_that_is_carried_on_is_no_second_witness(check: str, severity: Severity) -> None:
    """It stands in the next window, too, and counts there only where that window's own rows add to it."""

    def window(adds: bool, weight: Severity = DRIFTED) -> list[Finding]:
        return [verdict(OK), *outcomes(), replace(finding(check, weight), details={"adds": adds})]

    first, stands, grows = window(True), window(False, severity), window(True)
    alone = diagnose(stands, [first], DRIFT)
    assert alone.diagnosis in (Diagnosis.PRIOR_SHIFT, Diagnosis.CONCEPT_DRIFT), "it is called all the same"
    assert not alone.confirmed
    assert diagnose(grows, [first, stands], DRIFT).confirmed
    ranked = alone.diagnosis is Diagnosis.CONCEPT_DRIFT
    own = [verdict(OK), *outcomes(auc=DRIFTED if ranked else OK, level=OK if ranked else DRIFTED)]
    assert diagnose(own, [first], DRIFT).confirmed, "a window of its own is another witness"


def test_evidence_that_windows_before_have_and_this_one_adds_to_is_two_witnesses() -> None:
    """Called for the first time, though the months before said the same, each too little by itself."""

    def window(witnesses: int, adds: bool = True) -> list[Finding]:
        details = {"adds": adds, "witnesses": witnesses}
        return [verdict(OK), *outcomes(), replace(finding("features_over_time", DRIFTED), details=details)]

    calm = [verdict(OK), *outcomes()]
    assert diagnose(window(2), [calm, calm], DRIFT).confirmed
    assert not diagnose(window(1), [calm, calm], DRIFT).confirmed
    assert not diagnose(window(2, adds=False), [calm, calm], DRIFT).confirmed
    assert not diagnose(window(2), [calm], DRIFT.model_copy(update={"confirm": 3})).confirmed


@pytest.mark.parametrize("check", ["level_over_time", "ranking_over_time", "features_over_time", "labels_definition"])
def test_small_windows_find_together_what_none_of_them_can_say(check: str) -> None:
    """Ten decisions a month are too few in every month; what they show over the year is no less sure for that."""
    few = finding("rows", UNKNOWN)
    own = [few, verdict(DRIFTED), *outcomes(auc=DRIFTED, level=DRIFTED)]
    assert diagnose(own, [], DRIFT).diagnosis is Diagnosis.NOT_ENOUGH_DATA, "its own tests say nothing"
    calm, found = [few, *outcomes(level=DRIFTED)], [*own, finding(check, DRIFTED)]
    ranked = check in ("ranking_over_time", "features_over_time")
    expected = Diagnosis.CONCEPT_DRIFT if ranked else Diagnosis.PRIOR_SHIFT
    once = diagnose(found, [calm, calm], DRIFT)
    assert once.diagnosis is expected
    assert not once.confirmed
    assert diagnose(found, [calm, found, calm, calm], DRIFT).confirmed
    broken = [*found, finding("scale", FAULT)]
    assert diagnose(broken, [], DRIFT).diagnosis is Diagnosis.DATA_FAULT


# --------------------------------------------------------------------------- words


def test_the_sentence_names_the_fault_its_beginning_and_what_else_moved() -> None:
    answer = diagnose([finding("rows", OK), SCALE, finding("psi", SEVERE, "BILL_AMT1"), verdict(SEVERE)], [], DRIFT)
    assert answer.sentence == (
        "BILL_AMT1 is 100 times larger in all rows since 3 May 2025; nothing else moved: a data fault."
    )
    beside = diagnose([SCALE, finding("psi", DRIFTED, "AGE"), finding("psi", DRIFTED, "score")], [], DRIFT)
    assert beside.sentence.endswith("; beside it AGE moved: a data fault.")


def test_the_most_specific_sign_of_a_fault_is_named() -> None:
    vague = finding("out_of_range", FAULT, "BILL_AMT1", "60% lie outside.")
    assert diagnose([vague, SCALE], [], DRIFT).sentence.startswith("BILL_AMT1 is 100 times larger")


def test_a_fault_dates_from_the_first_of_the_windows_in_a_row() -> None:
    june = finding("scale", FAULT, "BILL_AMT1", "BILL_AMT1 is 100 times larger in all rows.", since="2025-06-01")
    march = finding("scale", FAULT, "BILL_AMT1", since="2025-03-01")
    assert "since 3 May 2025" in diagnose([june], [[march], [verdict(OK)], [SCALE]], DRIFT).sentence
    assert "since 1 June 2025" in diagnose([june], [[SCALE], [verdict(OK)]], DRIFT).sentence


def test_drift_dates_from_its_first_window() -> None:
    history = [[verdict(OK)], [verdict(DRIFTED, "2025-02-09")], [verdict(SEVERE, "2025-03-01")]]
    answer = diagnose([verdict(SEVERE, "2025-04-01")], history, DRIFT)
    assert "(covariate shift), since 9 February 2025." in answer.sentence
    concept = [verdict(OK), finding("auc", SEVERE, sentence="The AUC is 0.60.", since="2025-04-01")]
    assert diagnose(concept, [], DRIFT).sentence == (
        "The AUC is 0.60. Customers with the same data default more or less often than before (concept drift), "
        "since 1 April 2025."
    )


def test_stable_and_small_windows_say_so() -> None:
    judged = [verdict(OK), *outcomes()]
    assert diagnose(judged, [], DRIFT).sentence == "Stable: nothing moved beyond chance."
    early = diagnose([verdict(OK)], [], DRIFT).sentence
    assert early == "Stable so far: nothing moved beyond chance. Its outcomes are not judged yet."
    assert "not enough data" in diagnose([FEW], [], DRIFT).sentence


@pytest.mark.parametrize("severity", [DRIFTED, SEVERE])
@pytest.mark.parametrize("check", ["psi", "segment", "jeffreys", "estimated_auc"])
@pytest.mark.parametrize("judged", [[], outcomes()], ids=["closing", "matured"])
def test_stable_is_not_said_beside_what_moved(check: str, severity: Severity, judged: list[Finding]) -> None:
    answer = diagnose([verdict(NOISE), finding(check, severity, "AGE", "AGE moved."), *judged], [], DRIFT)
    assert answer.diagnosis is Diagnosis.STABLE
    assert "table" not in answer.sentence
    assert answer.sentence.endswith("AGE moved.")
    stable = next(rung for rung in answer.rungs if rung.explanation is Diagnosis.STABLE)
    assert "AGE moved." in stable.evidence_against


def test_what_could_not_be_judged_says_why() -> None:
    unknown = finding("auc", UNKNOWN, sentence="The AUC cannot be judged, because nobody defaulted.")
    answer = diagnose([verdict(OK), unknown, finding("calibration", OK)], [], DRIFT)
    assert answer.sentence == "The AUC cannot be judged, because nobody defaulted. There is not enough data to judge."


@pytest.mark.parametrize("check", ["auc", "ranking_over_time"])
def test_a_ranking_that_cannot_be_judged_is_not_said_to_hold(check: str) -> None:
    """All are good: the level is wrong, and of one class there is no AUC."""
    level = [verdict(OK), finding("level_over_time", DRIFTED)]
    for severity, says in ((OK, "The ranking holds"), (UNKNOWN, "the ranking cannot be judged")):
        answer = diagnose([*level, finding(check, severity)], [], DRIFT)
        assert answer.diagnosis is Diagnosis.PRIOR_SHIFT
        assert says in answer.sentence
