"""Bytes of a file as UTF-8 text in blocks of whole lines: compression and encoding end here, whatever the size."""

import codecs
import io
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import numpy as np
import pyarrow as pa

from riskloop.core.errors import MalformedBody, NotFound
from riskloop.data.encodings import mixed_encoding, named_encoding, older_encoding

BLOCK: Final = 2**23  # bytes of text at a time
AHEAD: Final = 4  # blocks that are made while the caller works on one
MOST_OPEN: Final = 2**24  # bytes of one record; more are a quote that was never closed

_PACKED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\x04\x22\x4d\x18": "lz4"}
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

_T = TypeVar("_T")
Bytes = Path | str | bytes | BinaryIO  # a path, the content itself, or a file that is read from where it stands


def begin(source: Path) -> bytes:
    """The first bytes of a file. Raises NotFound when there is none."""
    if not source.is_file():
        raise NotFound(f"The file {source} does not exist; check the path.")
    with source.open("rb") as file:
        return file.read(512)


def packed(start: bytes) -> str | None:
    """The compression that the first bytes of a file show."""
    return next((name for mark, name in _PACKED.items() if start.startswith(mark)), None)


def open_bytes(source: Bytes) -> Any:
    """The decompressed bytes of a source as an open file."""
    if isinstance(source, bytes):
        packing = packed(source[:8])
        return pa.input_stream(pa.py_buffer(source), compression=packing) if packing else io.BytesIO(source)
    if isinstance(source, (Path, str)):
        return pa.input_stream(str(source), compression=packed(begin(Path(source))))
    return source


def open_lines(source: Path | bytes) -> BinaryIO:
    """The decompressed bytes of a file, which can be read line by line."""
    if isinstance(source, Path) and packed_by(source) is None:
        return source.open("rb")
    return io.BufferedReader(open_bytes(source))


_CONTAINERS: Final = {
    b"%PDF": "a PDF", b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file", b"RDX": "a data set of R", b"RDA": "a data set of R", b"Obj\x01": "an Avro file",
    b"\x80\x03": "a pickle of Python", b"\x80\x04": "a pickle of Python", b"\x80\x05": "a pickle of Python",
    b"PAR1": "a compressed Parquet file, which has to be unpacked", b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive", b"PK\x03\x04": "a compressed archive or workbook, which has to be unpacked",
    b"PK\x05\x06": "an empty ZIP archive", b"\xd0\xcf\x11\xe0": "an old document of Office, perhaps with a password",
}  # fmt: skip


def container_of(start: bytes) -> str | None:
    """What a file of another kind is, by its first bytes: 'a PDF'; None where they show none."""
    if start[257:262] == b"ustar":
        return "a tar archive, which has to be unpacked"
    return next((name for mark, name in _CONTAINERS.items() if start.startswith(mark)), None)


def arrow_memory(content: bytes) -> pa.Buffer:
    """A copy that belongs to Arrow alone.

    Arrow's threads may still work on blocks when `read_csv` has refused the first one. If the process ends then, the
    last of them would let go of a Python object without an interpreter: "terminate called", exit code 134.
    """
    buffer = pa.allocate_buffer(len(content))
    np.frombuffer(buffer, dtype=np.uint8)[:] = np.frombuffer(content, dtype=np.uint8)
    return buffer


def packed_by(path: Path) -> str | None:
    """The compression of a file, by its first bytes."""
    return packed(begin(path))


def packing_of(path: Path) -> str | None:
    """The compression that a file's name asks for."""
    return {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}.get(path.suffix.lower())


def read_start(source: Bytes, size: int) -> bytes:
    """The first ``size`` decompressed bytes; an open file stands where it stood afterwards."""
    if not isinstance(source, (Path, str, bytes)):
        place = source.tell()
        content = source.read(size)
        source.seek(place)
        return content
    try:
        with open_bytes(source) as file:
            return bytes(file.read(size))
    except (OSError, EOFError, ValueError) as error:
        raise broken(source, error) from None


def read_whole(path: Path) -> bytes:
    """All decompressed bytes of a file. Raises MalformedBody for more than `check_size` allows."""
    pieces, size, own = list[bytes](), 0, path.stat().st_size
    try:
        with open_bytes(path) as file:
            while piece := bytes(file.read(BLOCK)):
                size += len(piece)
                if packed(begin(path)):
                    check_size(size, own, str(path))
                pieces.append(piece)
    except (OSError, EOFError, ValueError) as error:
        raise broken(path, error) from None
    return b"".join(pieces)


MOST_UNPACKED: Final = 2**32  # bytes of a file's content that are held in memory at once
MOST_TIMES: Final = 200  # as large as the file: no table shrinks to less, but a bomb does
ALWAYS: Final = 2**26  # bytes that are unpacked whatever they shrink to


def check_packed(path: Path) -> None:
    """`check_size` for a compressed file, which is unpacked for that, block by block."""
    size, own = 0, path.stat().st_size
    try:
        with open_bytes(path) as file:
            while packed(begin(path)) and (piece := file.read(BLOCK)):
                size += len(piece)
                check_size(size, own, str(path))
    except (OSError, EOFError, ValueError) as error:
        raise broken(path, error) from None


