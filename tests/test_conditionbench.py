"""LoopBench's fraction: the design, one small cell of it, and the arithmetic of its tables."""

import json
from collections import Counter
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import conditions as bench
from benchmarks import delays, falsefindings, labelfaults
from benchmarks._cells import GENERATION, feed_of, play, world_of
from benchmarks._conditiontables import adjusted, document, misses
from benchmarks._fraction import (
    GROUPS,
    SEEDS,
    Planned,
    candidates,
    coded,
    design,
    efficiency,
    one_by_one,
    takes_turns,
)
from benchmarks._measured import delay, gain, ratio, recovery, share
from benchmarks._triggers import handed_in
from riskloop.core.types import Json
from riskloop.simulation.conditions import LEVELS, Conditions


@pytest.mark.parametrize("group", GROUPS)
def test_main_effects_can_be_estimated_from_the_fraction(group: str) -> None:
    width = coded(group, candidates(group)[:1]).shape[1]
    cells = [(c.scenario, c.conditions) for c in islice(design([group]), 2 * width)]
    x = coded(group, cells)
    assert np.linalg.matrix_rank(x) == width
    assert efficiency(group, 2 * width) > 0.85
    everything = coded(group, candidates(group))
    np.testing.assert_allclose(everything[:, 1:].mean(axis=0), 0.0, atol=1e-12)  # coded to sum to 0


def test_the_design_is_the_same_every_time_and_takes_turns() -> None:
    first, again = (list(islice(design(), 45)) for _ in range(2))
    assert first == again
    assert [cell.group for cell in first[:5]] == list(GROUPS)
    assert {cell.seed for cell in first} == set(SEEDS)
    assert not any(cell.group == "labels" and cell.conditions.delivery == "corrected" for cell in first)


def test_what_is_planned_plays_every_level_and_every_scenario_and_tells_main_effects() -> None:
    planned = list(islice(design(), bench.CELLS))
    assert len({cell.seed for cell in planned}) >= 5
    for group in GROUPS:
        part = [(cell.scenario, cell.conditions) for cell in planned if cell.group == group]
        counts = Counter(scenario for scenario, _ in part)
        assert set(counts) == set(GROUPS[group])
        if takes_turns(group):
            assert max(counts.values()) - min(counts.values()) <= 1
        for name, levels in LEVELS.items():
            known = {level for level in levels if (group, level) != ("labels", "corrected")}
            assert {getattr(conditions, name) for _, conditions in part} == known
        assert np.linalg.matrix_rank(coded(group, part)) == coded(group, part).shape[1]
        assert efficiency(group, len(part)) > 0.8


def test_one_condition_at_a_time_is_changed() -> None:
    single = list(one_by_one())
    assert len({bench.named(cell) for cell in single}) == len(single)
    usual = asdict(Conditions())
    for cell in single:
        assert sum(value != usual[name] for name, value in asdict(cell.conditions).items()) <= 1
    for name, levels in LEVELS.items():
        assert {getattr(cell.conditions, name) for cell in single} == set(levels)


QUICK = ('train.learners = ["scorecard"]', "train.folds = 3")


def test_a_small_cell_is_played_under_its_conditions() -> None:
    conditions = Conditions("monthly", "approved", "panel", 0.03, "card", 0.22)
    rows = play(Planned("faults", 0, "units_x100", conditions, 3), per_month=300, months=5, extra=QUICK)
    by = {row["policy"]: row for row in rows}
    assert list(by) == ["never", "on_drift"]
    assert [w[1] for w in by["on_drift"]["windows"][3:]] == ["data_fault"] * 2
    record = {"group": "faults", "cell": "faults:0", "scenario": "units_x100", "commit": "x", "seed": 3}
    record |= {"conditions": asdict(conditions), "rows": json.loads(json.dumps(rows))}
    text = document([record])
    assert "100% (21% to 100%) of 1" in text  # the fault was found, in one stream
    assert not any("fault" in miss for miss in misses(record))


