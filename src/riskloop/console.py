"""What the commands print: tables and sentences for people, one JSON document for machines.

Sentences about progress and errors go to standard error; standard output carries the answer only, so that
``riskloop … --json | jq`` always works.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from riskloop.core.errors import RiskloopError

Tick = Callable[[str, float], None]  # a sentence and the share done, 0 to 1


class Console:
    """Prints for one command; ``as_json`` silences everything but the final document."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def say(self, sentence: str) -> None:
        """A line of progress."""
        if not self.as_json:
            sys.stderr.write(sentence + "\n")
            sys.stderr.flush()

    def line(self, sentence: str) -> None:
        """A line of the answer that is known before the others; under ``--json`` it is part of the document."""
        if not self.as_json:
            self.answer(None, sentence)

    def answer(self, document: Any, *lines: str) -> None:
        """The command's result: the document under ``--json``, else the lines."""
        if self.as_json:
            from riskloop.store.documents import plain

            sys.stdout.write(json.dumps(plain(document), default=_text, allow_nan=False) + "\n")
        else:
            sys.stdout.write("".join(line + "\n" for line in lines))
        sys.stdout.flush()

    def refuse(self, error: RiskloopError) -> None:
        """An error: its JSON on standard output under ``--json``, else its sentence on standard error."""
        if self.as_json:
            self.answer(error.as_json())
            return
        sys.stderr.write(f"riskloop: {error.message}\n")
        shown = error.details[:10]
        for problem in shown:
            value = "" if problem.value is None else f" (got {problem.value!r})"
            sys.stderr.write(f"  {problem.field}: {problem.problem}{value}\n")
        if len(error.details) > len(shown):
            sys.stderr.write(f"  … and {len(error.details) - len(shown)} more\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[Tick]:
        """A progress bar on standard error where that is a terminal; silent otherwise."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _sentence, _share: None
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        with Progress(*columns, TimeRemainingColumn(), console=RichConsole(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=1.0)

            def tick(sentence: str, share: float) -> None:
                bar.update(task, description=sentence or title, completed=share)

            yield tick


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> str:
    """A table as text, as wide as it needs to be when the output is not a terminal."""
    from io import StringIO

    from rich.box import SIMPLE_HEAD
    from rich.console import Console as RichConsole
    from rich.table import Table

    grid = Table(*head, title=title or None, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    out = StringIO()
    terminal = sys.stdout.isatty()
    RichConsole(
        file=out, width=None if terminal else 160, force_terminal=terminal, highlight=False, markup=False
    ).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return moment(value)
    return str(value)


def moment(value: datetime) -> str:
    """A UTC time as people read it."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _text(value: Any) -> str:
    return f"{value.isoformat().removesuffix('+00:00')}Z" if isinstance(value, datetime) else str(value)
