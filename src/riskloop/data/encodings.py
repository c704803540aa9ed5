"""In which encoding a text is whose bytes are no UTF-8: by the alphabets of the languages that lenders write."""

import re
from collections.abc import Sequence
from typing import Final

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
