"""The commands. Each one opens the portfolio, calls it once and prints; nothing is decided here."""

import os
import sys
from typing import Annotated

import typer

from riskloop import __version__
from riskloop.cli import (
    alerts,
    backtest,
    cases,
    data,
    document,
    export,
    keep,
    keys,
    look,
    models,
    operate,
    trust,
    users,
)
from riskloop.console import Console
from riskloop.core.errors import ConfigError, RiskloopError, StorageError

STOPPED = 130  # by Ctrl-C, as shells count it

app = typer.Typer(
    name="riskloop",
    help="Runs a lender's probability-of-default model as a closed loop: train, serve, monitor, retrain, promote.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
for command in (
    data.init,
    operate.train,
    operate.serve,
    operate.watch,
    operate.up,
    operate.score,
    operate.outcomes,
    data.check,
    look.status,
    look.drift,
    look.replay,
    trust.verify,
    trust.erase,
    trust.audit,
    backtest.backtest,
    operate.demo,
    keep.migrate,
    keep.backup,
    keep.restore,
):
    app.command()(command)
app.add_typer(models.app, name="models")
app.add_typer(cases.app, name="cases")
app.add_typer(document.app, name="document")
app.add_typer(alerts.app, name="alerts")
app.add_typer(export.app, name="export")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(keep.app, name="store")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Handle the options before any command."""
    if version:
        sys.stdout.write(f"riskloop {__version__}\n")
        raise typer.Exit


def main() -> None:
    """Run a command; every refusal becomes a sentence and the exit code of its class."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that is not UTF-8 gets question marks, no crash
            stream.reconfigure(errors="replace")
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
