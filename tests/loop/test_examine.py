"""Whatever arrives in a window is examined to the end: a finding, never an exception, and no column stops others."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from riskloop.core.settings import Settings
from riskloop.core.types import Diagnosis, Finding, Floats, Severity
from riskloop.data.read import rows_from
from riskloop.decide.diagnosis import diagnose
from riskloop.loop import examine
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.examine import Arrived, at_closing, when_matured
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import ID, TARGET, simulate

from .conftest import MONTHS

ROWS = 400
Change = Callable[[Floats, Floats], Floats]  # the whole window, one of its columns -> that column's new values


class Examined:
    """A champion and a month of its customers."""

    def __init__(self, portfolio: Portfolio) -> None:
        self.settings: Settings = portfolio.home.settings
        self.champion: ReferenceModel = load(portfolio.home, 1)
        frame = simulate([MONTHS[0]], ROWS + 50, 7)
        frame = frame[frame["EDUCATION"] != 0][:ROWS]  # a rare level that the small history may not hold
        self.outcomes: Floats = frame[TARGET].to_numpy(dtype=np.float64)
        schema = self.champion.model.schema
        rows = rows_from(frame.drop(columns=TARGET).assign(**{ID: range(ROWS)}), schema, target="absent", where="it")
        self.features, self.times, self.names = rows.features, rows.times, schema.names

    def close(self, features: Floats, page: Path | None = None) -> list[Finding]:
        scores = self.champion.model.probabilities(features) if len(features) else np.empty(0)
        times = self.times[: len(features)]
        profile = self.champion.reference.profile(features, scores, times)
        return at_closing(self.champion, self.settings, Arrived(profile, features, scores, times), page=page)

    def changed(self, **columns: Floats | float) -> Floats:
        features = self.features.copy()
        for name, values in columns.items():
            features[:, self.names.index(name)] = values
        return features


@pytest.fixture(scope="module")
def examined(trained_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examined]:
    folder = tmp_path_factory.mktemp("examined")
    shutil.copytree(trained_folder, folder, dirs_exist_ok=True)
    portfolio = Portfolio.open(folder)
    yield Examined(portfolio)
    portfolio.home.close()


def faults(found: list[Finding]) -> set[tuple[str, str]]:
    return {(f.check, f.subject) for f in found if f.severity is Severity.FAULT}


def sound(found: list[Finding]) -> None:
    """Every finding says something, and no number in it is none."""
    assert all(f.sentence for f in found)
    assert all(f.statistic is None or np.isfinite(f.statistic) for f in found)


@pytest.mark.parametrize("with_page", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_hardly_any_rows(examined: Examined, tmp_path: Path, rows: int, with_page: bool) -> None:
    page = tmp_path / "page.html" if with_page else None
    found = examined.close(examined.features[:rows], page)
    sound(found)
    assert next(f for f in found if f.check == "rows").severity is Severity.UNKNOWN
    assert diagnose(found, [], examined.settings.drift).diagnosis is Diagnosis.NOT_ENOUGH_DATA


ODD: dict[str, tuple[Callable[[Floats], Floats | float], set[str]]] = {
    "all missing": (lambda column: np.nan, {"missing_rate"}),
    "constant": (lambda column: float(np.median(column)), {"stuck"}),
    "an outlier": (lambda column: np.append(1e12, column[1:]), set()),
    "an endless value": (lambda column: np.append(np.inf, column[1:]), set()),
    "nothing but endless values": (lambda column: np.inf, {"stuck"}),
    "another unit": (lambda column: column * 100.0, {"scale"}),
}


@pytest.mark.parametrize("with_page", [False, True])
@pytest.mark.parametrize("what", ODD)
def test_an_odd_column_is_found_and_stops_no_other(
    examined: Examined, tmp_path: Path, what: str, with_page: bool
) -> None:
    change, expected = ODD[what]
    usual = examined.changed(LIMIT_BAL=examined.features[:, examined.names.index("LIMIT_BAL")] * 100.0)
    odd = usual.copy()
    j = examined.names.index("BILL_AMT1")
    odd[:, j] = change(usual[:, j])
    found = examined.close(odd, tmp_path / "page.html" if with_page else None)
    sound([f for f in found if f.subject != "BILL_AMT1"])
    assert {check for check, subject in faults(found) if subject == "BILL_AMT1"} - {"detached"} >= expected
    assert bool(expected) == any(subject == "BILL_AMT1" for _, subject in faults(found))
    assert ("scale", "LIMIT_BAL") in faults(found)
    assert {f.subject for f in found if f.check == "psi"} == {*examined.names, "score"}
    assert not any(f.check == "evidently" for f in found)


def test_without_evidently_the_numbers_are_the_same(
    examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, moved = tmp_path / "page.html", examined.changed(AGE=examined.features[:, examined.names.index("AGE")] + 9.0)
    monkeypatch.setattr(examine, "has_evidently", lambda: False)
    without = [f for f in examined.close(moved, page) if f.check == "psi"]
    assert not page.exists()
    assert {f.details["computed_by"] for f in without} == {"counts"}
    straight = [f for f in examined.close(moved) if f.check == "psi"]
    assert [f.statistic for f in without] == [f.statistic for f in straight]


def test_levels_never_seen_and_columns_that_never_come(examined: Examined) -> None:
    found = examined.close(examined.changed(EDUCATION=99.0, MARRIAGE=np.nan))
    assert {("unseen", "EDUCATION"), ("missing_rate", "MARRIAGE")} <= faults(found)
    found = examined.close(np.full_like(examined.features, np.nan))
    assert {subject for check, subject in faults(found) if check == "missing_rate"} == set(examined.names)


@pytest.mark.parametrize("rows", [0, 1, 30, ROWS])
@pytest.mark.parametrize("outcome", [np.nan, 0.0, 1.0])
def test_outcomes_of_one_kind_or_none_judge_nothing(examined: Examined, rows: int, outcome: float) -> None:
    features = examined.features[:rows]
    scores = examined.champion.model.probabilities(features) if rows else np.empty(0)
    found = when_matured(examined.champion, examined.settings, features, scores, np.full(rows, outcome))
    alone = [(f.check, f.severity) for f in found if not f.check.endswith("_over_time")]
    assert alone == [("auc", Severity.UNKNOWN)]


def test_scores_that_are_all_equal_have_no_slope_and_are_judged_all_the_same(examined: Examined) -> None:
    scores = np.full(ROWS, 0.2)
    found = when_matured(examined.champion, examined.settings, examined.features, scores, examined.outcomes)
    by_check = {f.check: f for f in found if f.subject == "window"}
    assert by_check["calibration_slope"].severity is Severity.UNKNOWN
    assert by_check["auc"].severity in (Severity.DRIFTED, Severity.SEVERE)
    assert by_check["brier"].statistic is not None
