"""The report of a model says what the stores, the manifest and the training sample say."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from scipy import stats as reference
from sklearn.metrics import roc_auc_score
from tests.document.reading import grid_of, interval, number, read

from riskloop.core.errors import ConfigError, NotFound
from riskloop.document.html import to_html
from riskloop.document.model import SECTIONS, model_paper
from riskloop.document.parts import MISSING, Chart, Facts, Paper, Said
from riskloop.document.sample import TrainingSample, information_value, shifted
from riskloop.document.sample import bins_of as bins_of_feature
from riskloop.portfolio import Portfolio
from riskloop.scoring.model import LEVELS, load_model

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def paper_of(portfolio: Portfolio, version: int = 2) -> Paper:
    return model_paper(portfolio.home, version, NOW)


def facts(paper: Paper, chapter: str) -> dict[str, str]:
    found = next(one for one in paper.chapters if one.key == chapter)
    return {name: value for block in found.blocks if isinstance(block, Facts) for name, value in block.pairs}


def said(paper: Paper, chapter: str) -> str:
    found = next(one for one in paper.chapters if one.key == chapter)
    return " ".join(block.text for block in found.blocks if isinstance(block, Said))


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_the_manifest_is_told_as_it_is(portfolio: Portfolio, version: int) -> None:
    paper, row = paper_of(portfolio, version), portfolio.home.ledger.model(version)
    manifest = portfolio.home.artefact(version).manifest
    card, data = dict(paper.card), facts(paper, "data")
    assert card["Fingerprint"] == row.sha256
    assert card["AUC, cross-validated"].startswith(f"{manifest.metrics.auc:.4f} ")
    assert card["Trained on"] == f"{manifest.training.rows} rows, {manifest.training.defaults} defaults"
    assert card["Declines from a PD of"] == f"{manifest.threshold:.2%}"
    assert data["Fingerprint of the rows"] == manifest.training.fingerprint
    assert data["Training window"] == "2024-01-02 to " + ("2025-02-18" if version == 4 else "2024-12-24")
    found = facts(paper, "discrimination")
    assert [number(found[name]) for name in ("Gini", "KS", "Brier score", "Log loss")] == pytest.approx(
        [manifest.metrics.gini, manifest.metrics.ks, manifest.metrics.brier, manifest.metrics.log_loss], abs=5e-5
    )
    assert [number(fold) for fold in found["AUC of each fold"].split(", ")] == pytest.approx(
        manifest.metrics.folds, abs=5e-5
    )
    rows = {one[0].split(" (")[0]: one for one in grid_of(paper, "Learners that competed, cross-validated").rows}
    assert rows.keys() == manifest.comparison.keys()
    for name, one in manifest.comparison.items():
        assert number(rows[name][1]) == pytest.approx(one.auc, abs=5e-5)
        assert interval(rows[name][2]) == pytest.approx((one.low, one.high), abs=5.1e-4)
    settings = facts(paper, "settings")
    assert settings["train.folds"] == "3"
    assert settings["library numpy"] == manifest.libraries["numpy"]


def test_realised_figures_are_the_windows_own(portfolio: Portfolio) -> None:
    paper, windows = paper_of(portfolio), portfolio.home.windows
    judged = [window for window in windows.latest(10) if window.matured_at is not None]
    assert judged
    rows = {row[0]: row for row in grid_of(paper, "Realised performance").rows}
    assert rows.keys() == {window.name for window in judged}
    for window in judged:
        found = {f.check: f for f in windows.findings(window.id) if f.subject == "window"}
        row = rows[window.name]
        values = [number(row[i]) for i in (2, 4, 5, 6)]
        assert values == pytest.approx([found[c].statistic for c in ("auc", "gini", "ks", "brier")], abs=5.1e-4)
        assert interval(row[3]) == pytest.approx(
            (found["auc"].details["lower"], found["auc"].details["upper"]), abs=5.1e-4
        )
        expected, observed = found["calibration"].details["expected"], found["calibration"].details["observed"]
        assert [number(row[7]), number(row[8])] == pytest.approx([expected, observed], abs=5.1e-4)


def test_grades_and_their_bands_are_recomputed_from_the_decisions(portfolio: Portfolio) -> None:
    """From the rows, by pandas and SciPy: counts, mean PDs, and Beta(D + ½, N − D + ½)."""
    paper, home = paper_of(portfolio), portfolio.home
    window = next(w for w in home.windows.latest(10) if w.matured_at is not None)
    frame = home.decisions.frame(window.span, home.feed.maturity(NOW))
    levels = home.settings.risk_levels
    p = load_model(home.artefact(2), 2).probabilities(frame.features)  # a window is scored by what it is held against
    decided = pd.DataFrame({"p": p, "y": frame.outcomes}).dropna()
    decided["grade"] = pd.cut(decided.p, [0, levels.low, levels.medium, levels.high, 1], right=False, labels=LEVELS)
    rows = [row for row in grid_of(paper, "Calibration by grade and window").rows if row[0] == window.name]
    assert len(rows) == 4
    for row in rows:
        part = decided[decided.grade == row[1].replace(" ", "_")]
        n, d = len(part), int(part.y.sum())
        assert [number(row[2]), number(row[3])] == [n, d]
        assert [number(row[4]), number(row[5])] == pytest.approx([part.p.mean(), d / n], abs=5.1e-4)
        band = reference.beta(d + 0.5, n - d + 0.5)
        assert interval(row[6]) == pytest.approx((band.ppf(0.025), band.ppf(0.975)), abs=5.1e-4)


def test_stability_concentration_and_counts_are_those_of_the_store(portfolio: Portfolio) -> None:
    paper, home = paper_of(portfolio), portfolio.home
    grid = grid_of(paper, "PSI against the training sample")
    for place, window in enumerate(home.windows.latest(10), start=1):
        assert grid.head[place] == window.name
        psi = {f.subject: f.statistic for f in home.windows.findings(window.id) if f.check == "psi"}
        assert {row[0]: number(row[place].split(" (")[0]) for row in grid.rows} == pytest.approx(psi, abs=5.1e-4)
        frame = home.decisions.frame(window.span)
        own = frame.probabilities[frame.model_versions == 2]
        row = next((r for r in grid_of(paper, "Share of the customers by grade").rows if r[0] == window.name), None)
        if own.size:
            assert row is not None
            counts = np.histogram(own, [0, 0.1, 0.25, 0.5, 1])[0]
            assert number(row[1]) == own.size
            assert [number(cell) for cell in row[2:6]] == pytest.approx(counts / own.size, abs=5.1e-4)
            assert number(row[6]) == pytest.approx(((counts / own.size) ** 2).sum(), abs=5.1e-4)


def test_the_ledger_and_the_people_are_told(portfolio: Portfolio) -> None:
    paper = paper_of(portfolio)
    promotions = [p for p in portfolio.home.ledger.promotions() if 2 in (p.version, p.previous)]
    rows = grid_of(paper, "Ledger of promotions").rows
    assert [(row[0], row[4], row[5]) for row in rows] == [(str(p.seq), p.by, p.reason) for p in promotions]
    assert any(row[1] == "anna" for row in grid_of(paper, "Who did what").rows)


# --------------------------------------------------------------------------- what is computed from the sample


@pytest.fixture
def sample(portfolio: Portfolio) -> TrainingSample:
    artefact = portfolio.home.artefact(2)
    return TrainingSample.of(artefact, load_model(artefact, 2))


def test_the_sample_is_the_artefacts(sample: TrainingSample) -> None:
    assert len(sample) == 120
    assert roc_auc_score(sample.outcomes, sample.fresh) > 0.6
    assert (sample.own == sample.model.probabilities(sample.features)).all()


def test_information_value_by_hand(sample: TrainingSample) -> None:
    for feature in sample.inputs:
        bins = bins_of_feature(feature, sample.column(feature))
        places = bins.assign(sample.column(feature))
        table = pd.crosstab(places, sample.outcomes) + 0.5
        shares = table / table.sum()
        by_hand = ((shares[0.0] - shares[1.0]) * np.log(shares[0.0] / shares[1.0])).sum()
        assert information_value(bins, sample, feature) == pytest.approx(by_hand)


def test_shifts_are_the_models_own_answers(sample: TrainingSample) -> None:
    found = shifted(sample)
    assert found.pd == pytest.approx(sample.own.mean())
    debt = next(row for row in found.features if row.name == "debt")
    rows, column = sample.features.copy(), sample.model.schema.names.index("debt")
    rows[:, column] = np.clip(rows[:, column] + np.nanstd(rows[:, column]), 0, 100)
    assert debt.pds[1] == pytest.approx(sample.model.probabilities(rows).mean())
    assert debt.pds[1] >= found.pd >= debt.pds[0], "more debt can only raise the PD"
    assert found.together is not None
    assert found.together[0] > found.pd


def test_a_direction_that_is_demanded_is_kept(portfolio: Portfolio) -> None:
    row = next(row for row in grid_of(paper_of(portfolio), "What the model reads").rows if row[0] == "debt")
    assert row[1:3] == ("rising", "rising")
    assert row[5] == "0.0%"


def test_groups_are_counted_by_hand(portfolio: Portfolio, sample: TrainingSample) -> None:
    age = sample.column(sample.model.schema.features[sample.model.schema.protected_columns[0]])
    edges = np.quantile(age, [0.25, 0.5, 0.75], method="inverted_cdf")
    rows = grid_of(paper_of(portfolio), "Protected groups of the training sample").rows
    counts = np.bincount(np.searchsorted(edges, age))
    assert [number(row[1]) for row in rows] == counts.tolist()
    approved = sample.own < sample.model.threshold
    assert [number(row[2]) for row in rows] == pytest.approx(
        [approved[np.searchsorted(edges, age) == i].mean() for i in range(4)], abs=5.1e-4
    )


# --------------------------------------------------------------------------- what is not there


def test_what_is_not_on_record_is_said(portfolio: Portfolio) -> None:
    paper = paper_of(portfolio, 4)
    for chapter in ("purpose", "data", "target", "learners", "discrimination", "stability", "limits", "people"):
        assert MISSING in said(paper, chapter), chapter
    charts = [block for one in paper.chapters for block in one.blocks if isinstance(block, Chart)]
    assert "AUC by window" not in {chart.caption for chart in charts}, "no window was held against version 4"


def test_a_version_that_is_not_there(portfolio: Portfolio) -> None:
    with pytest.raises(NotFound, match="no model version 9"):
        paper_of(portfolio, 9)


def test_the_same_record_gives_the_same_fingerprint(portfolio: Portfolio) -> None:
    first, later = paper_of(portfolio), model_paper(portfolio.home, 2, datetime(2027, 1, 1, tzinfo=UTC))
    assert first.fingerprint == later.fingerprint
    assert first.fingerprint != paper_of(portfolio, 1).fingerprint


# --------------------------------------------------------------------------- texts by people


def test_a_text_reappears_until_another_one_takes_its_place(portfolio: Portfolio) -> None:
    folder = portfolio.home.folder / "documents"
    folder.mkdir()
    (folder / "README.md").write_text("not a text")
    (folder / "limits.v1.md").write_text("# Scope\n\nOnly *private* customers.\n\n- none abroad\n- none below 18\n")
    (folder / "limits.v3.md").write_text("Also small firms.")
    pages = {version: " ".join(read(to_html(paper_of(portfolio, version))).words) for version in (1, 2, 3, 4)}
    for version in (1, 2):
        assert "Only *private* customers." in pages[version]
        assert "none abroad" in pages[version]
        assert "limits.v1.md, written for version 1" in pages[version]
        assert "Assumptions and limits as people see them" not in pages[version]
    for version in (3, 4):
        assert "Also small firms." in pages[version]
        assert "none abroad" not in pages[version]


@pytest.mark.parametrize("name", ["limit.v1.md", "limits.md", "limits.v0.md", "case-x.md", "notes.md"])
def test_a_text_that_would_not_appear_is_refused(portfolio: Portfolio, name: str) -> None:
    folder = portfolio.home.folder / "documents"
    folder.mkdir()
    (folder / name).write_text("A text.")
    with pytest.raises(ConfigError, match=name):
        paper_of(portfolio)


def test_every_chapter_is_in_the_page(portfolio: Portfolio) -> None:
    words = " ".join(read(to_html(paper_of(portfolio))).words)
    for title, _ in SECTIONS.values():
        assert title in words
