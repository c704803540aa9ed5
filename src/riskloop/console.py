"""What the commands print: tables and sentences for people, one JSON document for machines.

Sentences about progress and errors go to standard error; standard output carries the answer only, so that
``riskloop … --json | jq`` always works.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from shutil import get_terminal_size
from textwrap import wrap
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

from riskloop.core.english import lasting
from riskloop.core.errors import RiskloopError
from riskloop.core.numbers import NOTHING, number

Tick = Callable[[str, float], None]  # a sentence and the share done, 0 to 1


SHORT: Final = 16  # letters; a shorter column is never broken
NAMES: Final = 32  # … and names in the first one, where the terminal has room
ROOM: Final = 110
WORDS: Final = 16  # letters of a line in which a sentence can be read
EVERY: Final = 10.0  # seconds between two lines of progress where there is no terminal for a bar
SOON: Final = 600  # seconds that are told as seconds, so that no two lines are alike


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
            try:
                self.answer(error.as_json())
                return
            except BrokenPipeError:
                raise
            except OSError:  # standard output takes nothing: a full disk
                pass
        sys.stderr.write(f"riskloop: {error.message}\n")
        shown = error.details[:10]
        for problem in shown:
            value = "" if problem.value is None else f" (got {problem.value!r})"
            sys.stderr.write(f"  {problem.field}: {problem.problem}{value}\n")
        if len(error.details) > len(shown):
            sys.stderr.write(f"  … and {len(error.details) - len(shown)} more\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[Tick]:
        """Progress on standard error: a bar on a terminal, else a line every ten seconds."""
        if self.as_json:
            yield lambda _sentence, _share: None
            return
        if not sys.stderr.isatty():
            with self._lines(title) as tick:
                yield tick
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        with Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=RichConsole(stderr=True), transient=True
        ) as bar:
            task = bar.add_task(title, total=1.0)

            def tick(sentence: str, share: float) -> None:
                bar.update(task, description=sentence or title, completed=share)

            yield tick

    @contextmanager
    def _lines(self, title: str) -> Iterator[Tick]:
        """How far it is, said by a thread: also of a step that says nothing for long."""
        latest, ended, started = ("", 0.0), Event(), monotonic()

        def tick(sentence: str, share: float) -> None:
            nonlocal latest
            latest = (sentence, share)

        def tell() -> None:
            while not ended.wait(EVERY):
                sentence, share = latest
                more = f", {sentence}" if sentence and sentence != title else ""
                done, seconds = f"{share:.0%} after " if share else "", round(monotonic() - started)
                spent = f"{seconds} seconds" if seconds < SOON else lasting(seconds)
                self.say(f"{title}: {done}{spent}{more}")

        teller = Thread(target=tell, name="riskloop-progress", daemon=True)
        teller.start()
        try:
            yield tick
        finally:
            ended.set()
            teller.join()


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> str:
    """A table as text: as wide as the terminal, where long texts go over several lines; in a pipe as wide as it is.

    In a terminal that is too narrow for all columns each row is a few lines of its own: nothing is cut off.
    """
    from io import StringIO

    from rich.box import SIMPLE_HEAD
    from rich.console import Console as RichConsole
    from rich.table import Table

    cells = [[_cell(value) for value in row] for row in rows]
    terminal, room = sys.stdout.isatty(), get_terminal_size().columns
    if terminal and cells and _needs(head, cells) > room:
        return _as_records(head, cells, title, room)
    grid = Table(title=title or None, box=SIMPLE_HEAD, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    roomy = room >= ROOM
    for place, name in enumerate(head):
        longest = max((len(row[place]) for row in cells), default=0)
        short = NAMES if place == 0 and roomy else SHORT
        numeric = all(_is_number(row[place]) for row in rows)
        grid.add_column(
            name,
            no_wrap=longest <= short,
            min_width=min(longest, short),
            overflow="fold",
            justify="right" if rows and numeric else "left",
        )
    for row in cells:
        grid.add_row(*row)
    out = StringIO()
    whole = sum(max(map(len, column)) + 4 for column in zip(head, *cells, strict=True))
    width = room if terminal else max(80, whole)
    # Without a height a dumb terminal has 80 columns, whatever is said.
    page = RichConsole(file=out, width=width, height=25, force_terminal=terminal, highlight=False, markup=False)
    page.print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")


def _needs(head: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """The least width in which a table can be read: short cells whole, of long ones a few words in a line."""
    longest = [max(map(len, column)) for column in zip(*cells, strict=True)]
    columns = zip(head, longest, strict=True)
    return sum(max(len(name), long if long <= SHORT else min(long, WORDS)) + 2 for name, long in columns)


def _as_records(head: Sequence[str], cells: Sequence[Sequence[str]], title: str, width: int) -> str:
    """Each row as its first cell and, below it, what its other cells say; empty ones are left out."""
    lines = [title] if title else []
    long = {name for name, column in zip(head, zip(*cells, strict=True), strict=True) if max(map(len, column)) > SHORT}
    for first, *others in cells:
        said = [(name, text) for name, text in zip(head[1:], others, strict=True) if text]
        short = "; ".join(f"{name}: {text}" for name, text in said if name not in long)
        lines.append(first)
        for text in ([short] if short else []) + [f"{name}: {text}" for name, text in said if name in long]:
            lines += wrap(text, max(width - 1, SHORT), initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value, 4 if isinstance(value, float) else 0)
    return when(value) if isinstance(value, datetime | str) else str(value)


def when(value: datetime | str | None) -> str:
    """A moment as people read it, in UTC: the day, and the minute unless it is midnight. Other texts stay."""
    if value is None:
        return NOTHING
    if isinstance(value, datetime):
        at = value.astimezone(UTC)
    elif len(value) < len("2025-01-01T00:00:00Z") or value[10] != "T" or value[-1] != "Z":
        return value
    else:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:  # it only looks like one
            return value
    return f"{at:%Y-%m-%d}" if at.hour == at.minute == at.second == 0 else f"{at:%Y-%m-%d %H:%M}"


def _text(value: Any) -> str:
    return f"{value.isoformat().removesuffix('+00:00')}Z" if isinstance(value, datetime) else str(value)
