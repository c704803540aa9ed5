"""Is the feed sound? Checks that need no model and no outcomes; each one answers with findings and never raises.

A ``FAULT`` is a mechanical change, which no population makes by itself; the window is then quarantined. So every
check asks twice: is it more than chance (a p-value), and is it large enough to matter (a band).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from riskloop.core.findings import WINDOW, DeclaredCheck
from riskloop.core.stats.rates import equal_pairs_p_value, rate_jump, volume_p_value
from riskloop.core.types import EPOCH, Finding, Json, Severity
from riskloop.monitor.faults import mechanical_findings
from riskloop.monitor.profile import Profile, Reference

CHANCE: Final = 1e-6  # p-value below which no chance is left; there are some hundred checks a window

REFUSED_SHARE: Final = 0.05  # of the requests
MISSING_RISE: Final = 0.05
LEAST_LATEST: Final = 50  # rows at the end of the history that say how many levels are new
UNSEEN_RISE: Final = 0.01
OUTSIDE_RISE: Final = 0.05
COPIED_SHARE: Final = 0.02
VOLUME_DROP: Final = 0.5
USUAL_GAP: Final = 1.25  # times the usual days between two with rows: months are not alike
SILENT_SHARE: Final = 0.25  # of the window's days, at one of its ends
OUT_OF_PERIOD: Final = 0.01

ROWS: Final = DeclaredCheck("rows", "the window has enough rows to be judged", "windows.min_rows")
CONTRACT: Final = DeclaredCheck(
    "contract", "requests keep the schema", "Requests refused by the schema, by field and problem"
)
VOLUME: Final = DeclaredCheck(
    "volume",
    "as many rows arrive as in earlier windows",
    "Negative binomial around earlier windows (Hilbe, 2011), with a practical band",
    "The volume",
)
_RATE: Final = (
    "the rate is that of the history",
    "Beta-binomial prediction from the history's rate (Gelman et al., 2013), with a practical band",
)
MISSING_RATE: Final = DeclaredCheck("missing_rate", *_RATE)
UNSEEN_RATE: Final = DeclaredCheck("unseen", *_RATE)
OUT_OF_RANGE: Final = DeclaredCheck("out_of_range", *_RATE)
DUPLICATES: Final = DeclaredCheck(
    "duplicates",
    "rows repeat as rarely as in the history",
    "Equal pairs among rows drawn from one population (birthday problem), on the profile's row sample",
)
REPEATED: Final = DeclaredCheck(
    "repeated",
    "the rows are not those of the window before",
    "Overlap of the two windows' row samples (bottom-k sketch; Cohen & Kaplan, 2007)",
    "A repeated feed",
)
DATES: Final = DeclaredCheck(
    "dates", "decisions carry dates of their own window", "Days of the decisions against the window's period", "Dates"
)
COVERAGE: Final = DeclaredCheck(
    "coverage",
    "rows arrive over the whole period",
    "Chance of so long a silence at one end of the period when rows arrive evenly",
    "Silence at the ends of the period",
)


def quality_findings(
    reference: Reference,
    window: Profile,
    *,
    min_rows: int,
    refusals: Mapping[tuple[str, str], int] | None = None,
    previous: Sequence[Profile] = (),
    period: tuple[datetime, datetime] | None = None,
    covered: tuple[datetime, datetime] | None = None,
    late: int = 0,
) -> list[Finding]:
    """Everything that can be wrong with a window's data.

    ``refusals`` counts the requests refused in the window by (field, problem code). ``previous`` holds the profiles
    of earlier sound windows, oldest first: volumes are compared with theirs. ``period`` is the window's span of
    time, end exclusive, where windows are calendar periods, and ``covered`` the part of it that rows are expected
    for, where that is not all; ``late`` counts the rows that arrived in it with dates before it.
    """
    share = 1.0 if period is None or covered is None else (covered[1] - covered[0]) / (period[1] - period[0])
    found = [_rows(reference, window, min_rows), _contract(window, refusals or {}), _volume(window, previous, share)]
    if window.rows or late:
        found.append(_dates(window, previous, period, late))
    if window.rows:
        found += [*_missing(reference, window), *_unseen(reference, window), *_outside(reference, window)]
        found += [_duplicates(reference, window), _repeated(window, previous)]
        found.append(_coverage(reference, window, previous, covered or period))
        found += mechanical_findings(reference, window)
    return found


def _rows(reference: Reference, window: Profile, min_rows: int) -> Finding:
    few, looked = window.rows < min_rows, len(reference.foremost)
    faults = (
        f" Mechanical faults are looked for in the {looked:,} of {len(reference.bins):,} columns that the champion "
        "reads most."
        if looked
        else ""
    )
    return ROWS.finding(
        WINDOW,
        Severity.UNKNOWN if few else Severity.OK,
        (window.rows, reference.own.rows),
        f"The window has {window.rows} rows; {min_rows} are needed to judge it."
        if few
        else f"The window has {window.rows} rows.{faults}",
        statistic=float(window.rows),
        critical=float(min_rows),
    )


def _contract(window: Profile, refusals: Mapping[tuple[str, str], int]) -> Finding:
    refused = sum(refusals.values())
    asked = window.rows + refused
    share = refused / asked if asked else 0.0
    fault = share > REFUSED_SHARE and refused >= 10
    worst = sorted(refusals.items(), key=lambda item: -item[1])[:3]
    listed = ", ".join(f"{field} {code} ({count})" for (field, code), count in worst)
    return CONTRACT.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (asked, 0),
        f"{refused} of {asked} requests were refused{': ' + listed if listed else ''}.",
        statistic=share,
        critical=REFUSED_SHARE,
        details={"refusals": [[field, code, count] for (field, code), count in refusals.items()]},
    )


def _volume(window: Profile, previous: Sequence[Profile], share: float) -> Finding:
    """``share``: the part of its period that the window has rows for."""
    sizes = [round(share * profile.rows) for profile in previous]
    mean = float(np.mean(sizes)) if sizes else math.nan
    if not sizes or mean == 0.0:
        return VOLUME.unknown(WINDOW, (window.rows, 0), "there are no earlier windows to compare it with")
    p, ratio = volume_p_value(window.rows, sizes), window.rows / mean
    fault = ratio < VOLUME_DROP and p < CHANCE
    return VOLUME.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (window.rows, round(mean)),
        f"{window.rows} rows arrived; earlier windows had {mean:.0f} on average"
        + (": the feed is cut off." if fault else "."),
        statistic=ratio,
        critical=VOLUME_DROP,
        details={"p_value": p, "previous": sizes},
    )


# --------------------------------------------------------------------------- columns


def _missing(reference: Reference, window: Profile) -> list[Finding]:
    expected = reference.own.missing
    return [
        _rate(MISSING_RATE, name, int(window.missing[j]), (int(expected[j]), reference.own.rows), MISSING_RISE, window)
        for j, name in enumerate(reference.schema.names)
    ]


def _unseen(reference: Reference, window: Profile) -> list[Finding]:
    found = []
    for j, feature in enumerate(reference.schema.features):
        if reference.bins[j].kind == "values" and j not in reference.context:
            # A number not among the few of the history is rarer evidence than a level outside the schema.
            band = UNSEEN_RISE if feature.kind == "category" else OUTSIDE_RISE
            unseen, usual = int(window.counts[j][-2]), (int(reference.own.counts[j][-2]), reference.own.rows)
            grown = _grown(reference, window, j, unseen) if unseen and feature.kind == "number" else 0
            unseen -= grown
            if unseen and not grown:
                usual = max(usual, *_new_levels(reference, window, j), key=lambda some: some[0] / some[1])
            found.append(_rate(UNSEEN_RATE, feature.name, unseen, usual, band, window, {"grown": grown}))
    return found


def _grown(reference: Reference, window: Profile, j: int, unseen: int) -> int:
    """How many of a number's ``unseen`` values lie where it runs on to, as the months on book of a panel do.

    It went so far in the second half of the history; it may go on as fast, and chance may double that. What moves this
    way is drift, and no broken feed.
    """
    run = reference.course.run(j) if reference.course is not None and window.length else None
    if reference.course is None or run is None or run[4] <= 0 or run[5] < OUTSIDE_RISE:
        return 0
    points = reference.bins[j].points
    first_low, first_high, low, high = (points[place] for place in run[:4])
    more = 2.0 * max(0, int(window.days[-1, 0] - reference.course.days.max())) / run[4]
    lowest, highest = low - more * (first_low - low), high + more * (high - first_high)
    values = window.sample.rows[:, j]
    there = ~np.isnan(values) & ~np.isin(values, points)
    new, copies = values[there], window.sample.copies[there]
    on = (new >= lowest) & (new <= highest) & ((new < low) | (new > high))
    if all(float(point).is_integer() for point in points):
        on &= new == np.round(new)
    return round(unseen * float(copies[on].sum() / copies.sum())) if new.size else 0


def _new_levels(reference: Reference, window: Profile, j: int) -> Iterator[tuple[int, int]]:
    """How many values are usually of levels that nobody has seen, and of how many.

    Of a thousand levels some have not come yet. The rows whose level came once say how many (Good, 1953), and so does
    the end of the history beside what was before it.
    """
    yield int(np.count_nonzero(reference.own.counts[j][:-2] == 1)), reference.own.rows
    if reference.course is not None and window.length:
        ago = max(window.length, int(window.days[-1, 0] - reference.course.days.max()))
        new, rows = reference.course.fresh(j, ago, window.length)
        if rows >= LEAST_LATEST:
            yield new, rows


def _outside(reference: Reference, window: Profile) -> list[Finding]:
    outside = window.below + window.above
    found = []
    for j, feature in enumerate(reference.schema.features):
        if feature.kind == "number" and reference.bins[j].kind == "intervals" and j not in reference.context:
            ends = {"low": float(window.low[j]), "high": float(window.high[j])}
            details: Json = {end: value for end, value in ends.items() if math.isfinite(value)}
            found.append(
                _rate(
                    OUT_OF_RANGE, feature.name, int(outside[j]), (0, reference.own.rows), OUTSIDE_RISE, window, details
                )
            )
    return found


_SAYS: Final = {
    MISSING_RATE: "are missing",
    UNSEEN_RATE: "were never seen in the history",
    OUT_OF_RANGE: "lie far outside the history's range (by more than its width)",
}


def _rate(
    check: DeclaredCheck,
    subject: str,
    count: int,
    reference: tuple[int, int],
    band: float,
    window: Profile,
    details: Json | None = None,
) -> Finding:
    """``reference`` is how many rows of how many have it usually."""
    n, m = window.rows, reference[1]
    rate, usual = count / n, min(1.0, reference[0] / m)
    p = rate_jump(count, n, min(reference[0], m), m)
    fault = rate - usual > band and p < CHANCE
    return check.finding(
        subject,
        Severity.FAULT if fault else Severity.OK,
        (n, m),
        f"{rate:.1%} of the values of {subject} {_SAYS[check]}; in the history {usual:.1%}.",
        statistic=rate,
        critical=usual + band,
        details={"p_value": p, "count": count, **(details or {})},
    )


# --------------------------------------------------------------------------- rows


def _duplicates(reference: Reference, window: Profile) -> Finding:
    sample, own = window.sample, reference.own.sample
    sampled = int(sample.copies.sum())
    pairs = int((sample.copies * (sample.copies - 1) // 2).sum())
    own_pairs = int((own.copies * (own.copies - 1) // 2).sum())
    # A sample of the distinct rows keeps the pairs of the rows that it keeps: in proportion, not squared.
    rows = max(2, round(math.sqrt(sampled * window.rows)))
    p = equal_pairs_p_value(pairs, rows, own_pairs, max(2, reference.own.rows))
    share = sample.repeats / sampled
    usual = own.repeats / max(1, int(own.copies.sum()))
    fault = share - usual > COPIED_SHARE and p < CHANCE
    return DUPLICATES.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (sampled, reference.own.rows),
        f"{share:.1%} of the rows are copies of another one in the window; in the history {usual:.1%}.",
        statistic=share,
        critical=usual + COPIED_SHARE,
        details={"p_value": p, "pairs": pairs},
    )


def _repeated(window: Profile, previous: Sequence[Profile]) -> Finding:
    if not previous or not previous[-1].rows:
        return REPEATED.unknown(WINDOW, (window.rows, 0), "there is no earlier window whose rows could come again")
    before = previous[-1].sample
    bound = min(window.sample.bound, before.bound)
    hashes = window.sample.hashes[window.sample.hashes <= np.uint64(bound)]
    copies = window.sample.copies[: hashes.size]
    again = np.isin(hashes, before.hashes)
    share = float(copies[again].sum() / copies.sum()) if hashes.size else 0.0
    fault = share > SILENT_SHARE and int(copies[again].sum()) >= 10
    return REPEATED.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (int(copies.sum()), int(before.copies.sum())),
        f"{share:.1%} of the rows were already in the window before.",
        statistic=share,
        critical=SILENT_SHARE,
    )


# --------------------------------------------------------------------------- dates


def _dates(
    window: Profile, previous: Sequence[Profile], period: tuple[datetime, datetime] | None, late: int
) -> Finding:
    earlier = [int(profile.days[-1, 0]) for profile in previous if len(profile.days)]
    if not late and (not len(window.days) or (period is None and not earlier)):
        return DATES.unknown(WINDOW, (window.rows, 0), "the rows carry none")
    day, rows = window.days.T
    if period is not None:
        wrong = int(rows[(day < _day(period[0])) | (day > _last_day(period))].sum()) + late
        against = f"outside {period[0]:%Y-%m-%d} to {_date(_last_day(period))}"
    else:
        wrong = int(rows[day < max(earlier)].sum())
        against = f"before {_date(max(earlier))}, where the window before ended"
    arrived = int(rows.sum()) + late
    share = wrong / arrived
    fault = share > OUT_OF_PERIOD and wrong >= 10
    spread = f"; the others run from {_date(day[0])} to {_date(day[-1])}" if len(day) and wrong < arrived else ""
    return DATES.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (arrived, 0),
        f"{share:.1%} of the dates lie {against}{spread}.",
        statistic=share,
        critical=OUT_OF_PERIOD,
        details={"wrong": wrong, "late": late},
    )


def _coverage(
    reference: Reference, window: Profile, previous: Sequence[Profile], period: tuple[datetime, datetime] | None
) -> Finding:
    if period is None or not len(window.days):
        return COVERAGE.unknown(WINDOW, (window.rows, 0), "the window has no days that could lack rows")
    first, last = _day(period[0]), _last_day(period)
    day, rows = window.days.T
    if len(day) == 1 and day[0] == first and all(len(profile.days) == 1 for profile in previous):
        return COVERAGE.unknown(WINDOW, (window.rows, 0), "every row carries the first day, which names the period")
    inside = day[(day >= first) & (day <= last)]
    length = last - first + 1
    silent = max(int(inside[0]) - first, last - int(inside[-1])) if inside.size else length
    share = silent / length
    chance = 2.0 * (1.0 - share) ** int(rows.sum())
    usual = USUAL_GAP * _gap(reference, previous)
    fault = inside.size > 0 and length >= 7 and share > SILENT_SHARE and chance < CHANCE and silent > usual
    return COVERAGE.finding(
        WINDOW,
        Severity.FAULT if fault else Severity.OK,
        (window.rows, length),
        f"{silent} of {length} days at one end of the period have no rows"
        + (": the feed is cut off." if fault else "."),
        statistic=share,
        critical=SILENT_SHARE,
        details={"p_value": min(1.0, chance)},
    )


def _gap(reference: Reference, previous: Sequence[Profile]) -> float:
    """How many days usually lie between days with rows, by the windows before or the history: a panel has one a month.

    Rows of a panel carry the end of their month, or all three of a quarter; that is no silence of a feed.
    """
    days = np.unique(
        np.concatenate([profile.days[:, 0] for profile in previous if len(profile.days)] or [np.empty(0, np.int64)])
    )
    if days.size < 2 and reference.dated is not None:
        days = np.unique(reference.dated)
    return float(np.median(np.diff(days))) if days.size > 1 else 0.0


def _day(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(days=1)


def _last_day(period: tuple[datetime, datetime]) -> int:
    return _day(period[1] - timedelta(microseconds=1))


def _date(day: int) -> str:
    return f"{EPOCH + timedelta(days=int(day)):%Y-%m-%d}"
