"""`riskloop backtest`: a history replayed through the loop."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from riskloop.cli.options import CONFIG
from riskloop.console import Console, table
from riskloop.core.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from datetime import timedelta

    from riskloop.core.periods import Calendar
    from riskloop.core.settings import Settings


def backtest(
    history: Annotated[
        str | None,
        typer.Argument(
            metavar="[HISTORY]",
            help="Labelled customers with a date: a file or an address; by default the history of riskloop.toml.",
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Column that is 1 for a default and 0 for none.")] = None,
    time_column: Annotated[str | None, typer.Option("--time", help="Column with the date or period number.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column with the customer's id.")] = None,
    policy: Annotated[
        str, typer.Option(help="on_drift, on_harm, scheduled:N, manual; several with commas.")
    ] = "on_drift",
    outcome_window: Annotated[
        str | None, typer.Option(help="How long after a decision its outcome is known, such as 90d.")
    ] = None,
    windows: Annotated[
        str | None, typer.Option(help="day, week, month, quarter, half-year or year; by default as often as rows come.")
    ] = None,
    train_on: Annotated[
        int | None,
        typer.Option(min=1, help="Periods that the first model learns from; a third by default."),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="Play this change on the file's rows, or on the embedded portfolio."),
    ] = None,
    months: Annotated[int, typer.Option(min=2, max=120, help="--scenario: months of production.")] = 24,
    per_month: Annotated[int, typer.Option(min=1, help="--scenario without a file: customers in a month.")] = 2000,
    approve: Annotated[bool, typer.Option(help="Whether challengers that need a person's approval get it.")] = True,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed gives the same numbers.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="By default the riskloop.toml here, or inferred.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything as JSON to this file.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a page for people to this file.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the replayed portfolios, to look into them.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Policies replayed at once; by default one a core.")] = None,
) -> None:
    """Replay a history through the loop: would it have helped?

    Beside each policy: never retraining, retraining every period, and an oracle where a scenario knows the truth.
    """
    from riskloop.backtest.request import Request
    from riskloop.backtest.study import backtest as run
    from riskloop.data.joined import Joined, named_history

    console = Console()
    for file in (json_file, html_file):
        if file is not None and not file.parent.is_dir():  # said now, not after minutes of work
            raise StorageError(f"The folder {file.parent} does not exist, so {file.name} cannot be written into it.")
    if config is None and target is None and (history is not None or scenario is None) and CONFIG.is_file():
        config = CONFIG
        console.say(f"By {CONFIG} of this folder; with --target COLUMN one is inferred from the history.")
    settings = None if config is None else _settings(config)
    played: Path | str | Joined | None = history
    if history is None and scenario is None and config is not None and settings is not None:
        played = named_history(settings.portfolio, config.parent)
    request = Request(
        history=played,
        target=target,
        time=time_column,
        id=id_column,
        outcome_window=_duration(outcome_window),
        windows=_calendar(windows),
        train_on=train_on,
        seed=seed,
        policies=policy,
        scenario=scenario,
        months=months,
        per_month=per_month,
        approve=approve,
        settings=settings,
        keep=keep,
        jobs=jobs,
    )
    with console.progress("Back-test") as tick:
        document = run(request, tick)
    console.answer(document, *_compared(document), *_written(document, json_file, html_file))


def _calendar(windows: str | None) -> "Calendar | None":
    from riskloop.core.periods import Calendar

    by: Calendar | None = next((name for name in get_args(Calendar) if name == windows), None)
    if by != windows:
        raise ConfigError(f"--windows {windows}: choose {', '.join(get_args(Calendar))}.")
    return by


def _duration(text: str | None) -> "timedelta | None":
    from riskloop.core.settings import parse_duration

    try:
        span: timedelta | None = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--outcome-window: {error}.") from None
    return span


def _settings(config: Path) -> "Settings":
    """Only the settings: opening the portfolio would make its database."""
    from riskloop.core.settings import parse_settings

    if not config.is_file():
        raise ConfigError(f"The configuration {config} does not exist; leave out --config to infer one.")
    return parse_settings(config.read_text(encoding="utf-8"), str(config))


def _compared(document: dict[str, Any]) -> list[str]:
    """The policies side by side, the answer, and what was wrong with the file."""
    rows = []
    for name, entry in document["policies"].items():
        gain = entry["against_never"]["auc"]
        gained = "–" if gain is None or name == "never" else f"{gain:+.4f}"
        counts = (entry["retrainings"], entry["promotions"], entry["wrong_promotions"], _unseen(entry["watch"]))
        rows.append(
            (name, entry["auc"], gained, entry["ks"], entry["brier"], entry["log_loss"], *counts, entry["money"])
        )
    head = (
        "policy",
        "AUC",
        "gain",
        "KS",
        "Brier",
        "log loss",
        "retrainings",
        "promotions",
        "wrong",
        "kept out",
        "money",
    )
    return [table(head, rows), document["answer"], *(f"Note: {note}" for note in document["notes"])]


def _unseen(watch: dict[str, Any] | None) -> str:
    """Windows in quarantine, of all."""
    if watch is None:
        return "–"
    return f"{watch['quarantined']['windows'] if watch['quarantined'] else 0} of {watch['windows']}"


def _written(document: dict[str, Any], json_file: Path | None, html_file: Path | None) -> list[str]:
    lines = []
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        lines.append(f"Wrote {json_file}.")
    if html_file is not None:
        from riskloop.backtest.report import page

        html_file.write_text(page(document), encoding="utf-8")
        lines.append(f"Wrote {html_file}, a page of its own that needs no network.")
    if document["kept"]:
        lines.append(
            f"Kept the portfolios in {document['kept']}; "
            f"`riskloop status --config {shlex.quote(document['kept'] + '/on_drift')}`."
        )
    return lines
