import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskloop.core.errors import MalformedBody
from riskloop.scoring import bodies

TEXTS = st.text(alphabet='a"}{,[] \\', max_size=8)
OBJECTS = st.dictionaries(TEXTS, TEXTS | st.dictionaries(TEXTS, st.lists(TEXTS, max_size=2), max_size=2), max_size=3)


def elements(content: bytes, piece: int) -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "PIECE_BYTES", piece)
        return [json.loads(bytes(element)) for element in bodies._elements(io.BytesIO(content))]


@given(rows=st.lists(OBJECTS, max_size=12), piece=st.integers(1, 60), indent=st.sampled_from([None, 2]))
def test_an_array_read_in_pieces_is_the_array(rows: list[Any], piece: int, indent: int | None) -> None:
    assert elements(json.dumps(rows, indent=indent).encode(), piece) == rows


@pytest.mark.parametrize("piece", [1, 5, 2**20])
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[", b"[{}", b"[{},]", b"[{} {}]", b"[{}]x", b"[{},{}", b'[{"a":1},{"a":]', b"[,{}]", b"[{},,{}]"],
)
def test_what_is_no_array_is_refused_whole_or_in_pieces(content: bytes, piece: int) -> None:
    with pytest.raises(MalformedBody, match="must be a JSON array of rows"):
        elements(content, piece)


def test_a_row_without_end_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_ROW", 1000)
    with pytest.raises(MalformedBody, match="of at most 1000 bytes, after row 2"):
        elements(b'[{}, {}, {"a": "' + b"x" * 5000, 100)


@given(
    before=st.integers(0, 30),
    piece=st.sampled_from([7, 64, 2**20]),
    word=st.sampled_from(["NaN", "Infinity", "-Infinity"]),
)
def test_a_number_that_json_does_not_have_is_handed_on_with_its_row(before: int, piece: int, word: str) -> None:
    rows = [f'{{"x": {number}}}' for number in range(before)] + [f'{{"x": {word}}}', '{"x": 1}']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "PIECE_BYTES", piece)
        found = [bytes(element) for element in bodies._elements(io.BytesIO(f"[{', '.join(rows)}]".encode()))]
    assert found[-1].decode() == f'{{"x": {word}}}'
    assert len(found) == before + 1
