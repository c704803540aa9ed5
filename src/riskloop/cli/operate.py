"""Commands that run the loop: from a history to a served model, decisions, outcomes and cycles."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riskloop.cli.options import (
    CONFIG,
    ColumnsOption,
    ConfigOption,
    DatesOption,
    DecimalOption,
    DelimiterOption,
    EncodingOption,
    JsonOption,
    RefusedOption,
    SheetOption,
    SkipOption,
    StrictOption,
    UrlOption,
    WidthsOption,
    dialect_options,
    leave_partly,
    open_portfolio,
)
from riskloop.console import Console, table

if TYPE_CHECKING:
    from riskloop.portfolio import Portfolio


class Reading(StrEnum):
    """Where the decisions in segments are read."""

    LOCAL = "local"
    SPARK = "spark"


ReadingOption = Annotated[
    Reading, typer.Option("--engine", help="Where the log's segments are read: here, or on a cluster.")
]
MasterOption = Annotated[
    str | None, typer.Option(help="Spark's master, such as local[2]; by default the cluster's own.")
]


def train(
    history: Annotated[
        str | None, typer.Argument(metavar="[HISTORY]", help="By default the history of riskloop.toml.")
    ] = None,
    complete_until: Annotated[
        str | None,
        typer.Option(help="The history's outcomes are final up to here; by default up to its last decision."),
    ] = None,
    config: ConfigOption = CONFIG,
    refused: RefusedOption = None,
    strict: StrictOption = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    sheet: SheetOption = None,
    skip: SkipOption = None,
    widths: WidthsOption = None,
    dates: DatesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the learners and register the best model.

    The first version whose AUC clears train.floor_auc becomes champion; later ones wait for the gate or a person.
    Rows that cannot be read are set aside with their reason; the exit code is 12 then.
    """
    console = Console(as_json)
    portfolio = open_portfolio(
        config, dialect_options(delimiter, encoding, decimal, sheet, skip, dates, strict, widths)
    )
    with console.progress("Training") as tick:
        trained = portfolio.train(history, complete_until=complete_until, progress=tick, refused=refused)
    rows = [(name, entry["auc"], entry["low"], entry["high"]) for name, entry in trained.comparison.items()]
    told = [trained.data["sentence"], *trained.data["reasons"], *trained.notes]
    beside = [] if trained.benchmark is None else [trained.benchmark["sentence"]]
    console.answer(trained, *told, table(("learner", "AUC", "low", "high"), rows), *beside, trained.sentence)
    leave_partly(trained.data["refused"])


def serve(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="Several portfolios, each under its name; by default --config's."),
    ] = None,
    config: ConfigOption = CONFIG,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 1,
) -> None:
    """Serve the API and the dashboard."""
    from riskloop.serve.process import run_server

    run_server(*(folders or [config]), host=host, port=port, workers=workers)


def watch(
    config: ConfigOption = CONFIG,
    once: Annotated[bool, typer.Option("--once", help="One cycle, for cron, Airflow or Dagster.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between cycles.")] = 60,
    now: Annotated[str | None, typer.Option(help="Act as if it were this UTC time (ISO 8601), with --once.")] = None,
    engine: ReadingOption = Reading.LOCAL,
    master: MasterOption = None,
    as_json: JsonOption = False,
    child_of: Annotated[int | None, typer.Option("--child-of", hidden=True)] = None,
) -> None:
    """Run the loop's worker: monitor, diagnose, retrain, promote.

    With --once: one cycle, for cron, Airflow or Dagster.
    """
    from riskloop.worker import parse_now, watch_forever

    console = Console(as_json)
    portfolio = _reading(open_portfolio(config), engine, master)
    if once:
        with console.progress("One cycle") as tick:
            report = portfolio.cycle(now=parse_now(now), say=console.line, progress=tick)
        console.answer(report, *([] if report.lines else ["Nothing was due."]))
        return
    watch_forever(portfolio, every=every, console=console, parent=child_of)


