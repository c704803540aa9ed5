"""Sound books that look broken to a monitor which only knows the pool of its history."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pytest

from riskloop.core.schema import Feature, Kind, Schema
from riskloop.core.settings import DriftSettings
from riskloop.core.types import DAY, EPOCH, Floats, Ints, Severity
from riskloop.monitor.course import is_path, pooled
from riskloop.monitor.drift import context_findings, profile_findings
from riskloop.monitor.profile import Profile, Reference
from riskloop.monitor.quality import quality_findings
from riskloop.simulation.books import BOOKS, ID, TARGET, TIME, Book

FIRST = date(2020, 1, 1)
LATER = date(2023, 1, 1)
MOVED = (Severity.DRIFTED, Severity.SEVERE)


@lru_cache(maxsize=8)
def schema_of(book: Book) -> Schema:
    frame = book.days(FIRST, 60, 200, 1)
    features = []
    for name in frame.columns:
        if name not in (ID, TIME, TARGET):
            texts = frame[name].dtype.kind not in "fiu"  # pandas 3 has a type of its own for text
            levels = tuple(sorted(frame[name].unique())) if texts else ()
            features.append(Feature(name, "category" if texts else "number", categories=levels, nullable=True))
    return Schema(tuple(features), target=TARGET)


def coded(book: Book, first: date, days: int, per_day: int, seed: int) -> tuple[Floats, Ints]:
    frame, schema = book.days(first, days, per_day, seed), schema_of(book)
    columns = [
        frame[f.name].map(f.codes).fillna(len(f.categories)) if f.kind == "category" else frame[f.name]
        for f in schema.features
    ]
    day = np.repeat([(first - EPOCH.date()).days + k for k in range(days)], per_day)
    return np.column_stack(columns).astype(np.float64), day.astype(np.int64)


@lru_cache(maxsize=8)
def reference(book: Book, dated: bool = True) -> Reference:
    X, days = coded(book, FIRST, 3 * 365, 9, 1)
    scores = np.random.default_rng(0).random(len(X))
    return Reference.build(schema_of(book), X, scores, days if dated else None)


def window(book: Book, number: int, seed: int) -> tuple[Profile, Floats, Ints]:
    """A day of 300 customers where weekdays differ, else four weeks of 1,400."""
    days, per_day = (1, 300) if book.name == "weekdays" else (28, 50)
    X, day = coded(book, LATER + timedelta(days=days * number), days, per_day, seed)
    scores = np.random.default_rng((seed, number)).random(len(X))
    return reference(book).profile(X, scores, day * DAY), X, day


@pytest.mark.parametrize("name", BOOKS)
def test_a_sound_book_is_never_quarantined_and_does_not_drift(name: str) -> None:
    book, before = BOOKS[name], list[Profile]()
    for number in range(14):
        profile, _, _ = window(book, number, 7)
        found = quality_findings(reference(book), profile, min_rows=100, previous=before)
        found += profile_findings(reference(book), profile, DriftSettings())
        wrong = [
            f.sentence for f in found if f.severity is Severity.FAULT or (f.check == "drift" and f.severity in MOVED)
        ]
        assert wrong == []
        before.append(profile)


@pytest.mark.parametrize("name", ["mortgage", "small_business"])
def test_context_is_found_in_the_history_and_can_be_said(name: str) -> None:
    book, schema = BOOKS[name], schema_of(BOOKS[name])
    found = {schema.names[j] for j in reference(book).context}
    assert found == set(book.context)
    assert reference(book, dated=False).context == frozenset()
    said = tuple(
        Feature(f.name, f.kind, categories=f.categories, context=f.name in book.context) for f in schema.features
    )
    X, _ = coded(book, FIRST, 30, 10, 1)
    declared = Reference.build(Schema(said, target=TARGET), X, np.full(len(X), 0.5))
    assert {schema.names[j] for j in declared.context} == set(book.context)


def test_a_path_beyond_the_history_is_said_and_is_no_fault() -> None:
    book = BOOKS["mortgage"]
    profile, _, _ = window(book, 5, 7)
    found = {f.subject: f for f in context_findings(reference(book), profile)}
    assert set(found) == set(book.context)
    assert all(f.severity is Severity.OK for f in found.values())
    assert "has not seen such times" in found["house_prices"].sentence
    psis = {f.subject for f in profile_findings(reference(book), profile, DriftSettings()) if f.check == "psi"}
    assert not psis & set(book.context)
    assert {"income", "score"} <= psis


FAULTS: dict[str, Callable[[Floats], Floats]] = {
    "stuck": lambda column: np.full(column.size, column[0]),
    "scale": lambda column: column * 100.0,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("name", "column"), [("mortgage", "income"), ("small_business", "turnover"), ("wide", "x11")])
def test_faults_are_found_in_these_books_too(name: str, column: str, fault: str) -> None:
    book = BOOKS[name]
    _, X, day = window(book, 3, 7)
    j = schema_of(book).names.index(column)
    X[:, j] = FAULTS[fault](X[:, j])
    profile = reference(book).profile(X, np.full(len(X), 0.5), day * DAY)
    found = quality_findings(reference(book), profile, min_rows=100)
    assert (fault, column) in {(f.check, f.subject) for f in found if f.severity is Severity.FAULT}


def test_codes_that_exchange_are_found_among_many_levels() -> None:
    """Dealers whose codes changed are told by their customers' prices, not by how rare they are."""
    rng = np.random.default_rng(5)
    levels = Feature("dealer", "category", categories=tuple(f"D{k}" for k in range(40)))
    schema = Schema((levels, Feature("price"), Feature("income")), target=TARGET)

    def rows(n: int) -> Floats:
        dealer = np.minimum((40.0 * rng.random(n) ** 1.5).astype(np.int64), 39)
        return np.column_stack((dealer, rng.normal(7 * dealer % 40, 0.5), rng.normal(0.0, 1.0, n)))

    X = rows(10_000)
    built = Reference.build(schema, X, np.full(len(X), 0.5))
    for changed in (False, True, True):
        Y = rows(2_000)
        if changed:
            Y[:, 0] = np.where(
                Y[:, 0] == 0.0, 1.0, np.where(Y[:, 0] == 1.0, 2.0, np.where(Y[:, 0] == 2.0, 0.0, Y[:, 0]))
            )
        found = quality_findings(built, built.profile(Y, np.full(len(Y), 0.5)), min_rows=100)
        assert ("recoded" in {f.check for f in found if f.severity is Severity.FAULT}) is changed


