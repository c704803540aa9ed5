"""Commands that look at a file: `init` before there is a portfolio, `check` before it is scored."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riskloop.cli.options import (
    CONFIG,
    ConfigOption,
    DatesOption,
    DecimalOption,
    DelimiterOption,
    EncodingOption,
    JsonOption,
    SheetOption,
    SkipOption,
    WidthsOption,
    dialect_options,
    open_portfolio,
)
from riskloop.console import Console, table
from riskloop.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from riskloop.data.infer import Examined, Guessed


MOST_SHOWN = 400  # columns in the table of `init`


def init(
    history: Annotated[
        str, typer.Argument(help="Labelled past customers: CSV, Excel, Parquet, …; a folder; a glob; an address.")
    ],
    target: Annotated[
        str | None, typer.Option(help="Column that says who defaulted; without it those that may are named.")
    ] = None,
    outcomes: Annotated[
        str | None, typer.Option(help="File with the target, where the history does not have it; matched by the id.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column with the customer's id.")] = None,
    time_column: Annotated[str | None, typer.Option("--time", help="Column with the date of the decision.")] = None,
    unit: Annotated[str | None, typer.Option(help="Column that says whose row it is, where ids repeat.")] = None,
    bad: Annotated[
        list[str] | None,
        typer.Option(
            help="A value of the target that is a default, or '>=90', or '*' for whatever is filled; repeatable."
        ),
    ] = None,
    good: Annotated[
        list[str] | None, typer.Option(help="A value that is no default; other rows are left out. Repeatable.")
    ] = None,
    known_at: Annotated[
        str | None, typer.Option(help="Column that says when an outcome became known, in outcomes or the history.")
    ] = None,
    outcome_window: Annotated[str | None, typer.Option(help="Time until an outcome is final, such as 365d.")] = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    sheet: SheetOption = None,
    skip: SkipOption = None,
    widths: WidthsOption = None,
    dates: DatesOption = None,
    missing: Annotated[list[str] | None, typer.Option(help="A word for a missing value; repeatable.")] = None,
    explain: Annotated[str | None, typer.Option(help="Show all that is known about one column; write nothing.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with yes, for scripts.")] = False,
    config: ConfigOption = CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing configuration.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at a history, column by column, and write a riskloop.toml.

    Says what each column is taken for and why, and what a person should look at.
    """
    from riskloop.core.settings import DataSettings, parse_duration, parse_settings
    from riskloop.data.candidates import ask_for_target
    from riskloop.data.config import config_text
    from riskloop.data.fetch import fetched, where_of
    from riskloop.data.infer import Wanted, examine
    from riskloop.data.joined import Joined
    from riskloop.store.files import make_folder

    console = Console(as_json)
    if config.exists() and not force and explain is None:
        raise ConfigError(f"{config} exists already; use --force to replace it, or --config to write another file.")
    given = dialect_options(delimiter, encoding, decimal, sheet, skip, dates, widths=widths)
    if missing:
        given["missing"] = tuple(missing)
    try:
        window = parse_duration(outcome_window)
    except ValueError as error:
        raise ConfigError(f"--outcome-window: {error}.") from None
    wanted = Wanted(
        target or "", id_column, time_column, unit, tuple(bad or ()), tuple(good or ()), known_at, window,
        DataSettings(**given) if given else None,
    )  # fmt: skip
    source = history if outcomes is None else Joined(history, outcomes)
    with fetched(source) as here:
        if target is None:
            named = here.outcomes if isinstance(here, Joined) else here
            raise ask_for_target(named, wanted, where_of(outcomes or history))
        found = replace(examine(here, wanted, where=where_of(history)), path=history, outcomes=outcomes)
    if explain is not None:
        console.answer(column_document(_named(found, explain)), *explained(_named(found, explain), found))
        return
    if not as_json:
        console.answer(None, *told(found))
    _confirm(found, yes, console)
    text = config_text(found, config.parent)
    settings = parse_settings(text, str(config))
    make_folder(config.parent)
    config.write_text(text, encoding="utf-8")
    there = "" if config == CONFIG else f" --config {config}"
    kept = [name for name, feature in settings.features.items() if not feature.protected]
    protected = [name for name, feature in settings.features.items() if feature.protected]
    document = {
        **document_of(found), "config": str(config), "features": kept, "protected": protected,
        "ignored": settings.portfolio.ignore,
    }  # fmt: skip
    console.answer(
        document,
        f"Wrote {config}: {len(kept)} model inputs, {len(protected)} protected ({', '.join(protected) or 'none'}).",
        f"Read it once, first the kinds and the protected columns. Then run: riskloop train{there}",
    )


