"""Which way in a source takes: by what its bytes say, then by its name."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from riskloop.core.errors import ConfigError, DataError, MalformedBody
from riskloop.core.settings import DataSettings
from riskloop.data.dialect import find_dialect, no_table, split
from riskloop.data.formats import (
    STATISTICS,
    arff_source,
    arrow_source,
    parquet_source,
    records_source,
    rows_source,
    statistics_source,
)
from riskloop.data.joined import Joined, JoinedSource
from riskloop.data.sheets import sheet_source
from riskloop.data.streams import (
    BLOCK,
    Bytes,
    begin,
    broken,
    check_size,
    open_bytes,
    packed,
    packing_of,
    read_start,
    read_whole,
)
from riskloop.data.tables import ManySource, PartitionSource, Source, TextSource, frame_source
from riskloop.data.webpage import is_webpage, table_text
from riskloop.data.xmlrows import is_xml, xml_rows


def kind_of(path: Path) -> str:
    """What a file is, by its first bytes and its name."""
    start, suffix = begin(path), path.suffix.lower()
    if suffix in STATISTICS:
        return "statistics"
    if start.startswith(b"PAR1") or suffix in (".parquet", ".pq"):
        return "parquet"
    if start.startswith((b"ARROW1", b"ORC")):
        return "arrow" if start.startswith(b"ARROW1") else "orc"
    if start.startswith(b"\xff\xff\xff\xff"):
        return "arrow stream"
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        book = suffix in (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods") or b"xl/" in start
        return "sheet" if book else "zip" if start.startswith(b"PK") else "text"
    if packed(start):
        suffix = Path(path.stem).suffix.lower()
        start = read_start(path, 512)
    if is_json(start, suffix):
        return "json"
    if is_webpage(start) or (suffix == ".xml" and is_xml(start)):
        return "html"
    text = start.lstrip(b"\xef\xbb\xbf").lstrip()
    return "arff" if suffix == ".arff" or text[:9].lower() == b"@relation" else "text"


_NO_DATA: Final = (".", "_", "~$")  # names of files that lie beside those of the rows
_PARTITION: Final = re.compile(r"(\w+)=(.*)")


def _partition(path: Path) -> dict[str, str | None]:
    """What the folders of a file say of all its rows, as Spark and Hive call them: year=2023."""
    found = [match for part in path.parts[:-1] if (match := _PARTITION.fullmatch(part)) is not None]
    return {match[1]: None if match[2] == "__HIVE_DEFAULT_PARTITION__" else unquote(match[2]) for match in found}


def is_json(start: bytes, suffix: str) -> bool:
    """Whether these first bytes are those of rows in JSON, whatever the name of the file."""
    text = start.lstrip(b"\xef\xbb\xbf\xff\xfe").replace(b"\0", b"").lstrip()
    named = suffix in (".json", ".ndjson", ".jsonl") and text[:1] in (b"[", b"{")
    return named or re.match(rb'(\[\s*)?\{\s*"(?:[^"\\]|\\.)*"\s*:', text) is not None


def files_of(source: Path | str) -> list[Path]:
    """The files that a path, a folder or a pattern means, by name. A pattern that fits nothing stays as it is."""
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith(_NO_DATA))
        if not found and any(_PARTITION.fullmatch(p.name) for p in path.iterdir()):
            found = sorted(p for p in path.glob("**/*") if p.is_file() and not p.name.startswith(_NO_DATA))
        if not found:
            inside = next((p for p in sorted(path.glob("**/*")) if p.is_file() and p.suffix), None)
            if inside is None:
                raise DataError(f"The folder {path} holds no files.")
            raise DataError(f"The folder {path} holds folders only; give a pattern: '{path}/**/*{inside.suffix}'.")
        found = [p for p in found if p.stat().st_size] or found  # Spark writes parts without a row
        kinds = Counter(map(_suffix, found))
        if len(kinds) > 1:
            usual = kinds.most_common(1)[0][0]
            odd = next(p for p in found if _suffix(p) != usual)
            raise DataError(
                f"The folder {path} holds files of several kinds: {kinds[usual]} end in '{usual}', and {odd.name} does "
                f"not. Say which of them hold the rows, by a pattern such as '{path}/*{usual}'."
            )
        return found
    if not path.exists() and re.search(r"[*?\[]", str(path)):
        fixed = next(folder for folder in path.parents if not re.search(r"[*?\[]", str(folder)))
        return sorted(p for p in fixed.glob(str(path.relative_to(fixed))) if p.is_file()) or [path]
    return [path]


def _suffix(path: Path) -> str:
    """The end of a file's name, with the compression: .csv.gz."""
    return "".join(path.suffixes[-2 if packing_of(path) else -1 :]).lower()


