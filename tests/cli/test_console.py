"""What a terminal shows and what a pipe gets."""

import sys
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest

from riskloop import console
from riskloop.console import Console, table, when
from riskloop.core.english import lasting

HEAD = ("version", "learner", "AUC", "created", "latest step")
ROWS: list[tuple[Any, ...]] = [
    (1, "lightgbm", 0.7737, "2024-12-31T00:00:00Z", "Keep version 3. " * 9),
    (12, "logistic_scorecard", None, "2025-01-02T14:05:09.123Z", "x" * 200),
    (1234, "é", 0.5, datetime(2025, 1, 2, 14, 5, tzinfo=UTC), ""),
]


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_a_table_fits_the_terminal_and_breaks_no_number(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    lines = table(HEAD, ROWS).splitlines()
    assert max(map(len, lines)) <= columns
    for word in ("0.7737", "0.5000", "2024-12-31", "2025-01-02 14:05", "1,234", "lightgbm"):
        assert any(word in line for line in lines), word


def test_names_in_the_first_column_are_whole_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "dumb")
    names = ["mths_since_last_delinq", "collection_recovery_fee", "tot_hi_cred_lim"]
    rows = [
        (name, "input", "number", "50.0%", "1 to 79", "a reason of many words " * 4, "to look at " * 6)
        for name in names
    ]
    lines = table(("column", "taken as", "kind", "missing", "values", "why", "look at"), rows).splitlines()
    assert max(map(len, lines)) <= 120
    assert all(any(name in line for line in lines) for name in names)


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120, 160])
@pytest.mark.parametrize("wide", [2, 4, 7, 11])
def test_no_terminal_is_too_narrow_for_what_a_table_says(
    monkeypatch: pytest.MonkeyPatch, columns: int, wide: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")
    head = ["column", *(f"head{i}" for i in range(1, wide))]
    rows = [
        [f"name{r}", *(" ".join(f"w{r}x{c}x{k}" for k in range(1 + 7 * (c % 2))) for c in range(1, wide))]
        for r in range(3)
    ]
    lines = table(head, rows, "Title").splitlines()
    said = {word.strip(";:") for line in lines for word in line.split()}
    assert max(map(len, lines)) <= columns
    assert said >= {word for row in rows for cell in row for word in cell.split()}
    assert said >= {*head[1:]}


def test_in_a_pipe_every_row_is_one_line_and_whole() -> None:
    lines = table(HEAD, ROWS).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert "Keep version 3. " * 8 in lines[2]
    assert "x" * 200 in lines[3]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2025-05-01T00:00:00Z", "2025-05-01"),
        ("2025-05-01T13:59:31.25Z", "2025-05-01 13:59"),
        (datetime(2025, 5, 1, 0, 0, 1, tzinfo=UTC), "2025-05-01 00:00"),
        (None, "–"),
        ("a sentence of more than twenty letters ends with Z", "a sentence of more than twenty letters ends with Z"),
        ("not-a-dateT but it is as long asZ", "not-a-dateT but it is as long asZ"),
        ("2025-13-41T99:00:00Z", "2025-13-41T99:00:00Z"),
    ],
)
def test_a_moment_is_said_as_people_say_it_and_nothing_else_is_touched(value: Any, said: str) -> None:
    assert when(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 seconds"), (1, "1 second"), (59.9, "59 seconds"), (60, "1 minute"), (7200, "2 hours"), (86400, "1 day")],
)
def test_how_long_something_lasts(seconds: float, said: str) -> None:
    assert lasting(seconds) == said


def test_where_there_is_no_terminal_progress_is_lines_also_of_a_step_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    enough = Event()

    def say(_self: Console, sentence: str) -> None:
        said.append(sentence)
        if sum("4,000 rows" in told for told in said) == 3:
            enough.set()

    monkeypatch.setattr(console, "EVERY", 0.005)
    monkeypatch.setattr(Console, "say", say)
    with Console().progress("Scoring june.csv") as tick:
        tick("4,000 rows", 0.4)
        assert enough.wait(60)
    count = len(said)
    assert said[-1] == "Scoring june.csv: 40% after 0 seconds, 4,000 rows"
    assert enough.wait(0.05)
    assert len(said) == count, "when the work has ended, nobody goes on talking"
    assert {told.partition(",")[0] for told in said} <= {
        "Scoring june.csv: 0 seconds",  # before anything is known of how far it is
        "Scoring june.csv: 40% after 0 seconds",
    }
    with Console(as_json=True).progress("Scoring") as tick:
        tick("x", 0.1)
