"""Sections of a model's report: what it is for, and how it was made."""

from riskloop.core.english import counted
from riskloop.core.numbers import NOTHING, between, number, percent
from riskloop.core.settings import duration_text
from riskloop.core.types import from_micros
from riskloop.document import verdicts
from riskloop.document.parts import (
    MISSING,
    Block,
    Bullets,
    Facts,
    Grid,
    Said,
    missing,
)
from riskloop.document.record import ModelRecord
from riskloop.document.sample import (
    feature_rows,
)
from riskloop.document.write import day, words
from riskloop.scoring.bintable import bin_tables


def purpose(record: ModelRecord) -> list[Block]:
    portfolio = record.home.settings.portfolio
    blocks: list[Block] = [
        Said(
            f"The model gives every customer of “{portfolio.name}” a probability of default, a grade and a decision: "
            f"customers with a PD of {percent(record.manifest.threshold, 2)} or more are declined."
        )
    ]
    if "purpose" not in record.quoted:
        blocks.append(missing("Intended use, owner and materiality"))
    return blocks


def data(record: ModelRecord) -> list[Block]:
    training, row = record.manifest.training, record.row
    made = training.record
    pairs = [
        ("Training window", " to ".join(map(day, training.span)) if training.span else MISSING),
        ("Rows learned from", f"{number(training.rows)}, of which {number(training.defaults)} defaulted"),
        ("Weighted", "yes" if training.weighted else "no"),
        ("Fingerprint of the rows", training.fingerprint),
        ("Checked history", MISSING if training.history is None else f"artefact {training.history}"),
        ("Parent", "none" if row.parent is None else f"version {row.parent}"),
        ("Fingerprint of the schema", record.manifest.schema.fingerprint),
    ]  # fmt: skip
    blocks: list[Block] = []
    if training.imported is not None:
        found = training.imported
        pairs += [
            ("Imported from", f"{found.source} ({found.kind}, sha256 {found.sha256})"),
            ("Compared with", f"{found.compared_with}, every row to {max(found.agreement, 1e-9):.1g}"),
            ("Its probabilities and reasons", f"{found.calibration}; by {found.reasons}"),
            ("Rows that it was trained on", MISSING),
        ]
    if made is not None:
        pairs += [
            ("Decisions learned from", number(sum(last - first + 1 for first, last in made.decisions))),
            ("Rows of the history", number(sum(last - first + 1 for first, last in made.history))),
            ("Weighting", words(made.weighting)),
            ("Effective size", f"{number(made.effective_size, 1)} (Kish)"),
            ("Approved at random among them", number(made.explored)),
            ("New world since", "none" if made.since is None else day(from_micros(made.since))),
            ("Fingerprint with weights", made.fingerprint),
        ]
    blocks += [Facts(tuple(pairs)), *_excluded(record)]
    return blocks


def _excluded(record: ModelRecord) -> list[Block]:
    training = record.manifest.training
    order = None if training.record is None else training.record.order
    items = [
        f"{number(training.immature)} rows were left out because their outcome was not final."
        if training.immature
        else "No row is on record as left out because its outcome was not final."
    ]
    if order is not None:
        held = len(order.snapshot.quarantined)
        items.append(f"{number(held)} spans of decisions were in quarantine or not judged, and stayed out.")
        items.append(f"Outcomes counted up to {day(from_micros(order.snapshot.matured_by))}.")
    protected = [record.manifest.schema.names[i] for i in record.manifest.schema.protected_columns]
    if protected:
        items.append(
            f"Protected features were kept out of the model: {', '.join(map(record.home.settings.called, protected))}."
        )
    rows = missing("Rows that were set aside when the history was read, and other exclusions")
    return [Bullets(tuple(items)), *([] if "data" in record.quoted else [rows])]


def target(record: ModelRecord) -> list[Block]:
    portfolio, outcomes = record.home.settings.portfolio, record.home.settings.outcomes
    pairs = [
        ("Target", f"column “{portfolio.target}”"),
        ("Values that are a default", ", ".join(portfolio.bad) or "1, yes, true"),
        ("Final after", duration_text(portfolio.outcome_window)),
        ("Definition of default that was trained on", f"version {record.manifest.training.definition}"),
        ("Definition of default now", f"version {outcomes.definition}"),
        ("Who is reported", "everybody who got a loan" if outcomes.reported == "all" else "defaults only"),
    ]
    if portfolio.good:
        pairs.insert(2, ("Values that mean no default", ", ".join(portfolio.good)))
    level = record.manifest.training.level
    if level is not None:
        pairs += [
            ("Philosophy of the PDs", words(level.calibration)),
            ("Long-run default rate", f"{percent(level.long_run, 2)}, the mean of {counted(level.months, 'month')}"),
            ("Default rate of the calibration's rows", percent(level.recent, 2)),
            ("Margin of conservatism", f"{percent(level.margin)} of the odds"),
        ]
    found: list[Block] = [Facts(tuple(pairs))]
    return found if level is not None else [*found, missing("Long-run default rate and margin of conservatism")]