def open_source(
    source: Any,
    dialect: DataSettings | None,
    where: str,
    *,
    target: str | None = None,
    first_row: int = 1,
    known: DataSettings | None = None,
) -> tuple[Source, DataSettings]:
    """Any source of rows, and the dialect that it is read with: ``dialect``, or what is found without one.

    ``target`` tells which of two header lines has the names; a file without a header may lack its column. Without a
    ``dialect``, what ``known`` sets otherwise than the defaults stays as it is.
    Raises NotFound, MalformedBody, DataError or ConfigError, in a sentence, for what is no table.
    """
    if isinstance(source, Joined):
        history, used = open_source(source.history, dialect, str(source.history))
        outcomes, _ = open_source(source.outcomes, None, str(source.outcomes), target=target)
        return JoinedSource(history, outcomes, target or "", where, str(source.outcomes)), used
    if isinstance(source, (Path, str)):
        files = files_of(source)
        opened = [_open_file(path, dialect, str(path) if len(files) > 1 else where, target, known) for path in files]
        if Path(source) not in files:  # a folder, or a pattern
            values = [_partition(path) for path in files]
            opened = [(PartitionSource(o, v) if v else o, d) for (o, d), v in zip(opened, values, strict=True)]
        if len(opened) == 1:
            return opened[0]
        parts = [(str(path), part) for path, (part, _) in zip(files, opened, strict=True)]
        return ManySource(parts), opened[0][1]
    if hasattr(source, "read") or isinstance(source, bytes):
        used = dialect or find_dialect(source, where, target=target, known=known)
        return TextSource(source, used, where, first_row=first_row), used
    return frame_source(source, where, first_row), dialect or DataSettings()


def _open_file(
    path: Path, dialect: DataSettings | None, where: str, target: str | None, known: DataSettings | None
) -> tuple[Source, DataSettings]:
    kind, plain = kind_of(path), dialect or known or DataSettings()
    if plain.sheet and kind not in ("sheet", "zip"):
        raise ConfigError(f"{where} is no workbook; it has no sheet '{plain.sheet}'. Leave --sheet out.")
    if kind == "parquet":
        return parquet_source(path, where), plain
    if kind in ("arrow", "arrow stream", "orc"):
        return arrow_source(path, where, kind), plain
    if kind == "statistics":
        return statistics_source(path, where), plain
    if kind == "json":
        return rows_source(read_whole(path), where), plain
    if kind == "sheet":
        return sheet_source(path, dialect or known, where, target)
    if kind == "arff":
        return arff_source(path, where, plain), plain
    content: Bytes = path
    if kind == "zip":
        return _zipped(path, dialect, where, target, known)
    if kind == "html":
        whole = read_whole(path)
        table = table_text(whole, target)
        if table is None and is_xml(whole) and (rows := xml_rows(whole, where)) is not None:
            return records_source(rows), plain
        if table is None:
            raise no_table(where)
        content = table
    return _text(content, dialect, where, target, known)


