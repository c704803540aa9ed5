"""The commands. Each one opens the portfolio, calls it once and prints; nothing is decided here."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from riskloop import __version__
from riskloop.console import Console, table
from riskloop.core.errors import ConfigError, RiskloopError, StorageError

app = typer.Typer(
    name="riskloop",
    help="Runs a lender's probability-of-default model as a closed loop: train, serve, monitor, retrain, promote.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
models_app = typer.Typer(help="The registered versions and who is champion.", no_args_is_help=True)
cases_app = typer.Typer(help="Investigations, and what a person can decide in them.", no_args_is_help=True)
keys_app = typer.Typer(help="API keys and their roles.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(cases_app, name="cases")
app.add_typer(keys_app, name="keys")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="RISKLOOP_CONFIG", help="The portfolio's riskloop.toml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who decides; your user name by default.")]
UrlOption = Annotated[str | None, typer.Option("--url", help="The API; by default the one of riskloop.toml.")]
CONFIG = Path("riskloop.toml")
STOPPED = 130  # by Ctrl-C, as shells count it


def main() -> None:
    """Run a command; every refusal becomes a sentence and the exit code of its class."""
    # A back-test's --json names a file; its answer is for people.
    console = Console("--json" in sys.argv and sys.argv[1:2] != ["backtest"])
    try:
        code = app(standalone_mode=False)
        if isinstance(code, int) and code:  # Typer hands its exits back: a stop by Ctrl-C, a command's own code
            sys.stderr.write("riskloop: stopped.\n" if code == STOPPED else "")
            sys.exit(code)
    except RiskloopError as error:
        console.refuse(error)
        sys.exit(error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("riskloop: stopped.\n")
        sys.exit(STOPPED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        wrapped = StorageError(f"{error.strerror or error}: {error.filename or 'a file or socket'}.")
        console.refuse(wrapped)
        sys.exit(wrapped.exit_code)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback reaches a user
        sys.exit(_unexpected(error, console))


def _unexpected(error: Exception, console: Console) -> int:
    usage = getattr(error, "format_message", None)  # Click's own errors, wherever Typer keeps Click
    if usage is not None:
        sentence = usage()
        if sentence.startswith("Usage:"):  # a group without a command: its help is the answer
            sys.stdout.write(f"{sentence}\n")
            return 0
        console.refuse(ConfigError(f"{sentence} See `riskloop --help`."))
        return ConfigError.exit_code
    if os.environ.get("RISKLOOP_DEBUG"):
        raise error
    console.refuse(
        RiskloopError(
            f"A defect in riskloop {__version__}: {type(error).__name__}: {error}. "
            "Nothing half-done was kept; RISKLOOP_DEBUG=1 shows where it happened."
        )
    )
    return RiskloopError.exit_code


def _open(config: Path) -> Any:
    from riskloop.portfolio import Portfolio

    return Portfolio.open(config)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Handle the options before any command."""
    if version:
        sys.stdout.write(f"riskloop {__version__}\n")
        raise typer.Exit