def test_triggers_learn_what_the_feed_has_handed_in() -> None:
    """Nothing of the declined, nothing before the file of the 5th, and what is corrected as it was last said."""
    cell = Planned("stable", 0, "stable", Conditions("monthly", "approved"), 3)
    history = world_of(cell, 120, 4)
    declined = [np.arange(len(period.rows)) % 3 == 0 for period in history.periods]
    known = handed_in(history, feed_of(cell, history), declined)
    assert known(-1) is history.past
    counts = [len(known(k)) - len(history.past) for k in range(4)]
    # The file of 5 February knows those of January's first days, that of 5 March those until 3 February, and so on.
    assert counts[0] == 0
    assert 10 < counts[1] < 20
    assert 80 < counts[2] < 95
    assert 160 < counts[3] < 180
    came = known(3).take(np.arange(len(history.past), len(known(3))))
    periods = zip(history.periods, declined, strict=True)
    refused = {name for period, no in periods for name in np.array(period.rows.ids)[no].tolist()}
    assert not refused & set(came.ids)
    truth = {
        name: y
        for period in history.periods
        for name, y in zip(period.rows.ids, np.asarray(period.rows.target).tolist(), strict=True)
    }
    assert [truth[name] for name in came.ids] == np.asarray(came.target).tolist()
    corrected = replace(cell, conditions=Conditions("corrected"))
    everybody = [np.zeros(len(period.rows), dtype=np.bool_) for period in history.periods]
    later = handed_in(history, feed_of(corrected, history), everybody)
    first = later(2).ids[len(history.past) :], np.asarray(later(2).target)[len(history.past) :]
    wrong = sum(truth[name] != y for name, y in zip(*first, strict=True))
    assert 0 < wrong < 0.1 * len(first[0])


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[str] = []

    def quick(cell: Planned) -> list[Json]:
        played.append(bench.named(cell))
        return [_row("never", 0.7), _row("on_drift", 0.7)]

    monkeypatch.setattr(bench, "play", quick)
    kept, cells = tmp_path / "cells.jsonl", list(islice(design(), 6))
    assert len(list(bench.run(cells[:4], kept, 60.0))) == 4
    assert len(list(bench.run(cells, kept, 60.0))) == 6
    assert len(played) == 6
    assert len(list(bench.run(cells, kept, 0.0))) == 6, "without time the finished ones are there"
    list(bench.run(cells, kept, 60.0, again=["stable:0"]))
    assert played[6:] == ["stable:0"]
    old = [line.replace(f'"generation": {GENERATION}', '"generation": 1', 1) for line in kept.read_text().splitlines()]
    kept.write_text("\n".join(old) + "\n")
    assert bench.is_stale(bench.kept_cells(kept)["stable:0"])
    stale = list(bench.run(cells[:1], kept, 0.0))
    assert "**1 of 140 cells are played**" in document(stale, 140)
    assert "**1 of them are stale**" in document(stale, 140)
    list(bench.run(cells[:1], kept, 60.0))
    assert played[7:] == ["stable:0"], "what an earlier generation played is played again"
    del played[7:]
    other = replace(cells[0], scenario="small_windows", seed=9)
    list(bench.run([other], kept, 60.0))
    assert len(played) == 8, "a cell that was planned otherwise is another one"
    page = tmp_path / "page.md"
    begin, end = "<!-- conditions: begin -->", "<!-- conditions: end -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter")
    bench.write_into(page, "new")
    assert page.read_text() == f"before\n{begin}\n\nnew\n\n{end}\nafter"


def _row(policy: str, end: float, **other: Any) -> Json:
    months = [[f"2021-{k:02d}", float(k > 3), 2000] for k in range(1, 13)]
    windows = [[name, "stable", False, False, True] for name, _, _ in months]
    plain: Json = {"retrainings": [], "promotions": [], "windows": windows, "cases": [], "labels": False}
    return {"policy": policy, "months": months, "auc": [0.8] * 3 + [0.7] * 6 + [end] * 3, **plain, **other}


def _record(rows: list[Json], group: str = "recession", conditions: Conditions | None = None) -> Json:
    scenario = GROUPS[group][0]
    base = {"cell": f"{group}:1", "group": group, "scenario": scenario, "seed": 1, "commit": "x"}
    return {**base, "conditions": asdict(conditions or Conditions()), "rows": rows}


def test_what_is_counted_of_a_changed_stream() -> None:
    cases = [
        ["2021-03-20T00:00:00Z", "prior_shift", "ended", ""],
        ["2021-05-09T00:00:00Z", "concept_drift", "promoted", ""],
    ]
    loop = _row("on_drift", 0.76, cases=cases)
    loop["windows"][1] = ["2021-02", "prior_shift", True, False, True]
    record = _record([_row("never", 0.7), loop, _row("told", 0.78)])
    found = delay(record)
    assert found is not None
    assert found[0] == pytest.approx(38 / 30.44)
    assert recovery(record) == pytest.approx((0.06, 0.08))
    assert gain(record) == pytest.approx((0.06 * 3 / 12, 1))
    assert misses(record) == ["1 false confirmed (2021-02 prior_shift)", "75% of what `told` recovers"]


def test_what_is_counted_of_stable_streams_and_of_labels() -> None:
    quiet = _record([_row("never", 0.7), _row("on_drift", 0.7)], "stable")
    assert misses(quiet) == []
    busy = _record([_row("never", 0.7), _row("on_drift", 0.6, retrainings=["2021-05"])], "stable")
    assert misses(busy) == ["retrained in a stable world", "-0.0250 AUC against never retraining"]
    promotion = {"period": "2021-06", "wrong": True}
    learned = _record([_row("never", 0.7), _row("on_drift", 0.7, labels=True, promotions=[promotion])], "labels")
    assert misses(learned) == ["label fault learned"]
    seen = _record([_row("never", 0.7), _row("on_drift", 0.7, labels=True)], "labels")
    assert misses(seen) == []