def check_size(unpacked: int, own: int, where: str) -> None:
    """Raise MalformedBody where a packed file of ``own`` bytes holds more than may be unpacked into memory."""
    if unpacked <= ALWAYS or (unpacked <= MOST_UNPACKED and unpacked <= MOST_TIMES * own):
        return
    times = f"{unpacked / max(1, own):,.0f} times its own size"
    raise MalformedBody(
        f"{where} unpacks to {unpacked / 2**20:,.0f} MB or more, {times}, and is not unpacked into memory. If it is "
        "what you expect, unpack it, and hand in the file that was in it."
    )


def find_encoding(start: bytes, word: str | None = None) -> str:
    """The encoding of a text by its first bytes: a mark, zero bytes, valid UTF-8, else one of the older ones.

    Which of those it is, bytes alone do not say for certain; a ``word`` that the text holds helps.
    """
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    if start[:200].count(0) > len(start[:200]) // 4:
        return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
    if not is_utf8(start):
        if (mixed := mixed_encoding(start)) is not None:
            return mixed
        text = start.decode(errors="replace")
        broken = text.count("\ufffd")
        if sum(not c.isascii() for c in text) > 50 * broken:  # UTF-8 with a few broken characters
            return "utf-8"
        return older_encoding(start, word)
    # Some words of other encodings happen to be valid UTF-8.
    known = word is None or word.isascii() or word in start.decode(errors="replace")
    return "utf-8" if known else named_encoding(start, str(word)) or "utf-8"


def is_utf8(content: bytes) -> bool:
    """Whether these bytes, of which the last character may be cut, are UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False
    return True


def ahead(items: Iterator[_T]) -> Generator[_T]:
    """The same items; while the caller works on one, a thread makes the next ones. None stands for the end.

    Reading and parsing text leave the interpreter to others, so that both go on at once.
    """
    with ThreadPoolExecutor(1, "riskloop-read") as reader:
        coming = deque(reader.submit(next, items, None) for _ in range(AHEAD))
        try:
            while (item := coming.popleft().result()) is not None:
                coming.append(reader.submit(next, items, None))
                yield item
        finally:
            reader.shutdown(cancel_futures=True)


def text_blocks(source: Bytes, encoding: str, where: str, *, lines: bool = False) -> Iterator[bytes]:
    """The text as UTF-8 in blocks of whole records, about `BLOCK` bytes each; line ends are kept.

    A record goes on over line ends inside of quotes: it is whole once its number of quotes is even; with ``lines``
    each line is one. Bytes that the encoding does not have become U+FFFD. Raises MalformedBody for binary data or a
    compressed file that is cut off.
    """
    waiting = b""
    for piece in _decoded(source, encoding, where):
        if b"\0" in piece:
            if (own := find_encoding(piece[:512])).startswith(("utf-16", "utf-32")):
                raise MalformedBody(f"{where} is written in {own.upper()}, not in {encoding}; say --encoding {own}.")
            raise MalformedBody(f"{where} is not a text file but binary data; give a CSV, Parquet or Excel file.")
        whole, waiting = _whole(waiting + piece, lines)
        if whole:
            yield whole
        elif len(waiting) > MOST_OPEN:
            raise MalformedBody(f"{where} opens a quote that is never closed; double or remove it.")
    if waiting:
        yield waiting if waiting.endswith(b"\n") else waiting + b"\n"


def _decoded(source: Bytes, encoding: str, where: str) -> Iterator[bytes]:
    plain = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    first = True
    file = open_bytes(source)
    try:
        while content := bytes(file.read(BLOCK)):
            if plain:
                yield _newlines(content.removeprefix(codecs.BOM_UTF8) if first else content)
            else:
                yield _newlines(decoder.decode(content).removeprefix("\ufeff").encode())
            first = False
        if not plain and (rest := decoder.decode(b"", final=True)):
            yield rest.encode()
    except (OSError, EOFError) as error:
        raise broken(where, error) from None
    except UnicodeError:  # utf-16 and utf-32 say by a mark in which order their bytes are
        own = find_encoding(content[:512])
        raise MalformedBody(f"{where} is not written in {encoding}; say --encoding {own}.") from None
    finally:
        if file is not source:
            file.close()


def _newlines(content: bytes) -> bytes:
    """Files of old Macs end their lines with CR alone."""
    return content.replace(b"\r", b"\n") if b"\r" in content and b"\n" not in content else content


def _whole(content: bytes, lines: bool) -> tuple[bytes, bytes]:
    """The records that are complete, and what stands behind them."""
    end = content.rfind(b"\n") + 1
    if not end:
        return b"", content
    quotes = content.count(b'"', 0, end) if not lines else 0
    while quotes % 2 and end:
        before = content.rfind(b"\n", 0, end - 1) + 1
        quotes -= content.count(b'"', before, end)
        end = before
    return content[:end], content[end:]


def broken(source: Any, error: Exception) -> MalformedBody:
    """What to raise for a file that cannot be unpacked."""
    name = source if isinstance(source, (Path, str)) else "The content"
    text = str(error).split("\n")[0][:120]
    return MalformedBody(f"{name} cannot be decompressed or read: {text}. Write it again, or copy it again.")
