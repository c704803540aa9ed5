"""Windows of a real portfolio: closed, dated, quarantined, judged again; large ones in parts."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from tests.receiver import receiving

from riskloop.core.span import Span
from riskloop.core.types import Decisions, Diagnosis, Finding, Floats, Ints, Severity, to_micros
from riskloop.data.config import infer_config
from riskloop.data.read import rows_from
from riskloop.loop import observe, snapshot
from riskloop.loop.champion import ReferenceModel, load
from riskloop.loop.mature import Judgement, mature
from riskloop.loop.observe import close, due
from riskloop.monitor.profile import Profile
from riskloop.portfolio import Portfolio
from riskloop.simulation.embedded import ID, TARGET, TIME, month_starts, simulate
from riskloop.store.outcomes import Outcome
from riskloop.store.windows import Window, save

if TYPE_CHECKING:
    import pandas as pd

TRAINED = datetime(2024, 12, 31, tzinfo=UTC)
MONTHS = month_starts(date(2025, 1, 1), 4)
PER_MONTH = 600
ALLOWED = """
[train]
learners = ["scorecard"]
folds = 3
[drift]
evidently_rows = 0
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portfolio")
    history = common(simulate(month_starts(date(2024, 1, 1), 6), 500, 1))
    history.to_csv(folder / "history.csv", index=False)
    text = infer_config(
        folder / "history.csv", target=TARGET, id=ID, time=TIME, outcome_window=timedelta(days=30)
    ).split("\n[storage]")[0]
    (folder / "riskloop.toml").write_text(text + ALLOWED, encoding="utf-8")
    portfolio = Portfolio.open(folder)
    portfolio.train(now=TRAINED)
    portfolio.home.close()
    return folder


@dataclass
class Loop:
    """A portfolio in production."""

    portfolio: Portfolio
    champion: ReferenceModel

    def decide(self, frame: "pd.DataFrame", outcomes: Ints | None = None, days_behind: int = 0) -> None:
        """Log a month's customers, and what became of them a month later."""
        home = self.portfolio.home
        rows = rows_from(frame.drop(columns=TARGET), home.schema, target="absent", where="the month")
        times = rows.times - days_behind * 86_400_000_000
        p = self.champion.model.probabilities(rows.features)
        logged = home.decisions.append(
            Decisions(rows.ids, times.tolist(), to_micros(TRAINED), 1, p, p >= 0.5, rows.features)
        )
        target = frame[TARGET].to_numpy() if outcomes is None else outcomes
        known_at = datetime(2025, 9, 1, tzinfo=UTC)
        home.outcomes.record(
            [Outcome(bool(y), known_at, decision_id=logged.first_id + i) for i, y in enumerate(target)], known_at
        )

    def close(self, now: datetime) -> list[Window]:
        """Close what is due, as the loop does."""
        home, closed = self.portfolio.home, []
        for span in due(home.decisions, home.windows, home.settings, now):
            window, findings, profile = close(home, self.champion, span, now)
            with home.database.write() as connection:
                save(connection, window, findings, profile)
            closed.append(window)
        return closed

    def judge(self, window: Window, now: datetime) -> Judgement:
        home = self.portfolio.home
        return mature(home, self.champion, window, home.feed.maturity(now), now)

    def findings(self, window: Window) -> list[Finding]:
        return self.portfolio.home.windows.findings(window.id)

    def faults(self, window: Window) -> set[tuple[str, str]]:
        return {(f.check, f.subject) for f in self.findings(window) if f.severity is Severity.FAULT}


def opened(folder: Path, extra: str = "") -> Loop:
    config = folder / "riskloop.toml"
    config.write_text(config.read_text(encoding="utf-8") + extra, encoding="utf-8")
    portfolio = Portfolio.open(folder)
    return Loop(portfolio, load(portfolio.home, 1))


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture
def loop(folder: Path) -> Iterator[Loop]:
    running = opened(folder)
    yield running
    running.portfolio.home.close()


def customers(month: date, seed: int = 5, rows: int = PER_MONTH) -> "pd.DataFrame":
    return common(simulate([month], rows, seed))