def test_a_flag_that_stops_alone_is_stuck_and_with_many_columns_is_a_change() -> None:
    rng = np.random.default_rng(6)
    schema = Schema(
        (Feature("flag", "category", categories=("N", "Y")), *(Feature(f"x{k}") for k in range(10))), target=TARGET
    )
    X = np.column_stack(((rng.random(9_000) < 0.28).astype(np.float64), rng.standard_normal((9_000, 10))))
    built = Reference.build(schema, X, np.full(len(X), 0.5))

    def stuck(moved: float) -> bool:
        Y = np.column_stack((np.zeros(2_000), rng.standard_normal((2_000, 10)) + moved))
        found = quality_findings(built, built.profile(Y, np.full(len(Y), 0.5)), min_rows=100)
        return ("stuck", "flag") in {(f.check, f.subject) for f in found if f.severity is Severity.FAULT}

    assert stuck(0.0)
    assert not stuck(0.8)


@pytest.mark.parametrize("filled", [0.02, 0.25, 0.7])
@pytest.mark.parametrize("kind", ["category", "number"])
def test_a_flag_that_is_y_or_nothing_is_not_stuck(kind: str, filled: float) -> None:
    rng = np.random.default_rng(8)
    levels = ("Y", "Z") if kind == "category" else ()
    flag = Feature("flag", "category" if levels else "number", categories=levels, nullable=True)
    schema = Schema((flag, *(Feature(f"x{k}") for k in range(5))), target=TARGET)

    def rows(n: int, *values: float) -> Floats:
        some = np.where(rng.random(n) < filled, rng.choice(values, n), np.nan)
        return np.column_stack((some, rng.standard_normal((n, 5))))

    def faults(X: Floats, Y: Floats) -> dict[str, str]:
        built = Reference.build(schema, X, np.full(len(X), 0.5))
        found = quality_findings(built, built.profile(Y, np.full(len(Y), 0.5)), min_rows=100)
        return {f.check: f.sentence for f in found if f.severity is Severity.FAULT}

    for size in (150, 2_000):
        assert faults(rows(6_000, 0.0), rows(size, 0.0)) == {}
    one_of_two = faults(rows(6_000, 0.0, 1.0, 1.0), rows(2_000, 0.0))
    assert one_of_two["stuck"].startswith(f"flag is {flag.text(0.0)} wherever it is filled; in the history in")


