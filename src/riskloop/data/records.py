"""Cutting a CSV into parts of whole records without parsing it, so that a file of any size passes in little memory."""

from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

_QUOTE: Final = b'"'


class Part(NamedTuple):
    """Consecutive records of a CSV, byte for byte."""

    first_row: int  # 1 is the first record after the header
    first_line: int  # the line of the file on which that record begins, counted from 1
    records: list[bytes]  # without their line ends


def header_of(file: BinaryIO) -> bytes:
    """The header record without its line end and byte order mark; the file stands at the first row then."""
    return next(_records(file), b"").removeprefix(b"\xef\xbb\xbf")


def parts(file: BinaryIO, rows: int, *, first_row: int = 1, first_line: int = 2) -> Iterator[Part]:
    """The records from where the file stands, ``rows`` at a time; blank lines are left out.

    A record goes on over line ends that are inside quotes: it is whole once its number of quotes is even, because
    a quote inside a quoted field is written as two.
    """
    line, row = first_line, first_row
    part = Part(row, line, [])
    for record in _records(file):
        if record:
            part.records.append(record)
        line += 1 + (record.count(b"\n") if _QUOTE in record else 0)
        if len(part.records) == rows:
            yield part
            row += rows
            part = Part(row, line, [])
    if part.records:
        yield part


def _records(file: BinaryIO) -> Iterator[bytes]:
    pending: list[bytes] = []
    for line in file:
        if pending or (_QUOTE in line and line.count(_QUOTE) % 2):
            pending.append(line)
            if sum(piece.count(_QUOTE) for piece in pending) % 2:
                continue
            line = b"".join(pending)
            pending = []
        yield line.rstrip(b"\r\n")
    if pending:  # a quote that is never closed: the parser will say so
        yield b"".join(pending).rstrip(b"\r\n")


def line_of(file: BinaryIO, row: int) -> int:
    """The line on which a row begins, both counted from 1; the file is read from its start."""
    line, rows = 1, 0
    for number, record in enumerate(_records(file)):
        if number and record:
            rows += 1
            if rows == row:
                break
        line += 1 + record.count(b"\n")
    return line
