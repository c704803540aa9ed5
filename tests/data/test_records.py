import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskloop.core.errors import MalformedBody
from riskloop.data.records import header_of, line_of, parts

CELLS = st.text(alphabet='ab,"\n\r é', max_size=6)


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=30), size=st.integers(1, 7))
def test_parts_put_together_are_the_file(rows: list[list[str]], size: int) -> None:
    rows = [row for row in rows if "".join(row).strip(' ,"')]  # records of nothing are no rows
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["h1", "h2"], *rows])
    file = io.BytesIO(text.getvalue().encode())
    assert header_of(file) == b'"h1","h2"'
    found = list(parts(file, size))
    assert [len(p.records) for p in found[:-1]] == [size] * (len(found) - 1)
    assert [p.first_row for p in found] == [1 + size * k for k in range(len(found))]
    records = [r.decode() for p in found for r in p.records]
    assert [next(csv.reader(io.StringIO(r, newline=""))) for r in records] == rows


def test_blank_lines_byte_order_mark_and_missing_last_line_end() -> None:
    file = io.BytesIO(b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4")
    assert header_of(file) == b"a,b"
    assert [p.records for p in parts(file, 9)] == [[b"1,2", b"3,4"]]


@pytest.mark.parametrize("content", [b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 2000, b'a,"b\n' + b"5,6\n" * 400_000])
def test_a_quote_that_is_never_closed_is_named_at_once(content: bytes) -> None:
    with pytest.raises(MalformedBody, match="quote"):
        read_all(io.BytesIO(content))


def read_all(file: io.BytesIO) -> None:
    header_of(file)
    list(parts(file, 10))


@pytest.mark.parametrize(("row", "line"), [(1, 2), (2, 5), (3, 7)])
def test_the_line_of_a_row_counts_quoted_line_ends_and_blank_lines(row: int, line: int) -> None:
    assert line_of(io.BytesIO(b'a,b\n"x\n\ny",1\nz,2\n\nw,3\n'), row) == line
