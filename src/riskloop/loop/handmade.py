"""Bins that a person made, written into riskloop.toml and on record: what they were, what they are, who and why."""

import json
import tomllib
from pathlib import Path
from typing import Any, Final

from riskloop.core.errors import ConfigError, StorageError
from riskloop.core.settings import parse_settings
from riskloop.core.types import Json
from riskloop.scoring.bintable import BinTable
from riskloop.store import audit
from riskloop.store.database import Database
from riskloop.store.home import read_settings

ACTION: Final = "bins"
KEYS: Final = ("bins", "groups", "special")  # of a [features] table, which one `BinTable` says


def keep(config: Path, database: Database, table: BinTable, note: str, by: str) -> Json:
    """Write the bins of ``table`` into the ``config``, and the event with its ``note``; returns the event's document.

    All else in the file stays as it is written. Raises ConfigError without a note, for bins that break `monotone`, and
    for a file that cannot be edited line by line; StorageError where nothing can be written. Then nothing is changed.
    """
    name, note = table.feature.name, note.strip()
    if not note:
        raise ConfigError(f"Say why the bins of '{name}' are as they are: save(note).")
    said = tomllib.loads(table.toml())["features"][name]
    before = next((f for f in read_settings(config).row_schema.features if f.name == name), None)
    if before is None:
        raise ConfigError(f"{config.name} has no [features.{name}]: these bins belong to an earlier configuration.")
    text = config.read_text(encoding="utf-8")
    changed = edited(text, name, table.toml().split("\n")[1:])
    parse_settings(changed, str(config))
    old: dict[str, Any] = {"bins": before.bins, "groups": before.groups, "special": before.special}
    document: Json = {
        "before": {key: list(value) for key, value in old.items() if value},
        "after": {key: said[key] for key in KEYS if key in said},
        "information_value": table.value,
        "note": note,
    }
    audit.write(database, by=by, action=ACTION, subject=name, document=document)
    try:
        new = config.with_name(config.name + ".new")
        new.write_text(changed, encoding="utf-8")
        new.replace(config)
    except OSError as error:
        raise StorageError(
            f"{config} cannot be written ({error.strerror or error}); the bins stay as they are."
        ) from None
    return document


def edited(text: str, name: str, lines: list[str]) -> str:
    """The configuration with these ``lines`` in the table of the feature ``name`` instead of its bins so far.

    Raises ConfigError where the result would not differ in these alone: then a person has to write them.
    """
    before = tomllib.loads(text)
    kept, inside, found = list[str](), False, False
    rows = text.splitlines()
    place = 0
    while place < len(rows):
        if rows[place].startswith("["):
            inside = _is_table_of(rows[place], name)
            if inside and not found:
                kept, found, place = [*kept, rows[place], *lines], True, place + 1
                continue
        length = _length_of_key(rows[place:]) if inside else 0
        if not length:
            kept.append(rows[place])
        place += max(1, length)
    if not found:
        kept += ["", f"[features.{json.dumps(name, ensure_ascii=False)}]", *lines]
    changed = "\n".join(kept) + "\n"
    wanted = {key: value for key, value in before["features"].get(name, {}).items() if key not in KEYS}
    wanted |= tomllib.loads("\n".join(lines))
    expected = {**before, "features": {**before["features"], name: wanted}}
    try:
        same = tomllib.loads(changed) == expected
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise ConfigError(f"riskloop.toml is written in a way that cannot be edited; paste into it: {' '.join(lines)}.")
    return changed


def _is_table_of(line: str, name: str) -> bool:
    try:
        table = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return False
    return set(table) == {"features"} and table["features"] == {name: {}}


def _length_of_key(rows: list[str]) -> int:
    """How many lines the value of one of the keys takes that stands here; 0 for other lines."""
    if rows[0].partition("=")[0].strip() not in KEYS or "=" not in rows[0]:
        return 0
    for length in range(1, len(rows) + 1):
        try:
            tomllib.loads("\n".join(rows[:length]))
        except tomllib.TOMLDecodeError:
            continue
        return length
    return 0