def _text(
    content: Bytes, dialect: DataSettings | None, where: str, target: str | None, known: DataSettings | None
) -> tuple[Source, DataSettings]:
    if dialect is not None:
        dialect = without_target(target, content, dialect)
    used = dialect or find_dialect(content, where, target=target, known=known)
    return TextSource(content, used, where), used


def without_target(target: str | None, content: Bytes, dialect: DataSettings) -> DataSettings:
    """The dialect of a file without a header that is one field short: of customers whose outcome is not known yet."""
    if target not in dialect.columns or dialect.widths:
        return dialect
    start = read_start(content, 2**16).decode(dialect.encoding, errors="replace")
    records = split(start, dialect.delimiter)[dialect.skip :]
    widths = Counter(map(len, records[:-1] or records))  # the last one may be cut
    if not widths or widths.most_common(1)[0][0] != len(dialect.columns) - 1:
        return dialect
    return dialect.model_copy(update={"columns": tuple(name for name in dialect.columns if name != target)})


def _zipped(
    path: Path, dialect: DataSettings | None, where: str, target: str | None, known: DataSettings | None
) -> tuple[Source, DataSettings]:
    """The table in a ZIP archive; several are read one after the other, as those of a folder."""
    members = list(_unzipped(path, where))
    if not members:
        raise DataError(f"{where} is a ZIP archive without a table in it.")
    opened: list[tuple[Source, DataSettings]] = []
    for name, content in members:
        place, kind = where if len(members) == 1 else f"{where}/{name}", _kind_of_member(name, content)
        if kind == "parquet":
            opened.append((parquet_source(content, place), dialect or known or DataSettings()))
        elif kind == "json":
            opened.append((rows_source(content, place), dialect or known or DataSettings()))
        elif kind == "sheet":
            opened.append(sheet_source(content, dialect or known, place, target))
        else:
            opened.append(_text(content, dialect, place, target, known))
    parts = [(name, part) for (name, _), (part, _) in zip(members, opened, strict=True)]
    return (parts[0][1] if len(parts) == 1 else ManySource(parts)), opened[0][1]


_BESIDE: Final = re.compile(
    r"(__MACOSX|.*/\.|\.)|.*(readme|licen[cs]e)[^/]*$|.*\.(md|pdf|docx?|rtf|html?|png|jpe?g|sha256|md5)$", re.IGNORECASE
)


def _kind_of_member(name: str, content: bytes) -> str:
    """As `kind_of`, of a file in an archive."""
    if content.startswith(b"PAR1"):
        return "parquet"
    if is_json(content[:512], Path(name).suffix.lower()):
        return "json"
    return "sheet" if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")) else "text"


def table_in(path: Path) -> tuple[str, Path | bytes]:
    """What a file is, and where its table is read: in the file, or in the only one of a ZIP archive."""
    if (kind := kind_of(path)) != "zip":
        return kind, path
    members = list(_unzipped(path, str(path)))
    return (_kind_of_member(*members[0]), members[0][1]) if len(members) == 1 else (kind, path)


def contents(path: Path) -> Iterator[bytes]:
    """What a file holds, piece by piece, without its packing: a delivery that is packed anew holds the same."""
    packed: Iterable[Bytes] = [path]
    if kind_of(path) == "zip":
        packed = (content for _, content in _unzipped(path, str(path)))
    try:
        for one in packed:
            with open_bytes(one) as file:
                while content := file.read(BLOCK):
                    yield content
    except (OSError, EOFError, ValueError) as error:
        raise broken(path, error) from None


def _unzipped(path: Path, where: str) -> Iterator[tuple[str, bytes]]:
    """The files of an archive that may be tables, by name."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if not name.endswith("/") and not _BESIDE.match(name)]
            check_size(sum(archive.getinfo(name).file_size for name in inside), path.stat().st_size, where)
            for name in sorted(inside):
                yield name, archive.read(name)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise MalformedBody(
            f"{where} is not a ZIP archive that can be read: {error}. Unpack it, or pack it again."
        ) from None
