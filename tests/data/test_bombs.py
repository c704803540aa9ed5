"""Packed files that unpack to far more than any table does are refused before they fill the memory."""

import bz2
import gzip
import io
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from riskloop.core.errors import MalformedBody
from riskloop.data import streams
from riskloop.data.opening import open_source

ROWS = b"id,income,bad\n" + b"1,1000,0\n" * 200_000
JSON = b"[" + b'{"id": 1, "bad": 0},' * 60_000 + b'{"id": 2, "bad": 1}]'
PAGE = b"<html><body><table><tr><th>id</th><th>bad</th></tr>" + b"<tr><td>1</td><td>0</td></tr>" * 50_000


def zipped(content: bytes, name: str, beside: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        if beside:
            archive.writestr("second.csv", beside)
    return out.getvalue()


def workbook() -> bytes:
    out = io.BytesIO()
    pd.DataFrame({"id": [1, 2], "bad": [0, 1]}).to_excel(out, index=False)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image1.bmp", b"\0" * 4_000_000)
    return out.getvalue()


BOMBS = {
    "a.zip": lambda: zipped(ROWS, "a.csv"),
    "two.zip": lambda: zipped(ROWS[:900_000], "a.csv", ROWS[:900_000]),
    "json.zip": lambda: zipped(JSON, "a.json"),
    "a.json.gz": lambda: gzip.compress(JSON),
    "a.json.bz2": lambda: bz2.compress(JSON),
    "a.html.gz": lambda: gzip.compress(PAGE),
    "a.xlsx": workbook,
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_far_more_than_it_is_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "ALWAYS", 2**18)
    monkeypatch.setattr(streams, "MOST_TIMES", 50)
    monkeypatch.setattr(streams, "BLOCK", 2**18)
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    with pytest.raises(MalformedBody, match=rf"{name} unpacks to \d+ MB or more, [\d,]+ times its own size"):
        open_source(path, None, str(path))


@pytest.mark.parametrize("name", [name for name in BOMBS if name != "a.html.gz"])
def test_what_is_large_and_no_bomb_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    opened, _ = open_source(path, None, str(path))
    assert {"id", "bad"} <= {*opened.names}


def test_a_text_that_is_read_in_blocks_may_unpack_to_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ALWAYS", 2**10)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(ROWS))
    opened, _ = open_source(path, None, str(path))
    assert opened.names == ["id", "income", "bad"]