def check(
    source: Annotated[str, typer.Argument(metavar="FILE", help="Customers: anything that `init` reads.")],
    html: Annotated[Path | None, typer.Option(help="Write a page, too.")] = None,
    config: ConfigOption = CONFIG,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    sheet: SheetOption = None,
    skip: SkipOption = None,
    widths: WidthsOption = None,
    dates: DatesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what of a file would be refused, flagged or drifted, by column; nothing is logged."""
    portfolio = open_portfolio(config, dialect_options(delimiter, encoding, decimal, sheet, skip, dates, widths=widths))
    checked = portfolio.check(source)
    found = checked.to_dict()
    if html is not None:
        from riskloop.data.address import short_name
        from riskloop.loop.check_page import check_page

        html.write_text(check_page(found, short_name(source)), encoding="utf-8")
    head = ("column", "kind", "refused", "missing", "unseen", "PSI", "state", "findings")
    rows = [
        (c["column"], c["kind"], c["refused"] or "", c["missing"] or "", c["unseen"] or "", c["psi"], c["severity"],
         " ".join(c["findings"]))
        for c in found["columns"]
    ]  # fmt: skip
    counted = f"{found['rows']:,} rows, {found['refused']:,} of them would be refused."
    Console(as_json).answer(checked, table(head, rows), counted, *found["reasons"], *found["notes"], found["sentence"])


def _confirm(found: "Examined", yes: bool, console: Console) -> None:
    """Ask what should not be believed unasked; without a terminal, that refuses."""
    if yes or not found.questions:
        return
    if console.as_json or not sys.stdin.isatty():
        raise ConfigError(" ".join(found.questions))
    for question in found.questions:
        if not typer.confirm(f"{question}\nGo on as it is?", default=False, err=True):
            raise ConfigError("Nothing was written.")


def told(found: "Examined") -> list[str]:
    """What was found, for a person: the file, the target, one line a column."""
    from riskloop.data.dialect import describe
    from riskloop.data.fetch import where_of

    rows = [
        (
            c.name,
            c.role,
            c.kind if c.written == "plain" else f"{c.kind} ({c.written})",
            _missing(c, found.rows),
            c.values,
            c.why,
            c.look,
        )
        for c in shown_columns(found.columns)
    ]
    layout = describe(found.dialect, found.kind)
    return [
        f"{where_of(found.path)}: {found.rows:,} rows, {len(found.columns)} columns ({layout}).",
        table(("column", "taken as", "kind", "missing", "values", "why", "look at"), rows),
        *_not_shown(len(found.columns) - len(rows)),
        found.target.sentence,
        *_window_told(found),
        *found.notes,
    ]


def _window_told(found: "Examined") -> list[str]:
    """The outcome window; where nobody knows it, a note of its own says so."""
    from riskloop.data.infer import NOT_KNOWN

    if found.window_why == NOT_KNOWN:
        return []
    return [
        f"Outcome window: {found.outcome_window.days} days" + (f" ({found.window_why})." if found.window_why else ".")
    ]


def shown_columns(columns: "Sequence[Guessed]") -> "Sequence[Guessed]":
    """The columns of the table: all; of a very wide file those to look at, and the first of the others."""
    if len(columns) <= MOST_SHOWN:
        return columns
    odd = [c.name for c in columns if c.role not in ("input", "ignored") or c.look]
    telling = {*odd}
    plain = [c.name for c in columns if c.name not in telling]
    chosen = {*odd[: MOST_SHOWN // 2], *plain[: MOST_SHOWN // 2]}
    return [c for c in columns if c.name in chosen]


def _not_shown(columns: int) -> list[str]:
    if not columns:
        return []
    return [f"{columns:,} more columns are not shown here: --explain COLUMN shows one, --json all of them."]


def _missing(column: "Guessed", rows: int) -> str:
    return f"{column.missing / rows:.1%}" if column.missing else ""


def _named(found: "Examined", name: str) -> "Guessed":
    from riskloop.data.words import no_column

    column = next((column for column in found.columns if column.name == name), None)
    if column is None:
        raise no_column(found.path, name, [column.name for column in found.columns])
    return column


def explained(column: "Guessed", found: "Examined") -> list[str]:
    """All that is known about one column."""
    facts = column.column
    lines = [f"{column.name}: taken as {column.role}, {column.kind}. Why: {column.why}."]
    if column.look:
        lines.append(f"Look at: {column.look}.")
    lines.append(f"{facts.present:,} of {facts.rows:,} rows have a value; {facts.missing:,} are missing.")
    if facts.words:
        words = ", ".join(f"{word or 'blank'!r} ({count:,})" for word, count in facts.words.most_common(6))
        lines.append(f"Read as missing: {words}.")
    if facts.numeric and facts.low <= facts.high:
        whole = "whole numbers" if facts.whole else "numbers"
        lines.append(f"{whole} from {facts.low:.10g} to {facts.high:.10g}, written as {facts.style}.")
    if column.alone is not None:
        lines.append(f"Alone it ranks with an AUC of {column.alone.auc:.3f} (standard error {column.alone.error:.3f}).")
    top = [(value, count, f"{count / facts.rows:.1%}") for value, count in facts.levels.most_common(15)]
    distinct = f"{'more than ' if facts.many else ''}{len(facts.levels):,}"
    lines.append(f"{distinct} different values, the most frequent:")
    lines.append(table(("value", "rows", "share"), top))
    return lines


def document_of(found: "Examined") -> dict[str, Any]:
    """What was found, for a machine."""
    return {
        "file": found.path,
        "rows": found.rows,
        "dialect": found.dialect.model_dump(),
        "target": {
            "column": found.target.name, "bad": found.target.bad, "good": found.target.good,
            "defaults": found.target.defaults, "labelled": found.target.labelled, "left_out": found.target.left_out,
            "rate": found.target.rate, "sentence": found.target.sentence,
        },
        "outcome_window_days": found.outcome_window.days,
        "questions": found.questions,
        "notes": found.notes,
        "columns": [column_document(column) for column in found.columns],
    }  # fmt: skip


def column_document(column: "Guessed") -> dict[str, Any]:
    """One column, for a machine."""
    facts = column.column
    return {
        "name": column.name, "role": column.role, "kind": column.kind, "missing": column.missing,
        "values": column.values, "why": column.why, "look": column.look, "written": column.written,
        "written_in": column.written_in,
        "levels": len(facts.levels), "special": column.special,
        "auc_alone": None if column.alone is None else column.alone.auc,
        "auc_error": None if column.alone is None else column.alone.error,
    }  # fmt: skip
