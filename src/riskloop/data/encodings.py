"""In which encoding a text is whose bytes are no UTF-8: by the alphabets of the languages that lenders write."""

import codecs
import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Letters beyond ASCII of one language after another, by the Windows encoding that holds them. Of equals the first wins.
_LATIN: Final[dict[str, Sequence[str]]] = {
    "cp1252": (
        "äöüß", "àâæçéèêëîïôœùûüÿñ", "áéíñóúüçà", "àáâãçéêíóôõúü", "àèéìîòóùú", "åäöéü", "åæøéäö", "áéëïöóüèêç",
        "áðéíóúýþæö",
    ),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîșțşţ"),
    "cp1254": ("çğıi\u0307öşüâîû",),
    "cp1257": ("āčēģīķļņšūž", "ąčęėįšųūž", "äöõüšž"),
}  # fmt: skip
_OTHERS: Final[dict[str, Sequence[str]]] = {
    "cp1251": (
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "абвгдеєжзиіїйклмнопрстуфхцчшщьюяґ", "абвгдежзийклмнопрстуфхцчшщъьюя",
        "абвгдђежзијклљмнњопрстћуфхцчџш",
    ),
    "cp1253": ("αβγδεζηθικλμνξοπρστυφχψωάέήίόύώϊϋΐΰς",),
}  # fmt: skip
_MANY: Final = ("gb18030", "shift_jis", "big5", "euc_kr")  # several bytes a letter
_RARER: Final = ("cp1255", "cp1256", "koi8-r", "cp866", "cp850", "mac-roman")
_SEVERAL: Final = 0.9  # what letters of several languages count beside those of one
_CAPITAL: Final = re.compile(r"(?<=[^\W\d_A-ZÀ-ÞА-ЯΑ-Ω])[À-ÖØ-ÞА-ЯΑ-Ω]")  # within a word of small letters
_MIXED: Final = re.compile(r"[A-Za-z][^\W\d_A-Za-z]|[^\W\d_A-Za-z][A-Za-z]")
_BETWEEN: Final = re.compile(r"(?<=[^\W\d_])[^\w\s!-~’‘´\u00a0–—-](?=[^\W\d_])")


def older_encoding(content: bytes, word: str | None = None) -> str:
    """The encoding of bytes that are no UTF-8; ``word`` is text that they are known to hold."""
    if word is not None and (named := named_encoding(content, word)) is not None:
        return named
    # Lines of ASCII alone say nothing, and most of a file is such lines.
    telling = b"\n".join(line for line in content.splitlines() if not line.isascii())[:65536]
    scores = {name: _score(telling, name) for name in (*_LATIN, *_OTHERS)}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= 0.8:
        return best
    from charset_normalizer import from_bytes

    found = from_bytes(telling).best()
    return found.encoding if found is not None and found.encoding != "ascii" else "cp1252"


def mixed_encoding(content: bytes) -> str | None:
    """The name of an encoding by line, where some lines beyond ASCII are UTF-8 and others of one language's letters.

    None where they are not: a line that breaks off within a character is no line of an older encoding.
    """
    lines = [line for line in content.splitlines() if not line.isascii()]
    odd = [line for line in lines if _utf8(line) is None and _utf8(_CUT.sub(b"", line)) is None]
    if not odd or len(odd) == len(lines):
        return None
    other = older_encoding(b"\n".join(odd))
    whole = max(_score(b"\n".join(lines)[:65536], name) for name in (*_LATIN, *_OTHERS))
    known = other in (*_LATIN, *_OTHERS) and _score(b"\n".join(odd)[:65536], other) >= 0.8
    return f"{_EITHER}{other}" if known and whole < 1.0 else None


_EITHER: Final = "utf-8-or-"
_CUT: Final = re.compile(rb"(?:[\xc2-\xc5\xd0\xd1]|\xe2[\x80-\xbf]?)(?=[^A-Za-z\x80-\xff]|$)")  # half a character


class _LineDecoder(codecs.BufferedIncrementalDecoder):
    """UTF-8, and where a line is none, an ``other`` encoding."""

    def __init__(self, other: str, errors: str = "strict") -> None:
        super().__init__(errors)
        self.other = other

    def _buffer_decode(self, data: "Buffer", errors: str, final: bool) -> tuple[str, int]:
        content = bytes(data)
        end = len(content) if final else content.rfind(b"\n") + 1
        return _by_line(self.other, content[:end], errors)


def _by_line(other: str, data: "Buffer", errors: str = "strict") -> tuple[str, int]:
    content = bytes(data)
    if (plain := _utf8(content)) is not None:
        return plain, len(content)
    return "\n".join(_line(line, other, errors) for line in content.split(b"\n")), len(content)


def _line(line: bytes, other: str, errors: str) -> str:
    if (text := _utf8(line)) is not None:
        return text
    return line.decode("utf-8" if _utf8(_CUT.sub(b"", line)) is not None else other, errors)


def _utf8(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _either(name: str) -> codecs.CodecInfo | None:
    """Python's codec of such a name, so that `utf-8-or-cp1252` is an encoding like others in [data]."""
    if (found := re.fullmatch(r"utf_?8_or_(\w+)", name.replace("-", "_"))) is None:
        return None
    other = codecs.lookup(found[1]).name
    return codecs.CodecInfo(
        codecs.utf_8_encode, partial(_by_line, other), incrementaldecoder=partial(_LineDecoder, other), name=name
    )


codecs.register(_either)


def named_encoding(content: bytes, word: str) -> str | None:
    """The first encoding in which these bytes hold a ``word`` of letters beyond ASCII; None where none does."""
    names = (*_LATIN, *_OTHERS, *_MANY, *_RARER) if not word.isascii() else ()
    return next((name for name in names if word in content.decode(name, errors="replace")), None)


def _score(content: bytes, encoding: str) -> float:
    """The share of the letters beyond ASCII that one language has; signs within words count as foreign letters."""
    text = content.decode(encoding, errors="replace")
    letters = [c for c in text.lower() if not c.isascii() and (c.isalpha() or c in "\ufffd\u0307")]
    odd = len(_BETWEEN.findall(text)) + len(_CAPITAL.findall(text))
    total = len(letters) + odd
    if not total:
        return 1.0 if encoding == "cp1252" else 0.0
    if encoding in _OTHERS:  # of another script: never within a word of ASCII letters
        odd += len(_MIXED.findall(text))
    languages = {**_LATIN, **_OTHERS}[encoding]
    one = max(sum(c in alphabet for c in letters) for alphabet in languages)
    several = sum(c in "".join(languages) for c in letters)
    return max(one - odd, _SEVERAL * several - odd) / total
