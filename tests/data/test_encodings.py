"""Files of older systems in several languages: the bytes alone tell the encoding."""

import pytest

from riskloop.data.encodings import named_encoding, older_encoding

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