def common(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Without levels that a small history may not have."""
    return frame.assign(EDUCATION=frame["EDUCATION"].clip(1, 3), MARRIAGE=frame["MARRIAGE"].clip(1, 2))


def noon(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


def test_whoever_waits_for_outcomes_is_told_that_nothing_was_found(loop: Loop) -> None:
    loop.decide(customers(MONTHS[0]))
    said: list[str] = []
    for now in (noon(2025, 2, 1), noon(2025, 9, 2), noon(2025, 9, 3)):
        loop.portfolio.cycle(now=now, say=said.append)
    assert [sentence for sentence in said if sentence.startswith("2025-01")] == [
        f"2025-01: {PER_MONTH} decisions. Stable so far: nothing moved beyond chance. Its outcomes are not judged yet.",
        "2025-01, by its outcomes: Stable: nothing moved beyond chance.",
    ]


def test_a_quiet_month_is_stable_and_its_profile_is_kept(loop: Loop) -> None:
    loop.decide(customers(MONTHS[0]))
    loop.decide(customers(MONTHS[1]))
    january, february = loop.close(noon(2025, 3, 1))
    assert [w.diagnosis for w in (january, february)] == [Diagnosis.STABLE] * 2
    assert [w.rows for w in (january, february)] == [PER_MONTH] * 2
    assert january.report is None
    first, second = loop.portfolio.home.windows.profiles([january.id, february.id])
    both = Profile.from_bytes(first) + Profile.from_bytes(second)
    frame = loop.portfolio.home.decisions.frame()
    scores = loop.champion.model.probabilities(frame.features)
    assert both.to_bytes() == loop.champion.reference.profile(frame.features, scores, frame.times).to_bytes()
    assert loop.close(noon(2025, 3, 2)) == []


def test_a_fault_is_named_with_its_first_day_and_quarantined(loop: Loop) -> None:
    loop.decide(customers(MONTHS[0]))
    broken = customers(MONTHS[1])
    since = broken[TIME] >= "2025-02-03"
    broken.loc[since, "LIMIT_BAL"] *= 100.0
    loop.decide(broken)
    later = customers(MONTHS[2])
    later["LIMIT_BAL"] *= 100.0
    loop.decide(later)
    _, february, march = loop.close(noon(2025, 4, 1))
    said = "LIMIT_BAL is 100 times larger in all rows since 3 February 2025; nothing else moved: a data fault."
    assert february.sentence == said
    assert march.sentence == said  # the fault is the same one
    assert february.quarantined
    home = loop.portfolio.home
    learned = snapshot.read(home.decisions, snapshot.take(home.feed, home.windows, noon(2025, 12, 1)))
    assert len(learned) == PER_MONTH
    assert learned.times.max() < to_micros(february.first_time)


def test_half_a_month_hides_no_fault(loop: Loop) -> None:
    loop.decide(customers(MONTHS[0]))
    broken = customers(MONTHS[1])
    broken.loc[broken[TIME] >= "2025-02-20", "BILL_AMT1"] *= -1.0
    loop.decide(broken)
    _, february = loop.close(noon(2025, 3, 1))
    assert ("sign", "BILL_AMT1") in loop.faults(february)
    assert "since 20 February 2025" in february.sentence


def test_rows_that_are_dated_back_are_a_fault_and_are_not_learned_from(loop: Loop) -> None:
    loop.decide(customers(MONTHS[0]))
    loop.close(noon(2025, 2, 1))
    loop.decide(customers(MONTHS[1]), days_behind=365)
    loop.decide(customers(MONTHS[2]))
    february, march = loop.close(noon(2025, 4, 1))
    assert february.rows == 0
    assert february.diagnosis is Diagnosis.DATA_FAULT
    assert ("dates", "window") in loop.faults(february)
    assert march.diagnosis is Diagnosis.STABLE
    home = loop.portfolio.home
    learned = snapshot.read(home.decisions, snapshot.take(home.feed, home.windows, noon(2025, 12, 1)))
    assert len(learned) == 2 * PER_MONTH
    assert learned.times.min() >= to_micros(datetime(2025, 1, 1, tzinfo=UTC))


def test_a_silence_is_one_window_however_long_it_lasts(loop: Loop) -> None:
    loop.decide(customers(MONTHS[0]))
    january, silent = loop.close(noon(2027, 6, 1))
    assert (january.diagnosis, january.rows) == (Diagnosis.STABLE, PER_MONTH)
    assert (silent.diagnosis, silent.name) == (Diagnosis.DATA_FAULT, "2025-02")
    assert loop.faults(silent) == {("volume", "window")}
    assert loop.close(noon(2027, 7, 1)) == []
    loop.decide(customers(MONTHS[3]))  # what is handed in later makes its own month a window
    april, silent = loop.close(noon(2027, 7, 2))
    assert (april.name, april.rows, april.diagnosis) == ("2025-04", PER_MONTH, Diagnosis.STABLE)
    assert (silent.name, silent.rows) == ("2025-05", 0)


def test_outcomes_count_when_they_are_final_and_not_before(loop: Loop) -> None:
    home = loop.portfolio.home
    month = customers(MONTHS[0], rows=1_500)
    anybody = np.random.default_rng(1).permutation(month[TARGET].to_numpy())
    loop.decide(month, anybody)
    (window,) = loop.close(noon(2025, 2, 1))
    assert window.diagnosis is Diagnosis.STABLE
    final = window.end_time + home.settings.portfolio.outcome_window
    early = loop.judge(window, final - timedelta(days=33))
    assert not early.judged  # nobody's outcome is final
    assert early.window.diagnosis is Diagnosis.NOT_ENOUGH_DATA
    judgement = loop.judge(window, final)
    judged, found = judgement.window, judgement.findings
    assert judged.diagnosis is Diagnosis.CONCEPT_DRIFT
    assert judged.matured_at == final
    assert "since 1 January 2025" in judged.sentence
    by_check = {f.check: f for f in found}
    assert by_check["auc"].n == 1_500
    assert {f.subject.split(" = ")[0] for f in found if f.check == "segment"} >= {"SEX", "EDUCATION", "AGE"}


def test_evidently_draws_a_page_for_a_window_that_changed(folder: Path) -> None:
    text = (folder / "riskloop.toml").read_text(encoding="utf-8")
    (folder / "riskloop.toml").write_text(text.replace("evidently_rows = 0", "evidently_rows = 1000"), encoding="utf-8")
    loop = opened(folder)
    loop.decide(customers(MONTHS[0]))
    other = customers(MONTHS[1])
    other["PAY_0"] += 1
    loop.decide(other)
    january, february = loop.close(noon(2025, 3, 1))
    assert january.report is None
    assert february.report == "window-2.html"
    page = (loop.portfolio.home.reports / february.report).read_text(encoding="utf-8")
    assert "PAY_0" in page
    assert not (loop.portfolio.home.reports / "window-1.html").exists()
    assert {f.details["computed_by"] for f in loop.findings(february) if f.check == "psi"} == {"Evidently"}
    loop.portfolio.home.close()


def test_large_windows_are_read_once_and_in_parts(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    for month in MONTHS[:2]:
        loop.decide(customers(month))
    whole = [
        close(loop.portfolio.home, loop.champion, span, noon(2025, 3, 1))
        for span in due(
            loop.portfolio.home.decisions, loop.portfolio.home.windows, loop.portfolio.home.settings, noon(2025, 3, 1)
        )
    ]
    read: list[int] = []
    frame = loop.portfolio.home.decisions.frame

    def spy(span: Span, **how: Any) -> object:
        part = frame(span, **how)
        read.extend(part.ids.tolist())
        assert len(part) <= 250
        return part

    monkeypatch.setattr(observe, "FRAME_ROWS", 250)
    monkeypatch.setattr(loop.portfolio.home.decisions, "frame", spy)
    parts = [
        close(loop.portfolio.home, loop.champion, span, noon(2025, 3, 1))
        for span in due(
            loop.portfolio.home.decisions, loop.portfolio.home.windows, loop.portfolio.home.settings, noon(2025, 3, 1)
        )
    ]
    assert sorted(read) == list(range(1, 2 * PER_MONTH + 1))
    for (one, found, profile), (other, again, profile_again) in zip(whole, parts, strict=True):
        assert profile == profile_again
        assert one.diagnosis is other.diagnosis
        for check in ("psi", "missing_rate", "drift"):
            assert [f.statistic for f in found if f.check == check] == [f.statistic for f in again if f.check == check]
        assert {f.check for f in again} >= {"impact", "estimated_auc"}


def test_of_a_segment_in_a_large_window_the_stored_profile_is_taken(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of this champion within the window are not read; all others are, and the profile is the same."""
    home, reference = loop.portfolio.home, loop.champion.reference
    loop.decide(customers(MONTHS[0]))
    loop.decide(customers(MONTHS[1], seed=6))
    whole = home.decisions.frame()
    parts = np.array_split(np.flatnonzero(np.random.default_rng(1).random(len(whole)) < 0.7), 4)
    for number, part in enumerate(parts):
        chosen = whole.take(part)
        made = Decisions(
            chosen.customer_ids, chosen.times.tolist(), to_micros(TRAINED), 1 if number else 7,
            chosen.probabilities, chosen.probabilities >= 0.5, chosen.features,
        )  # fmt: skip
        profile = reference.profile(chosen.features, chosen.probabilities, chosen.times).to_bytes()
        written = home.segments.files.write(made, reference.schema.names, profile if number != 2 else None)
        assert home.segments.register(f"run{number}", "f", [written], seq=home.champion().seq)
        loop.decide(customers(MONTHS[1], seed=8 + number, rows=20))
    monkeypatch.setattr(observe, "FRAME_ROWS", 250)
    windows = list(due(home.decisions, home.windows, home.settings, noon(2025, 3, 1)))
    read: list[int] = []
    frame = home.decisions.frame

    def spy(span: Span, **how: Any) -> object:
        part = frame(span, **how)
        read.extend(part.ids.tolist())
        return part

    monkeypatch.setattr(home.decisions, "schema_of", lambda _version: loop.champion.model.schema)  # nobody registered 7
    monkeypatch.setattr(home.decisions, "frame", spy)
    made_of = [close(home, loop.champion, window, noon(2025, 3, 1))[2] for window in windows]
    monkeypatch.undo()
    assert len(read) == len(set(read))
    for window, profile in zip(windows, made_of, strict=True):
        rows = home.decisions.frame(window.span)
        assert window.rows == len(rows) > 250
        again = reference.profile(rows.features, loop.champion.model.probabilities(rows.features), rows.times)
        assert profile == again.to_bytes()
    with home.database.read() as connection:  # of another model, without a profile, or with that of the champion
        held = {segment.first_id: segment.last_id for segment in home.segments.within(connection)}
    skipped = set(range(1, home.decisions.last_id() + 1)) - set(read)
    inside = [
        set(range(first, last + 1))
        for first, last in held.items()
        if any(Span(first, last) and _within(home.decisions.frame(Span(first, last)).times, w.span) for w in windows)
    ]
    assert skipped == set().union(*inside)


def _within(times: Ints, span: Span) -> bool:
    return bool(span.mask(times).all())


def test_windows_by_count_are_told_apart_by_their_numbers(folder: Path) -> None:
    loop = opened(folder, '[windows]\nby = "count"\nsize = 600\n')
    loop.decide(customers(MONTHS[0]))
    broken = customers(MONTHS[0], seed=6)
    broken["BILL_AMT2"] *= 100.0
    loop.decide(broken)  # on the same days
    loop.decide(customers(MONTHS[1], rows=500))
    first, second = loop.close(noon(2025, 3, 1))
    assert (first.name, second.name) == ("#1", "#2")
    assert first.diagnosis is Diagnosis.STABLE
    assert ("scale", "BILL_AMT2") in loop.faults(second)
    home = loop.portfolio.home
    learned = snapshot.read(home.decisions, snapshot.take(home.feed, home.windows, noon(2025, 12, 1)))
    assert len(learned) == 600 + 500
    outcomes: Floats = learned.outcomes
    assert not np.isnan(outcomes).any()
    judged = loop.judge(first, noon(2025, 12, 1))
    assert next(f for f in judged.findings if f.check == "auc").n == 600
    loop.portfolio.home.close()


def test_rows_can_be_looked_at_without_being_scored(loop: Loop) -> None:
    home = loop.portfolio.home
    sound = customers(MONTHS[0]).drop(columns=TARGET)
    assert loop.portfolio.check(sound).diagnosis == "stable"
    odd = sound.drop(columns="AGE").assign(LIMIT_BAL=sound["LIMIT_BAL"] * 100.0, colour="red")
    seen = loop.portfolio.check(pa.Table.from_pandas(odd, preserve_index=False))
    assert seen.diagnosis == "data_fault"
    assert {("scale", "LIMIT_BAL"), ("column", "AGE"), ("new_column", "colour")} <= {
        (f["check"], f["subject"]) for f in seen.findings
    }
    for rows in (0, 1):
        assert loop.portfolio.check(sound[:rows]).diagnosis == "not_enough_data"
    assert home.decisions.count() == 0
    assert home.windows.count() == 0


def test_a_cycle_tells_of_a_case_once_however_many_windows_it_has(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKLOOP_ALERT_SECRET", "secret")
    with receiving() as receiver:
        loop = opened(folder, f'[alerts]\nwebhook = "{receiver.url}"\ntimeout = 30.0\n')
        loop.decide(customers(MONTHS[0]))
        for month in MONTHS[1:3]:
            broken = customers(month)
            broken["LIMIT_BAL"] *= 100.0
            loop.decide(broken)
        for now in (noon(2025, 2, 1), noon(2025, 3, 1), noon(2025, 4, 1)):
            done = loop.portfolio.cycle(now)
            assert [window["diagnosis"] for window in done.closed]
            for thread in threading.enumerate():
                if thread.name == "riskloop-alerts":
                    thread.join(60)
        (document,) = receiver.documents()
        assert document["diagnosis"] == "data_fault"
        assert "LIMIT_BAL is 100 times larger in all rows since 1 February 2025" in str(document["sentence"])
        loop.portfolio.home.close()


def test_a_receiver_that_is_not_there_breaks_no_cycle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKLOOP_ALERT_SECRET", "secret")
    with receiving() as gone:
        url = gone.url
    loop = opened(folder, f'[alerts]\nwebhook = "{url}"\ntries = 1\n')
    loop.decide(customers(MONTHS[0], rows=300))
    loop.decide(customers(MONTHS[1], rows=300).assign(PAY_0=0))
    assert [w["diagnosis"] for w in loop.portfolio.cycle(noon(2025, 3, 1)).closed] == ["stable", "data_fault"]
    for thread in threading.enumerate():
        if thread.name == "riskloop-alerts":
            thread.join(60)
    assert loop.portfolio.cases["state"].iloc[0] == "quarantined"
    loop.portfolio.home.close()
