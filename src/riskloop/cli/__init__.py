"""The commands. Each one opens the portfolio, calls it once and prints; nothing is decided here."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from riskloop.version import __version__

if TYPE_CHECKING:
    from riskloop.console import Console

STOPPED = 130  # by Ctrl-C, as shells count it
FULL = 8  # `StorageError`, which is not imported before it is needed
UNREAD = 141  # nobody reads the answer on, as shells count it
HELP: tuple[list[str], ...] = ([], ["-h"], ["--help"])
COMPLETES = "_RISKLOOP_COMPLETE"  # set by the shell that asks how a line goes on


def main() -> None:
    """Run a command; every refusal becomes a sentence and the exit code of its class."""
    _stand_in_for_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that is not UTF-8 gets question marks, no crash
            stream.reconfigure(errors="replace")
    sys.stderr = cast(TextIO, _Told(sys.stderr))
    try:
        with _stopped_by_signals() as stopped:
            code = _run()
        if stopped and code == STOPPED:  # everything is let go: end as whoever sent it expects
            signal.raise_signal(stopped[0])
        sys.stdout.flush()  # what cannot be written is said here, and not by the interpreter at its end
    except BrokenPipeError:
        code = UNREAD
    except OSError as error:
        sys.stderr.write(f"riskloop: The answer cannot be written to standard output: {error.strerror or error}.\n")
        code = FULL
    else:
        if code:
            sys.exit(code)
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


@contextmanager
def _stopped_by_signals() -> Iterator[list[int]]:
    """What a scheduler sends to stop a job stops it as Ctrl-C does: nothing that is half done stays behind.

    Yields the signals that came. A second one ends the process at once.
    """
    came: list[int] = []

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        came.append(number)
        raise KeyboardInterrupt

    wanted = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in wanted if threading.current_thread() is threading.main_thread() else ():
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number in wanted:
            if signal.getsignal(number) is stop:
                signal.signal(number, signal.SIG_DFL)


class _Told:
    """Standard error: whether what is said there can be written or is read by anybody changes nothing of a job."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As a stream's own."""
        try:
            return self._stream.write(text)
        except OSError:
            self._let_go()
        return len(text)

    def flush(self) -> None:
        """As a stream's own."""
        try:
            self._stream.flush()
        except OSError:
            self._let_go()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _let_go(self) -> None:
        """What is still in a buffer goes nowhere, so that nothing fails at the end either."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def _stand_in_for_closed() -> None:
    """A scheduler may close the streams of a program: no file that is opened later may take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _run() -> int:
    if sys.argv[1:] in HELP and COMPLETES not in os.environ:  # the answer that everybody waits for, before any library
        from riskloop.cli.index import root_help

        sys.stdout.write(root_help())
        return 0
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"riskloop {__version__}\n")
        return 0
    import typer

    from riskloop.cli.tree import app
    from riskloop.console import Console
    from riskloop.core.errors import ConfigError, RiskloopError

    # A back-test's --json names a file; its answer is for people.
    console = Console("--json" in sys.argv and sys.argv[1:2] != ["backtest"])
    if (odd := next((word for word in sys.argv[1:] if not _is_text(word)), None)) is not None:
        console.refuse(
            ConfigError(
                f"The argument {odd!a} holds bytes that are no text here: rename the file, or set PYTHONUTF8=1 if "
                "its name is UTF-8."
            )
        )
        return ConfigError.exit_code
    try:
        code = app(prog_name="riskloop", standalone_mode=False)
        if isinstance(code, int) and code:  # Typer hands its exits back: a stop by Ctrl-C, a command's own code
            sys.stderr.write("riskloop: stopped.\n" if code == STOPPED else "")
            return code
    except RiskloopError as error:
        console.refuse(error)
        return error.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("riskloop: stopped.\n")
        return STOPPED
    except BrokenPipeError:
        raise
    except OSError as error:
        return _failed_by_machine(error, console)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback reaches a user
        return _unexpected(error, console)
    return 0


def _is_text(word: str) -> bool:
    """Whether a word of the command line was read in the encoding that it is written in: no record keeps others."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _failed_by_machine(error: OSError, console: "Console") -> int:
    from riskloop.core.errors import ConfigError, RiskloopError, StorageError

    if error.errno is None and "shared object" in str(error):  # LightGBM's, when it is imported
        told: RiskloopError = ConfigError(
            f"A library is missing here: {error}. `riskloop doctor` says what to install."
        )
    else:
        told = StorageError(f"{error.strerror or error}: {error.filename or 'a file, a socket or the output'}.")
    console.refuse(told)
    return told.exit_code


def _unexpected(error: Exception, console: "Console") -> int:
    from riskloop.core.errors import ConfigError, RiskloopError, StorageError

    usage = getattr(error, "format_message", None)  # Click's own errors, wherever Typer keeps Click
    if usage is not None:
        sentence = usage()
        if sentence.startswith("Usage:"):  # a group without a command: its help is the answer
            sys.stdout.write(f"{sentence}\n")
            return 0
        asked = getattr(getattr(error, "ctx", None), "command_path", "riskloop")
        console.refuse(ConfigError(f"{sentence}{'' if sentence.endswith(('.', '?')) else '.'} See `{asked} --help`."))
        return ConfigError.exit_code
    if os.environ.get("RISKLOOP_DEBUG"):
        raise error
    if isinstance(error, MemoryError):
        console.refuse(StorageError("There is not enough memory for this here. Free some, or use a larger machine."))
        return StorageError.exit_code
    console.refuse(
        RiskloopError(
            f"A defect in riskloop {__version__}: {type(error).__name__}: {error}. "
            "No partial result was kept; RISKLOOP_DEBUG=1 shows where it happened."
        )
    )
    return RiskloopError.exit_code
