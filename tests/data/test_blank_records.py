"""Records of nothing, as spreadsheets leave them below and between the rows of a table, are no rows."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.data.lender import TARGET, history, text

from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows
from riskloop.data.records import line_of, parts
from riskloop.data.tables import without_nothing

FRAME = history(90)
NOTHING = ("{0}{0}{0}{0}", "{0}{0}", "{0}{0}{0}{0}{0}{0}{0}{0}", " {0} {0}{0}{0}", '""{0}""{0}""{0}""{0}""', "   ")


@pytest.mark.parametrize("line", NOTHING)
@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_they_are_left_out_wherever_they_stand(line: str, sign: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    lines = text(FRAME, sep=sign).splitlines()
    path.write_text(end.join(lines) + end, encoding="utf-8", newline="")
    found = examine(path, Wanted(TARGET))
    settings = parse_settings(config_text(found))
    plain = read_rows(path, settings.row_schema, target="required", where="h", dialect=settings.data)
    nothing = line.format(sign)
    odd = [*lines[:30], nothing, nothing, *lines[30:], *[nothing] * 40]
    path.write_text(end.join(odd) + end, encoding="utf-8", newline="")
    read = read_rows(path, settings.row_schema, target="required", where="h", dialect=settings.data)
    assert (len(read.rows), read.read, read.refused) == (90, 90, ())
    assert np.array_equal(read.rows.features, plain.rows.features, equal_nan=True)
    assert examine(path, Wanted(TARGET)).rows == found.rows
    assert read.source.places([28, 29]) == ["line 30", "line 33"]


def test_lines_within_a_text_stay() -> None:
    content = b'a,b\n1,"x\n,,\n y"\n,,\n2,z\n'
    assert without_nothing(content, b",", b'"') == b'a,b\n1,"x\n,,\n y"\n\n2,z\n'


@pytest.mark.parametrize("nothing", [b",,", b"", b' ,"",', b"\t"])
def test_parts_of_a_file_do_not_hold_them(nothing: bytes) -> None:
    content = b"\n".join([b"a,b,c", b"1,2,3", nothing, nothing, b"4,,6", nothing, b""])
    file = io.BytesIO(content)
    file.readline()
    assert [part.records for part in parts(file, 10)] == [[b"1,2,3", b"4,,6"]]
    assert line_of(io.BytesIO(content), 2) == 5
    assert len(pd.read_csv(io.BytesIO(content))) >= 2