def test_shares_of_windows_are_those_of_independent_streams() -> None:
    assert share([(0, 12)] * 10) == "0% (0% to 3.1%) of 120"
    together = share([(12, 12)] + [(0, 12)] * 9)  # one stream has them all: it is one witness of ten
    assert together.startswith("10% (")
    low, high = (float(x.rstrip("%")) for x in together[5:-1].split(")")[0].split(" to "))
    assert low <= 2.0
    assert high > 35.0
    assert share([]) == "–"
    assert share([(1, 1), (0, 1)]) == "50% (9.5% to 91%) of 2"  # streams that count once are independent already


def test_a_ratio_is_that_of_the_sums() -> None:
    assert ratio([(0.09, 0.1), (0.08, 0.1), (0.1, 0.1)]).startswith("90% (")
    assert ratio([(0.05, 0.1)]) == "50% (one stream)"


def test_main_effects_are_those_that_were_put_in() -> None:
    rng = np.random.default_rng(1)
    records = []
    for cell in islice(design(["recession"]), 40):
        worse = 0.02 * (cell.conditions.delivery == "monthly") + 0.01 * (cell.conditions.base_rate == 0.005)
        end = 0.7 + 4.0 * (0.05 - worse) + 0.001 * rng.standard_normal()  # three of twelve months
        record = _record([_row("never", 0.7), _row("on_drift", end)], "recession", cell.conditions)
        records.append({**record, "scenario": cell.scenario})
    means = {key: float(text.split()[0]) for key, text in adjusted(records, gain, "recession").items()}
    assert set(means) == {(name, level) for name, levels in LEVELS.items() for level in levels}
    assert means["delivery", "on_time"] - means["delivery", "monthly"] == pytest.approx(0.02, abs=0.002)
    assert means["base_rate", 0.22] - means["base_rate", 0.005] == pytest.approx(0.01, abs=0.002)
    assert means["width", "wide"] - means["width", "card"] == pytest.approx(0.0, abs=0.002)


def test_cheap_streams_find_a_fault_of_the_labels_and_nothing_in_a_sound_feed() -> None:
    conditions = Conditions("monthly", "approved", base_rate=0.03)
    book = labelfaults.Book.of(conditions, 7, falsefindings.YEAR)
    sound = labelfaults.played("none", conditions, 7, book)
    broken = labelfaults.played("inverted", conditions, 7, book)
    assert sound["found"] == []
    assert broken["found"][0][1] == "labels_inverted"
    assert broken["found"][0][0] >= "2021-04-01", "before, the labels were sound"
    text = labelfaults.table([sound, broken])
    assert "| base_rate 0.03 | 100% (21% to 100%) of 1 | 0% (0% to 79%) of 1 |" in text
    assert "none: a confirmed `prior_shift` before a finding about the labels in 0 of 1" in text
    assert "| none: looks, each for itself |" in text
    assert "| none: when concept drift is confirmed | – |" in text
    year = falsefindings.played(conditions, 7, book)
    assert (year.called, year.confirmed) == (0, ())
    assert "| all | 0% (0% to 24%) of 12 | 0% (0% to 24%) of 12 |" in falsefindings.table([year])


def test_worlds_that_change_are_played_with_customers_who_are_the_same() -> None:
    conditions = Conditions("monthly", "all")
    usual = labelfaults.Book.of(conditions, 7, 4)
    later = labelfaults.Book.of(conditions, 7, 4, later=labelfaults.WORLDS["recession"])
    before = usual.months < labelfaults.BREAKS - 1
    for name in ("times", "months", "probabilities"):
        np.testing.assert_array_equal(getattr(usual, name), getattr(later, name))
    np.testing.assert_array_equal(usual.outcomes[before], later.outcomes[before])
    assert np.abs(later.true - usual.true)[~before].mean() > 0.02


def test_delays_are_paired_and_what_is_not_found_counts_as_later() -> None:
    names = [delays._named(conditions) for conditions in delays.PLAYED]
    found = dict.fromkeys(names, 2.0) | {"monthly, all": 2.5, "late, all": 3.5, "on_time, approved": None}
    rows = [{"scenario": "recession", "seed": seed, "months": found, "last": 7.0} for seed in (1, 2)]
    lines = delays.table(rows).splitlines()
    assert lines[2] == "| on time, all | 2 | 2 | 2.0 | – | – |"
    assert lines[3] == "| monthly, all | 2 | 2 | 2.5 | +0.50 (+0.50 to +0.50) | 0% (0% to 66%) |"
    assert "| late, all | 2 | 2 | 3.5 | +1.50 (+1.50 to +1.50) | 100% (34% to 100%) |" in lines
    assert "| on time, approved | 2 | 0 | – | +5.00 (+5.00 to +5.00) | 100% (34% to 100%) |" in lines
    neither = [row | {"months": dict.fromkeys(names)} for row in rows]
    assert "| +0.00 (+0.00 to +0.00) | 0% (0% to 66%) |" in delays.table(neither), (
        "nobody is later than what is not found"
    )
    assert "| recession | 2.0, 2.0 | 2.5, 2.5 |" in delays.by_scenario(rows)
