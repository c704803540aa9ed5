"""The canonical bytes are what docs/trust.md says, computed here by hand and without the code under test."""

import struct
from hashlib import sha256

import pytest

from riskloop.core import chain


def text(value: str) -> bytes:
    return len(value.encode()).to_bytes(4, "little") + value.encode()


def test_a_row_is_its_fields_in_alphabetical_order_without_the_empty_ones() -> None:
    values = {"b": 0.5, "a": True, "d": "é", "c": None, "e": b"\x00\x01"}
    expected = b"".join(
        [
            text("a") + b"i" + (1).to_bytes(8, "little"),
            text("b") + b"d" + struct.pack("<d", 0.5),
            text("d") + b"t" + text("é"),
            text("e") + b"b" + (2).to_bytes(4, "little") + b"\x00\x01",
        ]
    )
    assert chain.row(values) == sha256(expected).digest()
    assert chain.row({"a": 1}) == chain.row({"a": True, "later": None})


def test_a_decision_is_a_record_with_the_digest_of_its_personal_part() -> None:
    features, flags = struct.pack("<2d", 1.0, float("nan")), '{"missing":["x"]}'
    sizes = b"".join(len(part).to_bytes(4, "little") for part in (b"c1", features, flags.encode()))
    personal = sha256(sizes + b"c1" + features + flags.encode()).digest()
    record = struct.pack("<qqidB", 11, 22, 3, 0.25, 1) + personal
    assert len(record) == 61
    assert (
        chain.decisions_digest([(7, "c1", 11, 22, 3, 0.25, True, memoryview(features), flags)])
        == sha256(record).digest()
    )
    assert chain.personal_part("c1", features, flags) == personal
    assert chain.decision(11, 22, 3, 0.25, 1, personal) == record


def test_a_link_holds_the_one_before_the_group_and_its_place() -> None:
    before, digest = bytes(range(32)), sha256(b"x").digest()
    expected = sha256(before + digest + struct.pack("<4q", 5, 10, 12, 99) + b"decisions").digest()
    assert chain.link(before, 5, "decisions", 10, 12, 99, digest) == expected


@pytest.mark.parametrize("value", [1.5 + 2j, [1], object()])
def test_a_value_without_canonical_bytes_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="canonical"):
        chain.row({"a": value})
