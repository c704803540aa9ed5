"""Sections of a model's report: how good it is, and to whom."""

from collections.abc import Sequence

from riskloop.core.numbers import NOTHING, between, between_shares, chance, number, percent, points
from riskloop.core.stats import roc_curve
from riskloop.document import verdicts
from riskloop.document import windows as over_time
from riskloop.document.parts import (
    Block,
    Chart,
    Curves,
    Facts,
    Grid,
    Said,
    Series,
    missing,
)
from riskloop.document.record import ModelRecord
from riskloop.document.sample import (
    GradeRow,
    grade_rows,
    group_rows,
    shifted,
)
from riskloop.document.write import words


def discrimination(record: ModelRecord) -> list[Block]:
    metrics, sample = record.manifest.metrics, record.sample
    pairs = (
        ("AUC", f"{number(metrics.auc, 4)}, 95%: {between(metrics.auc_low, metrics.auc_high, 4)}"),
        ("Gini", number(metrics.gini, 4)),
        ("KS", number(metrics.ks, 4)),
        ("Brier score", number(metrics.brier, 4)),
        ("Log loss", number(metrics.log_loss, 4)),
        ("AUC of each fold", ", ".join(number(fold, 4) for fold in metrics.folds)),
    )
    blocks: list[Block] = [
        verdicts.discrimination(metrics.auc, record.windows),
        Said("At training, on rows that the model had not seen:"),
        Facts(pairs),
    ]
    labels, p = sample.outcomes[sample.known], sample.fresh[sample.known]
    if 0 < labels.sum() < labels.size:
        x, y = roc_curve(labels, p)
        line = ("out of fold", tuple(x.tolist()), tuple(y.tolist()))
        blocks.append(Curves("ROC of the training sample", ("share of the good", "share of the defaults"), (line,)))
    return [*blocks, Said("In production, against outcomes:"), *over_time.realised(record.windows, metrics.auc)]


def calibration(record: ModelRecord) -> list[Block]:
    found = grade_rows(record.model, record.sample.fresh, record.sample.outcomes)
    calibration = record.manifest.calibration
    line = f"PD = sigmoid({number(calibration.a, 4)} + {number(calibration.b, 4)} · raw log-odds)."
    levels = record.manifest.risk_levels
    bounds = f"Grades end at PDs of {percent(levels.low)}, {percent(levels.medium)} and {percent(levels.high)}."
    held = verdicts.lead(verdicts.calibration(found), verdicts.graded(record.windows))
    blocks: list[Block] = [held, Said(f"{line} {bounds}")]
    blocks += _grades_at_training(found) if found else [missing("Calibration by grade at training")]
    return [*blocks, *over_time.graded(record.windows)]


def _grades_at_training(found: Sequence[GradeRow]) -> list[Block]:
    rows = tuple(
        (
            words(one.grade),
            number(one.rows),
            number(one.defaults),
            percent(one.pd),
            percent(one.rate.estimate),
            between_shares(one.rate.lower, one.rate.upper),
            chance(one.p),
        )
        for one in found
    )
    head = ("Grade", "Rows", "Defaults", "Mean PD", "Defaulted", "Jeffreys 95%", "p")
    series = (
        Series("mean PD", tuple(one.pd for one in found)),
        Series(
            "defaulted, Jeffreys 95%",
            tuple(one.rate.estimate for one in found),
            tuple(one.rate.lower for one in found),
            tuple(one.rate.upper for one in found),
        ),
    )
    labels = tuple(words(one.grade) for one in found)
    return [
        Chart("Calibration by grade at training", labels, series, percent=True),
        Grid("Calibration by grade, training sample out of fold", head, rows),
    ]


def stability(record: ModelRecord) -> list[Block]:
    if not record.windows.windows:
        return [missing("Stability (no window was held against this version)")]
    said = verdicts.stability(record.windows)
    return [said, over_time.window_table(record.windows.windows), *over_time.stability(record.windows)]


def concentration(record: ModelRecord) -> list[Block]:
    windows, cut = over_time.graded_windows(record.home.decisions, record.model, record.windows.windows)
    training = record.model.level_codes(record.sample.own)
    return [
        verdicts.concentration(training, windows),
        *over_time.concentration(training, windows, cut),
        *over_time.migration(windows),
    ]


def sensitivity(record: ModelRecord) -> list[Block]:
    found = shifted(record.sample)
    rows = tuple(
        (
            record.home.settings.called(one.name),
            f"{one.what[0]} / {one.what[1]}",
            percent(one.pds[0]),
            percent(one.pds[1]),
            points(one.pds[1] - one.pds[0]),
            percent(one.declined[0]),
            percent(one.declined[1]),
        )
        for one in sorted(found.features, key=lambda one: -abs(one.pds[1] - one.pds[0]))
    )
    head = ("Feature", "Everybody moved", "Mean PD", "then", "Points", "Declined", "then")
    blocks: list[Block] = [
        verdicts.sensitivity(found, record.home.settings.called),
        Said(
            f"Mean PD of {number(found.rows)} customers of the training sample: {percent(found.pd)}, "
            f"{percent(found.declined)} declined. Each line moves one feature of all of them, and nothing else."
        ),
        Grid("Sensitivity", head, rows, words=2),
    ]
    if found.together is not None:
        pd, declined = found.together
        blocks.append(
            Said(
                "Stress: every number half a standard deviation towards more risk, all at once: mean PD "
                f"{percent(pd)} ({points(pd - found.pd)} points), {percent(declined)} declined."
            )
        )
    limit = "This is arithmetic about the model. No economic scenario stands behind it."
    return [*blocks, Said(limit, "note"), missing("Macroeconomic stress test")]


def fairness(record: ModelRecord) -> list[Block]:
    found = group_rows(record.sample)
    if not found:
        return [missing("Fairness (the schema names no protected feature)")]
    least = record.home.settings.gate.min_approval_ratio
    rows = tuple(
        (
            f"{record.home.settings.called(one.feature)} = {one.group}",
            number(one.people),
            percent(one.approved),
            NOTHING if one.ratio is None else number(one.ratio.estimate, 3),
            NOTHING if one.ratio is None else between(one.ratio.lower, one.ratio.upper),
            percent(one.pd),
            NOTHING if one.default_rate is None else percent(one.default_rate.estimate),
            NOTHING if one.default_rate is None
            else between_shares(one.default_rate.lower, one.default_rate.upper),
        )
        for one in found
    )  # fmt: skip
    marked = frozenset(place for place, one in enumerate(found) if one.ratio is not None and one.ratio.upper < least)
    head = ("Group", "People", "Approved", "Ratio", "95%", "Mean PD", "Defaulted", "Jeffreys 95%")
    return [
        verdicts.fairness(found, least, record.home.settings.called),
        Grid("Protected groups of the training sample", head, rows, marked=marked),
        Said(
            f"Ratio: approval rate over that of the largest group. Marked: shown to be below {least:g} "
            "(gate.min_approval_ratio). Groups of fewer than 30 are not compared.",
            "note",
        ),
    ]