def test_a_path_is_told_by_pairs_of_rows() -> None:
    rng = np.random.default_rng(2)
    days = np.repeat(np.arange(200), 10)
    assert is_path(days, np.repeat(rng.standard_normal(200), 10))
    assert is_path(days, (days // 90).astype(np.float64))
    assert not is_path(days, rng.standard_normal(2_000))
    assert not is_path(days, (rng.random(2_000) < 0.005).astype(np.float64))  # rare, and no path
    assert not is_path(days, np.ones(2_000))
    assert not is_path(np.arange(2_000), rng.standard_normal(2_000))  # one row a day shows nothing


def test_rare_bins_are_counted_together() -> None:
    before, now = pooled(np.array([1000, 900, 3, 2, 95]), np.array([100, 90, 5, 0, 9]))
    assert before.tolist() == [1000, 900, 95, 5]
    assert now.tolist() == [100, 90, 9, 5]


# --------------------------------------------------------------------------- levels that go on coming


def dealers(kind: str, months: range, per_month: int, seed: int) -> tuple[Floats, Ints]:
    """A category of many levels as codes (n, 1) with the days: all there from the start, a long tail, or opening."""
    rng = np.random.default_rng(seed)
    month = np.repeat(np.array(months), per_month)
    if kind == "tail":
        weights = 1.0 / np.arange(1, 1_001)
        codes = rng.choice(1_000, month.size, p=weights / weights.sum())
    else:
        codes = (rng.random(month.size) * (1_000 if kind == "thousand" else 100 + 12 * month)).astype(np.int64)
    return codes.astype(np.float64).reshape(-1, 1), 30 * month + rng.integers(0, 30, month.size)


@pytest.mark.parametrize("kind", ["thousand", "tail", "opening"])
def test_levels_that_go_on_coming_are_no_fault_and_foreign_codes_are(kind: str) -> None:
    X, days = dealers(kind, range(24), 300, 5)
    levels = np.unique(X)
    names = tuple(f"D{int(one)}" for one in levels)
    schema = Schema((Feature("dealer", "category", categories=names, unseen="flag"),), target=TARGET)

    def coded(codes: Floats) -> Floats:
        at = np.minimum(np.searchsorted(levels, codes), len(levels) - 1)
        coded: Floats = np.where(levels[at] == codes, at, float(len(levels)))
        return coded

    built = Reference.build(schema, coded(X), np.full(len(X), 0.5), days)
    for ahead in (1, 3, 6):
        for seed in range(4):
            codes, at = dealers(kind, range(23 + ahead, 24 + ahead), 2_000, 10 + seed)
            for share, faulty in ((0.0, False), (0.3, True)):
                foreign = np.random.default_rng(seed).random(codes.shape) < share
                window = built.profile(coded(np.where(foreign, -1.0, codes)), np.full(len(codes), 0.5), at * DAY)
                (found,) = [f for f in quality_findings(built, window, min_rows=100) if f.check == "unseen"]
                assert (found.severity is Severity.FAULT) is faulty, (ahead, seed, found.sentence)


@pytest.mark.parametrize(("per_month", "accounts"), [(1, 40), (3, 20), (1, 400)])
def test_a_number_that_grows_with_the_book_drifts_and_is_no_fault(per_month: int, accounts: int) -> None:
    """Months on book of a panel: no account of the history was ever so old."""

    def months_on_book(months: Iterable[int], seed: int) -> tuple[Floats, Ints]:
        opened = np.random.default_rng(seed).integers(0, 5, (accounts, 1)) + 0.0
        age = np.array(list(months)) - opened
        days: Ints = np.broadcast_to(30 * np.array(list(months)), age.shape)[age >= 0]
        X: Floats = (age * per_month)[age >= 0].reshape(-1, 1)
        return X, days

    X, days = months_on_book(range(10), 1)
    schema = Schema((Feature("age", "number"),), target=TARGET)
    built = Reference.build(schema, X, np.full(len(X), 0.5), days)
    assert built.bins[0].kind == "values"
    for ahead in (1, 2, 4, 8):
        some, days = months_on_book([9 + ahead], 2)
        times = 1 + 100 // accounts
        values, at = np.tile(some, (times, 1)), np.tile(days, times)
        for other, faulty in ((None, False), (999.0, True), (-1.0, True), (3.7, True)):
            broken = np.arange(len(values)) % 3 == 0
            fed = values if other is None else np.where(broken[:, None], other, values)
            window = built.profile(fed, np.full(len(fed), 0.5), at * DAY)
            (found,) = [f for f in quality_findings(built, window, min_rows=100) if f.check == "unseen"]
            assert (found.severity is Severity.FAULT) is faulty, (ahead, other, found.sentence)


@pytest.mark.parametrize("rows", [60, 110, 400])
def test_a_window_of_new_postcodes_alone_is_not_stuck(rows: int) -> None:
    """Each of the history's thousands of codes came about once, so that hardly any comes again."""
    rng = np.random.default_rng(rows)
    codes = np.unique(rng.integers(0, 90_000, 3_000))
    named = Feature("zip", "category", categories=tuple(map(str, codes)), unseen="flag")
    n, beside = len(codes), rng.normal(size=(len(codes), 3))
    X = np.column_stack((np.arange(n, dtype=np.float64), beside))
    schema = Schema((named, *(Feature(f"x{k}") for k in range(3))), target=TARGET)
    built = Reference.build(schema, X, np.full(n, 0.5), np.sort(rng.integers(0, 900, n)))
    window = np.column_stack((np.full(rows, float(n)), rng.normal(size=(rows, 3))))
    times = (900 + np.arange(rows) % 30) * DAY
    found = quality_findings(built, built.profile(window, np.full(rows, 0.5), times), min_rows=30)
    assert not [f.sentence for f in found if f.severity is Severity.FAULT]


def _in_run_off(months: Iterable[int], rows: int, seed: int) -> tuple[Floats, Ints]:
    """Loans of two years' vintages and no new ones: ages grow, terms and balances shrink, amounts stay."""
    rng = np.random.default_rng(seed)
    month = rng.choice(np.array(list(months)), rows)
    age = month - rng.integers(-24, 0, rows)
    granted = np.exp(rng.normal(12.0, 0.5, rows))
    left = 360.0 - age - rng.integers(0, 3, rows)
    X = np.column_stack((age, left, granted.round(-3), (granted * (1.0 - age / 400.0)).round(), rng.normal(size=rows)))
    return X, np.asarray(30 * month + rng.integers(0, 28, rows), dtype=np.int64)


@pytest.mark.parametrize("seed", range(3))
def test_a_book_in_run_off_moves_and_is_no_fault_and_what_breaks_in_it_is_found(seed: int) -> None:
    names = ("age", "left", "granted", "balance", "rate")
    X, days = _in_run_off(range(14), 6_000, seed)
    schema = Schema(tuple(Feature(name, "number") for name in names), target=TARGET)
    built = Reference.build(schema, X, np.full(len(X), 0.5), days)

    def faults(rows: Floats, when: Ints) -> set[str]:
        window = built.profile(rows, np.full(len(rows), 0.5), when * DAY)
        found = quality_findings(built, window, min_rows=100)
        return {f.subject for f in found if f.severity is Severity.FAULT}

    for ahead, rows in ((1, 200), (1, 2_000), (3, 800), (6, 2_000)):
        sound, when = _in_run_off([13 + ahead], rows, 100 * seed + ahead)
        assert faults(sound, when) == set(), (ahead, rows)
    sound, when = _in_run_off([14], 2_000, seed + 50)
    broken = np.arange(len(sound)) % 5 == 0
    for name, values in (("age", sound[::-1, 0]), ("left", np.full(len(sound), 300.0))):
        fed = sound.copy()
        fed[broken, names.index(name)] = values[broken]
        assert faults(fed, when) & {"age", "left"}, name  # the two are one: either may be named


@pytest.mark.parametrize("first", [0.75, 0.9])
def test_a_history_of_which_most_came_on_its_first_day_judges_a_window_all_the_same(first: float) -> None:
    X, days = _in_run_off(range(14), 6_000, 1)
    days[: round(first * len(days))] = days.min()
    built = Reference.build(
        Schema(tuple(Feature(f"x{k}", "number") for k in range(5)), target=TARGET), X, np.full(len(X), 0.5), days
    )
    fed, when = _in_run_off([16], 2_000, 2)
    fed[::5, 0] = fed[::-5, 0]
    window = built.profile(fed, np.full(len(fed), 0.5), when * DAY)
    assert [f for f in quality_findings(built, window, min_rows=100) if f.check == "implausible"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("ahead", "rows"), [(1, 800), (1, 2_000), (4, 2_000)])
def test_a_part_of_the_balances_in_another_unit_is_found_in_a_book_in_run_off(seed: int, ahead: int, rows: int) -> None:
    """That ages, terms and balances all run on with time says nothing against a fault of one of them."""
    names = ("age", "left", "granted", "balance", "rate")
    X, days = _in_run_off(range(14), 6_000, seed)
    schema = Schema(tuple(Feature(name, "number") for name in names), target=TARGET)
    built = Reference.build(schema, X, np.full(len(X), 0.5), days)
    sound, when = _in_run_off([13 + ahead], rows, 70 + seed)
    for name, factor in (("balance", 0.01), ("granted", 0.01), ("balance", 100.0)):
        fed = sound.copy()
        fed[np.arange(rows) % 5 == 0, names.index(name)] *= factor
        window = built.profile(fed, np.full(rows, 0.5), when * DAY)
        found = [f for f in quality_findings(built, window, min_rows=100) if f.severity is Severity.FAULT]
        assert name in {f.subject for f in found}, (name, factor)
        assert {f.check for f in found if f.subject == name} & {"part_scale", "out_of_range", "implausible"}


# --------------------------------------------------------------------------- columns that came within the history


def brought(rows: int, start: int, shares: list[float] | None, seed: int, kind: Kind) -> tuple[Reference, Profile]:
    """700 days in which a column comes on day ``start``, and a month after them with ``shares`` of its levels."""
    rng, levels = np.random.default_rng(seed), ("android", "ios", "web")
    device = Feature("device", kind, categories=levels if kind == "category" else (), nullable=True)
    schema = Schema((Feature("income", "number"), device), target=TARGET)
    day = np.sort(rng.integers(0, 700, rows))

    def values(count: int, likely: list[float]) -> Floats:
        drawn = rng.choice(3, count, p=likely).astype(np.float64)
        return drawn if kind == "category" else drawn + rng.random(count)

    there = np.where(day < start, np.nan, values(rows, [0.3, 0.3, 0.4]))
    X = np.column_stack([rng.lognormal(8, 0.5, rows), there])
    known = Reference.build(schema, X, rng.random(rows), 18_000 + day)
    later = values(800, shares) if shares else np.full(800, np.nan)
    month = np.column_stack([rng.lognormal(8, 0.5, 800), later])
    when = (18_700 + np.sort(rng.integers(0, 28, 800))).astype(np.int64) * DAY
    return known, known.profile(month, rng.random(800), when)


@pytest.mark.parametrize("kind", ["category", "number"])
@pytest.mark.parametrize("start", [60, 180, 350, 600])
@pytest.mark.parametrize(
    ("shares", "moved"), [([0.3, 0.3, 0.4], False), ([0.8, 0.1, 0.1], True), ([0.02, 0.08, 0.9], True)]
)
def test_a_column_that_came_later_is_held_against_the_rows_since(
    kind: Kind, start: int, shares: list[float], moved: bool
) -> None:
    known, profile = brought(8000, start, shares, start, kind)
    found = {f.subject: f for f in profile_findings(known, profile, DriftSettings()) if f.check == "psi"}
    assert (found["device"].severity in MOVED) == moved, found["device"].sentence
    assert "held against the rows since" in found["device"].sentence
    assert found["income"].severity not in MOVED
    assert "since" not in found["income"].sentence


@pytest.mark.parametrize("start", [0, 3])
def test_a_column_that_was_nearly_always_there_is_held_against_all(start: int) -> None:
    known, profile = brought(8000, start, [0.3, 0.3, 0.4], 1, "category")
    found = {f.subject: f for f in profile_findings(known, profile, DriftSettings()) if f.check == "psi"}
    assert "since" not in found["device"].sentence
    assert found["device"].severity not in MOVED


def test_a_column_that_came_and_is_gone_again_is_seen() -> None:
    known, profile = brought(8000, 300, None, 2, "category")
    found = profile_findings(known, profile, DriftSettings())
    assert any(f.subject == "device" and f.severity in MOVED for f in found)
