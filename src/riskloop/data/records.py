"""Cutting a CSV into parts of whole records without parsing it, so that a file of any size passes in little memory."""

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from riskloop.core.errors import MalformedBody

MOST_LINES: Final = 1000  # of one record; more are a quote that was never closed
_READ: Final = 2**20  # bytes at a time
_QUOTE: Final = b'"'
_NOTHING: Final = b' \t,"'  # all that a record holds which is no row, as spreadsheets leave them below a table


class Part(NamedTuple):
    """Consecutive records of a CSV, byte for byte."""

    first_row: int  # 1 is the first record after the header
    records: list[bytes]  # without their line ends


def header_of(file: BinaryIO) -> bytes:
    """The header record without its line end and byte order mark; the file stands at the first row then."""
    lines = [file.readline()]
    is_open, size = lines[0].count(_QUOTE) % 2 == 1, 0
    while is_open and (line := file.readline(_READ)):
        lines.append(line)
        is_open ^= line.count(_QUOTE) % 2 == 1
        size += len(line)
        if size > _READ or len(lines) > MOST_LINES:
            raise MalformedBody("The header of the CSV opens a quote that is never closed; double or remove it.")
    return b"".join(lines).removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")


def parts(file: BinaryIO, rows: int, *, first_row: int = 1) -> Iterator[Part]:
    """The records from where the file stands, ``rows`` at a time; blank lines and records of nothing are left out.

    Raises MalformedBody for a quote that is not closed.
    """
    row, waiting = first_row, []
    for records in _records(file):
        waiting += [record for record in records if record.strip(_NOTHING)]
        while len(waiting) >= rows:
            yield Part(row, waiting[:rows])
            row, waiting = row + rows, waiting[rows:]
    if waiting:
        yield Part(row, waiting)


def _records(file: BinaryIO) -> Iterator[list[bytes]]:
    """Records, blank ones too, as many as come with one read.

    A record goes on over line ends that are inside quotes: it is whole once its number of quotes is even, because
    a quote inside a quoted field is written as two.
    """
    open_lines: list[bytes] = []
    while lines := file.readlines(_READ):
        if open_lines or _QUOTE in b"".join(lines):
            lines = _joined(lines, open_lines)
        yield [line.rstrip(b"\r\n") for line in lines]
    if open_lines:  # the parser will say so
        yield [b"".join(open_lines).rstrip(b"\r\n")]


def _joined(lines: list[bytes], open_lines: list[bytes]) -> list[bytes]:
    """The records that end in these lines; ``open_lines`` are those of a record that does not, before and after."""
    records = []
    for line in lines:
        odd = line.count(_QUOTE) % 2
        if open_lines or odd:
            open_lines.append(line)
            if len(open_lines) > MOST_LINES:
                raise _unclosed(open_lines[0])
            if odd and len(open_lines) > 1:
                records.append(b"".join(open_lines))
                open_lines.clear()
        else:
            records.append(line)
    return records


def _unclosed(line: bytes) -> MalformedBody:
    shown = line[:60].decode(errors="replace").strip()
    return MalformedBody(
        f"A quote of the CSV is not closed within {MOST_LINES} lines. It stands in the line that begins with "
        f"'{shown}'; double or remove it."
    )


def line_of(file: BinaryIO, row: int) -> int:
    """The line on which a row begins, both counted from 1; the file is read from its start."""
    line, rows = 1, -1  # the header is no row
    for records in _records(file):
        for record in records:
            if record.strip(_NOTHING) or rows < 0:
                rows += 1
                if rows == row:
                    return line
            line += 1 + record.count(b"\n")
    return line