@app.command()
def init(
    history: Annotated[Path, typer.Argument(help="Labelled past customers, CSV or Parquet.")],
    target: Annotated[str, typer.Option(help="Column that is 1 for a default and 0 for none.")],
    id_column: Annotated[str | None, typer.Option("--id", help="Column with the customer's id.")] = None,
    time_column: Annotated[str | None, typer.Option("--time", help="Column with the date of the decision.")] = None,
    config: ConfigOption = CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing configuration.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Infer the schema of a history and write a commented riskloop.toml."""
    from riskloop.core.settings import parse_settings
    from riskloop.data.infer import infer_config

    console = Console(as_json)
    if config.exists() and not force:
        raise ConfigError(f"{config} exists already; use --force to replace it, or --config to write another file.")
    text = infer_config(history, target=target, id=id_column, time=time_column, folder=config.parent)
    settings = parse_settings(text, str(config))
    config.write_text(text, encoding="utf-8")
    kept = [name for name, feature in settings.features.items() if not feature.protected]
    protected = [name for name, feature in settings.features.items() if feature.protected]
    console.answer(
        {"config": str(config), "features": kept, "protected": protected, "ignored": settings.portfolio.ignore},
        f"Wrote {config}: {len(kept)} model inputs, {len(protected)} protected ({', '.join(protected) or 'none'}).",
        "Read it once, above all the kinds and the protected columns, then run: riskloop train",
    )


@app.command()
def train(
    history: Annotated[Path | None, typer.Argument(help="By default portfolio.history of riskloop.toml.")] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Train the learners and register the best; the first that clears the floor becomes champion."""
    console = Console(as_json)
    portfolio = _open(config)
    with console.progress("Training") as tick:
        trained = portfolio.train(history, progress=tick)
    rows = [(name, entry["auc"], entry["low"], entry["high"]) for name, entry in trained["comparison"].items()]
    console.answer(trained, table(("learner", "AUC", "low", "high"), rows), trained["sentence"])


@app.command()
def serve(
    config: ConfigOption = CONFIG,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 1,
) -> None:
    """Serve the API and the dashboard."""
    from riskloop.serve.process import run_server

    run_server(config, host=host, port=port, workers=workers)


@app.command()
def watch(
    config: ConfigOption = CONFIG,
    once: Annotated[bool, typer.Option("--once", help="One cycle, for cron, Airflow or Dagster.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between cycles.")] = 60,
    now: Annotated[str | None, typer.Option(help="Act as if it were this UTC time (ISO 8601), with --once.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the loop's worker: close windows, monitor, diagnose, retrain, gate, promote."""
    from riskloop.worker import parse_now, watch_forever

    console = Console(as_json)
    portfolio = _open(config)
    if once:
        with console.progress("One cycle") as tick:
            report = portfolio.cycle(now=parse_now(now), say=console.say, progress=tick)
        console.answer(report, *(report["lines"] or ["Nothing was due."]))
        return
    watch_forever(portfolio, every=every, console=console)


@app.command()
def up(
    config: ConfigOption = CONFIG,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 1,
    every: Annotated[float, typer.Option(min=1, help="Seconds between cycles of the worker.")] = 60,
) -> None:
    """Serve and watch together."""
    from riskloop.worker import serve_and_watch

    serve_and_watch(config, host=host, port=port, workers=workers, every=every)


@app.command()
def score(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Customers to score, CSV or Parquet.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The same rows with their predictions.")],
    url: UrlOption = None,
    config: ConfigOption = CONFIG,
    chunk: Annotated[int, typer.Option(min=1, help="Rows in one request.")] = 5000,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests under way at once.")] = 3,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to try again while the API does not answer.")] = 60,
    key: Annotated[str | None, typer.Option(envvar="RISKLOOP_KEY", help="API key.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a whole file through the API; order and columns are kept, predictions appended."""
    from riskloop.batch.client import score_file
    from riskloop.worker import api_url

    console = Console(as_json)
    with console.progress(f"Scoring {source.name}") as tick:
        summary = score_file(
            source,
            target,
            api_url(url, config),
            chunk_rows=chunk,
            in_flight=in_flight,
            key=key,
            progress=tick,
            patience=patience,
        )
    console.answer(
        summary,
        f"Scored {summary.rows:,} rows in {summary.seconds:.1f} s ({summary.rows_per_second:,.0f} a second), "
        f"{summary.defaults:,} of them as default. Wrote {target}.",
    )


@app.command()
def outcomes(
    labels: Annotated[Path, typer.Argument(help="decision_id or customer id, default (0/1), optionally known_at.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Hand in what happened to customers who were decided on."""
    recorded = _open(config).record_outcomes(labels)
    lines = [
        f"Recorded {recorded.recorded:,} outcomes ({recorded.repeated:,} were known, {recorded.corrected:,} correct "
        "an earlier one)."
    ]
    if recorded.unmatched:
        named = ", ".join(recorded.unmatched[:5])
        lines.append(f"{len(recorded.unmatched):,} belong to no decision and were left out: {named} …")
    Console(as_json).answer(recorded, *lines)


@app.command()
def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show what serves, the last window and the open cases."""
    document = _open(config).status()
    champion, window = document["champion"], document["last_window"]
    lines = [f"{document['portfolio']} · policy {document['policy']} · {document['decisions']:,} decisions"]
    lines.append(
        "No champion yet; run `riskloop train`."
        if champion is None
        else f"Champion: version {champion['version']} ({champion['learner']}), AUC {champion['auc']:.4f}, "
        f"since {champion['since']}"
    )
    if window:
        lines.append(f"Last window: {window['name']}, {window['decisions']:,} decisions: {window['sentence']}")
    if document["exploration"]:
        lines.append(document["exploration"]["sentence"])
    lines += [f"Case {c['id']} ({c['state']}): {c['sentence']}" for c in document["open_cases"]] or ["No open case."]
    Console(as_json).answer(document, *lines)


@app.command()
def drift(
    config: ConfigOption = CONFIG,
    windows: Annotated[int, typer.Option(min=1, help="How many of the newest windows.")] = 6,
    as_json: JsonOption = False,
) -> None:
    """Show the newest windows, their findings and diagnoses."""
    document = _open(config).drift(windows)
    rows = []
    for window in document:
        marked = [f["subject"] for f in window["findings"] if f["severity"] in {"drifted", "severe", "fault"}]
        named = ", ".join(dict.fromkeys(marked)) or "–"
        rows.append((window["name"], window["decisions"], window["diagnosis"], window["action"], named))
    lines = [table(("window", "decisions", "diagnosis", "action", "marked"), rows)] if rows else ["No window yet."]
    lines += [f"{window['name']}: {window['sentence']}" for window in document]
    Console(as_json).answer(document, *lines)


@app.command()
def replay(
    decision_id: Annotated[str, typer.Argument(help="The decision_id of an answer.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Score a logged decision again with the model of that day and compare."""
    document = _open(config).replay(decision_id)
    inputs = table(("feature", "value"), list(document["features"].items()))
    reasons = [f"  {reason['text']} ({reason['contribution']:+.3f})" for reason in document["reasons"]]
    Console(as_json).answer(document, inputs, *reasons, document["sentence"])
    if not document["identical"]:
        raise typer.Exit(1)


@models_app.command("list")
def models_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List every version and when it served."""
    document = _open(config).models_document()
    rows = [
        ("*" if m["champion"] else "", m["version"], m["learner"], m["origin"], m["auc"], m["created_at"], _spans(m))
        for m in document
    ]
    head = ("", "version", "learner", "origin", "AUC", "created", "served")
    Console(as_json).answer(document, table(head, rows) if rows else "No model yet; run `riskloop train`.")


def _spans(model: dict[str, Any]) -> str:
    return "; ".join(f"{span['from']} – {span['until'] or 'now'}" for span in model["served"]) or "–"


@models_app.command("show")
def models_show(version: int, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show one version: quality, training, threshold, importance."""
    document = _open(config).model(version)
    metrics = [(name, value) for name, value in document["metrics"].items() if isinstance(value, float)]
    importance = sorted(document["importance"].items(), key=lambda item: -item[1])[:12]
    Console(as_json).answer(
        document,
        f"Version {version}: {document['learner']}, trained on {document['training']['rows']:,} rows, "
        f"threshold {document['threshold']:.4f}",
        table(("metric", "value"), metrics),
        table(("feature", "share of importance"), importance),
    )


@models_app.command("at")
def models_at(
    moment: Annotated[str, typer.Argument(metavar="TIME", help="ISO 8601; UTC unless it names a zone.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell which version served at a moment."""
    from riskloop.worker import parse_moment

    document = _open(config).champion_at(parse_moment(moment, "TIME"))
    Console(as_json).answer(document, document["sentence"])


@models_app.command("rebuild")
def models_rebuild(version: int, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Make a version again from its record and compare every byte; exit code 1 when they differ."""
    console = Console(as_json)
    portfolio = _open(config)
    with console.progress(f"Version {version}") as tick:
        document = portfolio.rebuild(version, progress=tick)
    console.answer(document, document["sentence"])
    if not document["identical"]:
        raise typer.Exit(1)


@models_app.command("compare")
def models_compare(first: int, second: int, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Compare two versions on the matured decisions that neither was trained on."""
    document = _open(config).compare(first, second)
    Console(as_json).answer(document, *document["sentences"])


@models_app.command("promote")
def models_promote(
    version: int,
    reason: Annotated[str, typer.Option(help="Why; it stays in the ledger.")],
    by: ByOption = None,
    force: Annotated[bool, typer.Option("--force", help="Promote although the gate does not say so.")] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion, if the gate agrees or you take it upon yourself."""
    document = _open(config).promote(version, by=by, reason=reason, force=force)
    Console(as_json).answer(document, f"Version {version} is champion (promotion {document['seq']}).")


@models_app.command("rollback")
def models_rollback(
    reason: Annotated[str, typer.Option(help="Why; it stays in the ledger.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put the previous champion back."""
    document = _open(config).rollback(by=by, reason=reason)
    Console(as_json).answer(document, f"Version {document['version']} is champion again.")


@cases_app.command("list")
def cases_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the newest cases."""
    document = _open(config).cases_document()
    rows = [(c["id"], c["opened_at"], c["diagnosis"], c["state"], c["sentence"]) for c in document]
    head = ("case", "opened", "diagnosis", "state", "latest step")
    Console(as_json).answer(document, table(head, rows) if rows else "No case yet.")


@cases_app.command("show")
def cases_show(number: int, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Tell the story of one case."""
    document = _open(config).case(number)
    lines = [f"Case {number}: {document['diagnosis']}, {document['state']}"]
    for event in document["events"]:
        lines.append(f"{event['at']}  {event['state']:<15} {event['by']}: {event['sentence']}")
        lines += [f"{'':24}· {sentence}" for sentence in event["document"].get("sentences", ())]
        if event["state"] == "needs_approval" and event["document"].get("fingerprint"):
            lines.append(f"{'':24}  riskloop cases approve {number} --evidence {event['document']['fingerprint'][:12]}")
    Console(as_json).answer(document, *lines)


@cases_app.command("approve")
def cases_approve(
    number: int,
    note: Annotated[str, typer.Option(help="Why; it stays on record.")],
    evidence: Annotated[
        str | None, typer.Option(help="Fingerprint of the report that you read; refused when there is another by now.")
    ] = None,
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Approve a challenger that waits for a person."""
    document = _open(config).approve(number, by=by, note=note, evidence=evidence)
    Console(as_json).answer(document, document["sentence"])


@cases_app.command("reject")
def cases_reject(
    number: int,
    note: Annotated[str, typer.Option(help="Why; it stays on record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Reject a challenger that waits for a person."""
    document = _open(config).reject(number, by=by, note=note)
    Console(as_json).answer(document, document["sentence"])


@cases_app.command("release")
def cases_release(
    number: int,
    note: Annotated[str, typer.Option(help="Why; it stays on record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Release the quarantined rows of a case: they may be learned from again."""
    document = _open(config).release(number, by=by, note=note)
    Console(as_json).answer(document, document["sentence"])


@keys_app.command("create")
def keys_create(
    name: str,
    role: Annotated[list[str], typer.Option(help="score, outcomes, view or operate; may be repeated.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Create a key; it is shown once and stored hashed."""
    secret = _open(config).create_key(name, role)
    Console(as_json).answer({"name": name, "roles": role, "key": secret}, secret)


@keys_app.command("list")
def keys_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the keys without their secrets."""
    document = _open(config).keys_document()
    rows = [(k["name"], ", ".join(k["roles"]), k["created_at"], k["revoked_at"]) for k in document]
    Console(as_json).answer(document, table(("name", "roles", "created", "revoked"), rows) if rows else "No key.")


@keys_app.command("revoke")
def keys_revoke(name: str, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Revoke a key at once."""
    _open(config).revoke_key(name)
    Console(as_json).answer({"name": name, "revoked": True}, f"Key '{name}' does not open anything any more.")


@app.command()
def backtest(
    history: Annotated[Path | None, typer.Argument(help="Labelled customers with a date, CSV or Parquet.")] = None,
    target: Annotated[str | None, typer.Option(help="Column that is 1 for a default and 0 for none.")] = None,
    time_column: Annotated[str | None, typer.Option("--time", help="Column with the date or period number.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column with the customer's id.")] = None,
    policy: Annotated[
        str, typer.Option(help="on_drift, on_harm, scheduled:N, manual; several with commas.")
    ] = "on_drift",
    outcome_window: Annotated[
        str | None, typer.Option(help="How long after a decision its outcome is known, such as 90d.")
    ] = None,
    windows: Annotated[str | None, typer.Option(help="day, week or month.")] = None,
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
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A riskloop.toml; inferred without.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything as JSON to this file.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a page for people to this file.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the replayed portfolios, to look into them.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Policies replayed at once; one a core by default.")] = None,
) -> None:
    """Replay a history through the loop, against never retraining and retraining every period: would it have helped?"""
    from riskloop.backtest.request import Request, wishes
    from riskloop.backtest.study import backtest as run

    console = Console()
    for file in (json_file, html_file):
        if file is not None and not file.parent.is_dir():  # said now, not after minutes of work
            raise StorageError(f"The folder {file.parent} does not exist, so {file.name} cannot be written into it.")
    request = Request(
        history=history,
        wishes=wishes(target, time_column, id_column, outcome_window, windows, train_on, seed),
        policies=policy,
        scenario=scenario,
        months=months,
        per_month=per_month,
        approve=approve,
        settings=None if config is None else _settings(config),
        keep=keep,
        jobs=jobs,
    )
    with console.progress("Back-test") as tick:
        document = run(request, tick)
    console.answer(document, *_compared(document), *_written(document, json_file, html_file))


def _settings(config: Path) -> Any:
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
        counts = (entry["retrainings"], entry["promotions"], entry["wrong_promotions"])
        rows.append(
            (name, entry["auc"], gained, entry["ks"], entry["brier"], entry["log_loss"], *counts, entry["money"])
        )
    head = ("policy", "AUC", "gain", "KS", "Brier", "log loss", "retrainings", "promotions", "wrong", "money")
    return [table(head, rows), document["answer"], *(f"Note: {note}" for note in document["notes"])]


def _written(document: dict[str, Any], json_file: Path | None, html_file: Path | None) -> list[str]:
    import json

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
            f"Kept the portfolios in {document['kept']}; `riskloop status --config {document['kept']}/on_drift`."
        )
    return lines


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Labelled customers as CSV; else the embedded portfolio.")] = None,
    target: Annotated[str | None, typer.Option(help="Target column of --data; guessed when there is one.")] = None,
    leave: Annotated[bool, typer.Option("--exit", help="Stop at the end instead of serving on.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo's portfolio is written.")] = Path("demo"),
    port: Annotated[int, typer.Option(help="Port of the demo's API; 0 picks a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Show the whole loop: a stable month, a data fault, drift, retraining, a promotion, a refused challenger."""
    from riskloop.demo import run_demo

    run_demo(data, target=target, folder=folder, port=port, seed=seed, leave=leave, console=Console(as_json))


if __name__ == "__main__":
    main()