def up(
    config: ConfigOption = CONFIG,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 1,
    every: Annotated[float, typer.Option(min=1, help="Seconds between cycles of the worker.")] = 60,
) -> None:
    """Serve and watch together."""
    from riskloop.worker import serve_and_watch

    serve_and_watch(config, host=host, port=port, workers=workers, every=every)


def _reading(portfolio: "Portfolio", engine: Reading, master: str | None) -> "Portfolio":
    if engine is Reading.LOCAL:
        return portfolio
    from riskloop.spark import started

    return started(portfolio, master)


class Engine(StrEnum):
    """What scores a file."""

    API = "api"
    LOCAL = "local"
    SPARK = "spark"


def score(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="Customers to score: CSV, Excel, Parquet, …; a folder; an address.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="The same rows with their predictions: a file or an address.")
    ],
    engine: Annotated[
        Engine | None,
        typer.Option(
            help="api: through the server; local: all cores of this machine; spark: a cluster. By default the server's "
            "where one runs, else local."
        ),
    ] = None,
    master: MasterOption = None,
    url: UrlOption = None,
    config: ConfigOption = CONFIG,
    chunk: Annotated[int, typer.Option(min=1, help="Rows in one request.")] = 5000,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests under way at once.")] = 3,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to try again while the API does not answer.")] = 60,
    key: Annotated[str | None, typer.Option(envvar="RISKLOOP_KEY", help="API key.")] = None,
    run_key: Annotated[str | None, typer.Option(help="Another key makes new decisions on the same file.")] = None,
    refused: RefusedOption = None,
    strict: StrictOption = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    sheet: SheetOption = None,
    skip: SkipOption = None,
    widths: WidthsOption = None,
    dates: DatesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a whole file: through the API, on all cores of this machine, or on Spark.

    The input's rows and columns are kept, in their order, and the predictions appended. Interrupted, the same command
    goes on where it stopped; run again, it gives the same decisions and logs nobody twice. Rows that cannot be scored
    are set aside with their reason; the exit code is 12 then.
    """
    from riskloop.batch.client import score_file
    from riskloop.data.address import short_name
    from riskloop.data.fetch import where_of
    from riskloop.data.read import not_read_sentence
    from riskloop.worker import api_url, data_settings, is_served

    console = Console(as_json)
    given = dialect_options(delimiter, encoding, decimal, sheet, skip, dates, strict, widths)
    if engine is None and not is_served(url, config):
        engine = Engine.LOCAL
        console.say("No server of this folder runs: scored here, by --engine local.")
    if engine is Engine.SPARK:
        _on_spark(console, open_portfolio(config, given), source, target, master, run_key, refused)
        return
    with console.progress(f"Scoring {short_name(source)}") as tick:
        if engine is Engine.LOCAL:
            summary = open_portfolio(config, given).score_file(
                source, target, refused=refused, run_key=run_key, progress=tick
            )
        else:
            summary = score_file(
                source,
                target,
                api_url(url, config),
                chunk_rows=chunk,
                in_flight=in_flight,
                key=key,
                progress=tick,
                patience=patience,
                say=console.say,
                dialect=data_settings(config).model_copy(update=given),
                refused=refused,
                run_key=run_key,
            )
    lines = [
        f"Scored {summary.rows:,} rows in {summary.seconds:.1f} s ({summary.rows_per_second:,.0f} a second), "
        f"{summary.defaults:,} of them as default. Wrote {where_of(target)}."
    ]
    if summary.not_read:
        lines.append(not_read_sentence(summary.not_read))
    lines += summary.notes
    if summary.repeated:
        lines.append("This file was scored before: these are its decisions; nobody was logged twice (see --run-key).")
    if summary.refused:
        lines += [f"{summary.refused:,} rows cannot be scored and are set aside:", *summary.reasons]
    console.answer(summary, *lines)
    leave_partly(summary.refused)


def _on_spark(
    console: Console,
    portfolio: "Portfolio",
    source: str,
    target: str,
    master: str | None,
    run_key: str | None,
    refused: Path | None,
) -> None:
    from riskloop.spark import score_path

    done = score_path(portfolio, source, target, master=master, run_key=run_key, refused=refused)
    document = {"rows": done.rows, "refused": done.refused, "segments": len(done.segments)}
    aside = [f"{done.refused:,} rows cannot be scored and are set aside."] if done.refused else []
    console.answer(document, f"Scored {done.rows:,} rows on Spark. Wrote {target}.", *aside)
    leave_partly(done.refused)


def outcomes(
    labels: Annotated[
        str | None,
        typer.Argument(metavar="[LABELS]", help="decision_id or customer id, default (0/1), optionally known_at."),
    ] = None,
    complete_until: Annotated[
        str | None,
        typer.Option(help="The feed is complete up to here, such as 2025-06-30: what is not reported will not come."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why --complete-until goes back to an earlier date; without it none does.")
    ] = None,
    engine: ReadingOption = Reading.LOCAL,
    master: MasterOption = None,
    config: ConfigOption = CONFIG,
    refused: RefusedOption = None,
    strict: StrictOption = None,
    delimiter: DelimiterOption = None,
    encoding: EncodingOption = None,
    decimal: DecimalOption = None,
    sheet: SheetOption = None,
    skip: SkipOption = None,
    widths: WidthsOption = None,
    dates: DatesOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand in what happened to customers who were decided on, and up to when that is complete.

    Rows that cannot be read or belong to no decision are named with their reason; the exit code is 12 then, and 3 when
    no row at all belongs to a decision. Rows that have no outcome yet are counted and change no exit code.
    """
    given = dialect_options(delimiter, encoding, decimal, sheet, skip, dates, strict, widths, columns)
    portfolio = _reading(open_portfolio(config, given), engine, master)
    recorded = portfolio.record_outcomes(labels, complete_until=complete_until, reason=reason, refused=refused)
    before = f" {recorded.repeated:,} more had been recorded before." if recorded.repeated else ""
    corrected = f" {recorded.corrected:,} of them correct an earlier one." if recorded.corrected else ""
    lines = [f"Recorded {recorded.recorded:,} outcomes.{corrected}{before}"]
    if recorded.complete_until is not None:
        lines.append(
            f"This delivery says that the feed is complete up to {recorded.complete_until:%Y-%m-%d %H:%M} UTC."
        )
    for said, reasons in (
        ("cannot be read", recorded.refused),
        ("belong to no decision", recorded.reasons),
    ):
        if reasons:
            lines.append(f"{len(reasons):,} rows {said} and were left out:")
            lines += [f"  {reason}" for reason in reasons[:10]]
            lines += [f"  and {len(reasons) - 10:,} more; --refused FILE lists all"] if len(reasons) > 10 else []
    lines += recorded.notes
    Console(as_json).answer(recorded, *lines)
    leave_partly(len(recorded.refused) + len(recorded.reasons))


def demo(
    data: Annotated[Path | None, typer.Option(help="Labelled customers as CSV; else the embedded portfolio.")] = None,
    target: Annotated[str | None, typer.Option(help="Target column of --data; guessed by default.")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Stop at the end; do not keep the API running.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo's portfolio is written.")] = Path("demo"),
    port: Annotated[int, typer.Option(help="Port of the demo's API; 0 picks a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    ask: Annotated[
        bool, typer.Option("--ask", help="The gate promotes nothing by itself: case 3 waits for you.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the whole loop on an example portfolio, or on your CSV.

    A stable month, a data fault that is not learned from, a real change that retrains, a promotion while requests keep
    coming, and a challenger that is rejected.
    """
    from riskloop.demo import run_demo

    run_demo(data, target=target, folder=folder, port=port, seed=seed, leave=leave, ask=ask, console=Console(as_json))
