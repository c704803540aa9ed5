"""Files of older systems in several languages: the bytes alone tell the encoding."""

from pathlib import Path

import numpy as np
import pytest
from tests.data.lender import TARGET, history

from riskloop.core.errors import DataError
from riskloop.core.settings import parse_settings
from riskloop.data.config import config_text
from riskloop.data.encodings import mixed_encoding, named_encoding, older_encoding
from riskloop.data.infer import Wanted, examine
from riskloop.data.read import read_rows
from riskloop.data.streams import find_encoding, text_blocks

LINES = {
    "cp1252": "Straße;Müller;Größe\nKöln;Jäger;Übung\nplain;ascii;line\n",
    "cp1250": "Łódź;Świętokrzyskie;Żółć\nGdańsk;Śląsk;Małopolskie\n",
    "cp1251": "Москва;должность;да\nСанкт-Петербург;учитель;нет\n",
    "cp1253": "Αθήνα;δάσκαλος;ναι\nΘεσσαλονίκη;υπάλληλος;όχι\n",
    "cp1254": "İstanbul;öğretmen;evlilik dışı\nIğdır;çalışan;bekâr değil\n",
    "cp1257": "Rīga;skolotājs;jā\nĢimene;ķīmiķis;ļoti\nVentspils;šoferis;nē\n",
}


@pytest.mark.parametrize("encoding", LINES)
@pytest.mark.parametrize("rows", [1, 50])
def test_a_language_is_read_in_its_own_encoding(encoding: str, rows: int) -> None:
    text = LINES[encoding] * rows
    content = ("id;name;city\n" + text).encode(encoding)
    assert content.decode(older_encoding(content)) == "id;name;city\n" + text


@pytest.mark.parametrize(("encoding", "word"), [("shift_jis", "東京"), ("cp1255", "תל אביב"), ("koi8-r", "Москва")])
def test_a_word_that_is_known_to_be_there_decides(encoding: str, word: str) -> None:
    content = f"id;{word}\n".encode(encoding)
    named = named_encoding(content, word)
    assert named is not None
    assert word in content.decode(named)
    assert older_encoding(content, word) == named


def test_a_word_of_ascii_or_one_that_is_not_there_names_nothing() -> None:
    assert named_encoding(b"id;town\n", "town") is None
    assert named_encoding(b"id;town\n", "東京") is None


def put_together(encoding: str, rows: int = 40) -> tuple[bytes, str]:
    """Lines of two systems, most of them UTF-8; and what they say."""
    lines = [f"{i};{line}\n" for i, line in enumerate((LINES[encoding] * rows).splitlines())]
    whole = [line.encode(encoding if i % 5 == 3 else "utf-8") for i, line in enumerate(lines)]
    return b"id;name;city;x\n" + b"".join(whole), "id;name;city;x\n" + "".join(lines)


@pytest.mark.parametrize("encoding", LINES)
@pytest.mark.parametrize("size", [7, 64, 10_000])
def test_lines_of_two_encodings_are_read_each_in_its_own(
    encoding: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, text = put_together(encoding)
    found = find_encoding(content)
    assert found == f"utf-8-or-{encoding}"
    assert content.decode(found) == text
    monkeypatch.setattr("riskloop.data.streams.BLOCK", size)  # wherever a block ends
    assert b"".join(text_blocks(content, found, "here")).decode() == text


@pytest.mark.parametrize("encoding", ["gb18030", "shift_jis", "utf-8", "cp1252", "cp1251"])
def test_a_file_of_one_encoding_is_no_mixture(encoding: str) -> None:
    words = {"gb18030": "联通 违约 北京", "shift_jis": "東京 大阪", "cp1251": LINES["cp1251"]}
    content = "\n".join(words.get(encoding, LINES["cp1252"]).split() * 30).encode(encoding)
    assert mixed_encoding(content) is None


@pytest.mark.parametrize("cut", [b"Stra\xc3", b"M\xc3", b"M\xc3\xbcll\xc3"])
def test_a_character_that_is_cut_is_no_older_encoding(cut: bytes) -> None:
    content = "Müller;Größe;Köln\n".encode() * 40 + cut + b";x;y\n"
    assert find_encoding(content) == "utf-8"


@pytest.mark.parametrize("late", [False, True])
def test_a_history_of_two_encodings_has_the_levels_of_one(late: bool, tmp_path: Path) -> None:
    frame = history(3000, seed=3)
    head, *lines = frame.to_csv(index=False).splitlines(keepends=True)
    odd = range(2900, 3000) if late else range(0, 3000, 7)
    content = [line.encode("cp1252" if i in odd else "utf-8") for i, line in enumerate(lines)]
    (tmp_path / "h.csv").write_bytes(head.encode() + b"".join(content))
    found = examine(tmp_path / "h.csv", Wanted(TARGET))
    assert found.dialect.encoding == "utf-8-or-cp1252"
    assert any("no UTF-8" in note for note in found.notes)
    settings = parse_settings(config_text(found))
    assert set(settings.features["purpose"].categories) == {"Küche", "Möbel", "car"}
    rows = read_rows(tmp_path / "h.csv", settings.row_schema, target="required", where="h", dialect=settings.data)
    plain = read_rows(frame, settings.row_schema, target="required", where="h")
    assert not rows.refused
    np.testing.assert_array_equal(rows.rows.features, plain.rows.features)


def test_a_level_that_cannot_be_read_is_set_aside_also_where_new_ones_are_scored(tmp_path: Path) -> None:
    frame = history(100, seed=3)
    found = examine(frame, Wanted(TARGET), where="h")
    text = config_text(found).replace('# unseen = "flag"', 'unseen = "flag"')
    settings = parse_settings(text)
    (tmp_path / "later.csv").write_bytes(frame.assign(purpose="Küche").to_csv(index=False).encode("cp1252"))
    with pytest.raises(DataError, match="holds bytes that this encoding does not have"):
        read_rows(tmp_path / "later.csv", settings.row_schema, target="absent", where="later", dialect=settings.data)
    frame.assign(purpose="new").to_csv(tmp_path / "later.csv", index=False)
    read = read_rows(tmp_path / "later.csv", settings.row_schema, target="absent", where="l", dialect=settings.data)
    assert not read.refused