def learners(record: ModelRecord) -> list[Block]:
    manifest = record.manifest
    ordered = sorted(manifest.comparison.items(), key=lambda item: -item[1].auc)
    rows = tuple(
        (
            words(name) + (" (chosen)" if name == manifest.learner else ""),
            number(one.auc, 4),
            between(one.low, one.high),
        )
        for name, one in ordered
    )
    blocks: list[Block] = [
        verdicts.learners(manifest),
        Grid("Learners that competed, cross-validated", ("Learner", "AUC", "95%"), rows),
    ]
    if manifest.training.benchmark is not None:
        blocks.append(Said(manifest.training.benchmark.sentence))
    if manifest.training.left_out:
        left = tuple(f"{words(name)}: {why}" for name, why in manifest.training.left_out.items())
        blocks += [Said("Left out:"), Bullets(left)]
    if record.row.case_id is not None and not record.cases:
        blocks.append(missing(f"Case {record.row.case_id}, which this version was trained for"))
    for case in record.cases:
        judged = record.home.cases.judged(case.id)
        made = None if judged is None else judged.record
        if made is not None:
            blocks.append(Said(f"Case {case.id}: {made.plan} {made.training} {made.evaluation}"))
            if made.validation:
                tried = sorted(made.validation.items(), key=lambda item: -item[1])
                grid = tuple((words(name), number(auc, 4)) for name, auc in tried)
                blocks.append(Grid("Ways that were validated", ("Learner and weighting", "AUC"), grid))
    size = manifest.training.size
    if size is not None:
        blocks.append(Said(
            f"Size of the boosted trees: {size.leaves} leaves, {size.trees} trees, learning rate {size.rate:g}."
        ))  # fmt: skip
    return blocks


def features(record: ModelRecord) -> list[Block]:
    found = feature_rows(record.sample)
    called = record.home.settings.called
    rows = tuple(
        (
            called(one.name, unit=True),
            one.declared,
            one.found,
            percent(one.importance),
            NOTHING if one.value is None else number(one.value, 3),
            NOTHING if one.against is None else percent(one.against),
        )
        for one in found
    )
    marked = frozenset(place for place, one in enumerate(found) if one.against)
    head = ("Feature", "Direction demanded", "Mean effect", "Importance", "IV", "Against it")
    return [
        verdicts.features(found, called),
        Grid("What the model reads", head, rows, words=3, marked=marked),
        Said(
            "IV: information value over deciles or levels of the training sample (0.1 is often called medium, 0.3 "
            "strong). Against it: share of sampled customers whose own PD goes against the demanded direction "
            f"anywhere over the feature's deciles. Computed from the {number(len(record.sample))} rows that the "
            "artefact keeps.",
            "note",
        ),
        *_bins(record),
    ]


def _bins(record: ModelRecord) -> list[Block]:
    tables = bin_tables(record.artefact)
    if not tables:
        return []
    called = record.home.settings.called
    rows = tuple(
        (
            called(row["feature"], unit=True),
            row["bin"],
            number(row["rows"]),
            number(row["defaults"]),
            percent(row["rate"], 2),
            number(row["woe"], 3),
            number(row["iv"], 4),
        )
        for table in tables
        for row in table.rows
    )
    own = record.manifest.model_file.endswith(".json")
    head = ("Feature", "Bin", "Rows", "Defaults", "Default rate", "WoE", "IV")
    return [
        Grid("Weights of evidence", head, rows, words=2),
        Said(
            f"Bins: {'those of the scorecard' if own else 'deciles of numbers, levels of categories'}, special codes "
            "and missing values apart. A bin begins above its first number and ends with its "
            "second. WoE: ln of the share of the defaults over the share of the others in a bin; IV: the bin's part of "
            "the information value. ½ is added to every count.",
            "note",
        ),
    ]
