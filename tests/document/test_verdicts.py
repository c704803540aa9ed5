"""Every section with figures says first, in a sentence, what they come to."""

from datetime import UTC, date, datetime

import pytest
from tests.document.test_case import judged_case

from riskloop.core.stats import Interval, jeffreys_interval
from riskloop.document import verdicts
from riskloop.document.case import case_paper
from riskloop.document.model import model_paper
from riskloop.document.parts import Chart, Curves, Grid, Paper, Said
from riskloop.document.period import period_paper
from riskloop.document.sample import GradeRow, GroupRow
from riskloop.portfolio import Portfolio

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def papers(portfolio: Portfolio) -> list[Paper]:
    home = portfolio.home
    case, _ = judged_case(portfolio)
    found = [model_paper(home, version, NOW) for version in (1, 2, 4)]
    found.append(case_paper(home, case.id, portfolio.challenger_file(case.id), NOW))
    found.append(period_paper(home, date(2025, 1, 1), date(2025, 3, 31), NOW))
    return found


def test_a_section_with_figures_begins_with_its_verdict(portfolio: Portfolio) -> None:
    for paper in papers(portfolio):
        for section in paper.chapters:
            figures = [
                block
                for block in section.blocks
                if isinstance(block, Chart | Curves) or (isinstance(block, Grid) and len(block.head) > block.words)
            ]
            if figures:
                first = section.blocks[0]
                assert isinstance(first, Said), (paper.name, section.key)
                assert first.tone == "lead", (paper.name, section.key)
                assert first.text.endswith("."), (paper.name, section.key)


@pytest.mark.parametrize("off", range(5))
def test_the_verdict_of_the_grades_names_those_that_are_off(off: int) -> None:
    names = ("low", "medium", "high", "very_high")
    rows = [
        GradeRow(name, 100, 30, 0.3, jeffreys_interval(30, 100), 0.001 if place < off else 0.4)
        for place, name in enumerate(names)
    ]
    said = verdicts.calibration(rows)
    listed = said.partition("the PD")[2].replace("very high", "top").replace(",", " ").split()
    assert [name for name in listed if name in ("low", "medium", "high", "top")] == ["low", "medium", "high", "top"][
        :off
    ]
    assert ("hold" in said) == (off == 0)


@pytest.mark.parametrize(("upper", "lower", "named"), [(0.7, 0.5, True), (0.9, 0.7, False), (1.2, 0.95, False)])
def test_the_verdict_of_fairness_follows_the_interval(upper: float, lower: float, named: bool) -> None:
    row = GroupRow("SEX", "2", 90, 0.4, Interval(0.6, lower, upper), 0, None, 0.2)
    said = verdicts.fairness([row], 0.8, str).text
    assert ("SEX = 2" in said) == named
    assert ("not excluded" in said) == (lower < 0.8 <= upper)


@pytest.mark.parametrize("version", [1, 2, 4])
def test_the_verdict_of_the_learners_is_the_manifests(portfolio: Portfolio, version: int) -> None:
    manifest = portfolio.home.artefact(version).manifest
    said = verdicts.learners(manifest).text
    assert f"{manifest.comparison[manifest.learner].auc:.3f}" in said
    assert ("chosen from" in said) == (len(manifest.comparison) > 1)
