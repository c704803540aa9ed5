"""The text of a riskloop.toml from what `init` found: each guess with its reason, other settings commented out."""

import json
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel

from riskloop.core.settings import DataSettings, Section, Settings, duration_text
from riskloop.data.address import address_of, short_name
from riskloop.data.guess import is_protected
from riskloop.data.infer import DATES, Examined, Guessed, Wanted, examine

WIDE: Final = 20  # levels in one line
WRITTEN_IN: Final = 'what is converted to the first, or refused, where it is in another one; "" is none'


def infer_config(
    path: Path | str,
    *,
    target: str,
    id: str | None = None,  # noqa: A002 - as the setting is called
    time: str | None = None,
    folder: Path | None = None,
    table: Any = None,
    outcome_window: timedelta | None = None,
    dialect: DataSettings | None = None,
    chosen: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> str:
    """The text of a commented riskloop.toml, to be written into ``folder``, for the labelled history at ``path``.

    With ``table`` the history has been read already, by ``dialect``, and ``path`` only names it. ``chosen`` holds
    settings by section that are not left at their defaults. Raises as `examine` does.
    """
    wanted = Wanted(target, id, time, outcome_window=outcome_window, dialect=dialect)
    return config_text(examine(path if table is None else table, wanted, where=str(path)), folder, chosen)


def config_text(
    found: Examined, folder: Path | None = None, chosen: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> str:
    """A commented riskloop.toml, to be written into ``folder``."""
    # Relative paths of a configuration start at its folder; with both in one place the folder can be moved.
    stored = _from(found.path, folder)
    beside = None if found.outcomes is None else _from(found.outcomes, folder)
    name = chosen.get("portfolio", {}).get("name", _name(found.path, folder))
    lines = [*_portfolio(found, stored, beside, name), *_data(found.dialect)]
    for column in found.columns:
        if column.role in ("input", "protected", "context"):
            lines += _feature(column, found.rows)
    lines += _ages(found)
    if found.windows != "month":
        chosen = {**chosen, "windows": {"by": found.windows, **chosen.get("windows", {})}}
    text = "\n".join([*lines, *_others(chosen)]) + "\n"
    return text.replace("\x7f", r"\u007f")  # which JSON's writing leaves as it is, and TOML does not have


def _from(path: str, folder: Path | None) -> str:
    """A path as it is written into a configuration of ``folder``."""
    return path if folder is None or address_of(path) is not None else os.path.relpath(path, folder)


_SAYS_NOTHING: Final = frozenset({
    "customers", "clients", "data", "dataset", "export", "file", "history", "input", "labelled", "labels", "loans",
    "query", "rows", "sample", "table", "train", "training",
})  # fmt: skip


def _name(path: str, folder: Path | None) -> str:
    """The file's name without its ending; the folder's where a file's name says what every history is."""
    name = short_name(path).split(".")[0]
    if not set(re.findall(r"[^\W\d_]+", name.casefold())) <= _SAYS_NOTHING:
        return name
    return ("" if folder is None else folder.resolve().name) or name or "portfolio"


def _portfolio(found: Examined, stored: str, beside: str | None, name: str) -> list[str]:
    target = found.target
    lines = [
        f"# Inferred from {_comment(short_name(found.path))} ({found.rows:,} rows). Read it once: above all the kinds, "
        "the",
        "# protected columns, and what is ignored. Whatever is commented out stands at its default.",
        "",
        "[portfolio]",
        f"name = {json.dumps(name, ensure_ascii=False)}",
        f"history = {json.dumps(stored, ensure_ascii=False)}",
        f"target = {json.dumps(target.name, ensure_ascii=False)}  # {target.rate:.2%} are defaults",
    ]
    if beside is not None:
        lines.insert(-1, f"outcomes = {json.dumps(beside, ensure_ascii=False)}")
    if target.bad:
        said = (
            "  # guessed" + (" from what it holds" if target.asked else " from the usual words")
            if target.guessed
            else ""
        )
        lines.append(f"bad = {_toml(target.bad)}{said}")
        lines.append(f"good = {_toml(target.good)}")
    lines.append(_named(found, "id", "no column is unique and named like an id; rows are numbered instead"))
    if found.of("unit"):
        lines.append(_named(found, "unit", ""))
    lines.append(_named(found, "time", "no column looks like a date; decisions get the time at which they are scored"))
    known, why = found.known_at or ("known_at", "the column of outcomes that says when each became known")
    unnamed = (
        "" if found.known_at and why.startswith("named by you") else f"  # {'guessed: ' * bool(found.known_at)}{why}"
    )
    lines.append(f"{'' if found.known_at else '# '}known_at = {json.dumps(known, ensure_ascii=False)}{unnamed}")
    ignored = found.of("ignored")
    if ignored:
        lines.append("ignore = [")
        lines += [f"  {json.dumps(c.name, ensure_ascii=False)},  # {_comment(c.why)}" for c in ignored]
        lines.append("]")
    why = found.window_why or "how long after a decision its outcome counts as final"
    lines.append(f'outcome_window = "{duration_text(found.outcome_window)}"  # {why}')
    return lines


def _named(found: Examined, role: Any, without: str) -> str:
    column = next(iter(found.of(role)), None)
    if column is None:
        return f'# {role} = "…"  # {without}'
    why = "" if column.why.startswith("named by you") else f"  # guessed: {_comment(column.why)}"
    return f"{role} = {json.dumps(column.name, ensure_ascii=False)}{why}"


def _data(dialect: DataSettings) -> list[str]:
    lines = ["", f"[data]  # {_comment(DataSettings.__doc__ or '')}"]
    for name, info in DataSettings.model_fields.items():
        value = getattr(dialect, name)
        comment = "" if value != info.default and value is not None else "# "
        lines.append(f"{comment}{name} = {_toml('' if value is None else value)}  # {_comment(info.description or '')}")
    return lines


def _feature(column: Guessed, rows: int) -> list[str]:
    lines = ["", f"[features.{_key(column.name)}]"]
    if column.kind == "category":
        lines.append(f'kind = "category"  # {_comment(column.why)}')
        lines.append(f"categories = {_levels(column.categories)}")
        if "'NA'" in column.look:
            lines.append(f"# {_comment(column.look)}.")
        if column.prefixes:
            lines.append(f"prefixes = {_toml(column.prefixes)}  # so many first characters make a branch of the codes")
        comment = "" if column.unseen == "flag" else "# "
        lines.append(f'{comment}unseen = "flag"  # score a level never seen as missing, instead of refusing it')
    else:
        lines.append('kind = "number"')
        if column.written != "plain":
            lines.append(f'written = "{column.written}"  # {_comment(column.why)}')
        if column.written_in:
            lines.append(f"written_in = {_toml(column.written_in)}  # {WRITTEN_IN}")
        facts = column.column
        lines.append(
            f"# range = [{facts.low:.15g}, {facts.high:.15g}]  # seen here; as a setting it refuses everything outside"
        )
        if column.special:
            lines.append(f"special = {_toml(column.special)}  # frequent and far from the rest: a code")
        if facts.odd:
            lines.append(
                f"# Not all values are numbers, for example {_comment(repr(facts.odd[0]))}: such rows are set aside."
            )
    if column.missing:
        lines.append(f"nullable = true  # missing in {column.missing:,} of {rows:,} rows")
    if column.role == "protected":
        lines.append("protected = true  # guessed from its name: kept for fairness checks, no model input")
    if column.role == "context":
        lines.append("context = true  # the same for all rows of a period: a path in time, not a distribution")
    return lines


def _ages(found: Examined) -> list[str]:
    """A proposal for each date that is none of the decision's: how old it is then."""
    lines: list[str] = []
    for column in found.of("ignored") if found.of("time") else ():
        if column.why == DATES:
            lines += [
                "",
                f"# '{_comment(column.name)}' holds dates that are not after the decision. With these lines its age",
                "# is an input; take it out of 'ignore', too.",
                *(
                    ["# It tells a person's age, which is protected: only where the law allows it."]
                    * is_protected(column.name)
                ),
                f"# [features.{_key(column.name)}]",
                '# written = "date"',
                *(["# nullable = true"] if column.missing else []),
                f"# [prepare.{_key(f'{column.name}_age')}]",
                '# how = "age"  # in years; unit = "months" or "days"; of two dates: from the first to the second',
                f"# of = [{json.dumps(column.name, ensure_ascii=False)}]",
                "# instead = true",
            ]
    return lines


def _levels(levels: tuple[str, ...]) -> str:
    texts = [json.dumps(level, ensure_ascii=False) for level in levels]
    if len(texts) <= WIDE:
        return f"[{', '.join(texts)}]"
    lines = [", ".join(texts[i : i + WIDE]) for i in range(0, len(texts), WIDE)]
    return "[\n  " + ",\n  ".join(lines) + ",\n]"


def _others(chosen: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The other sections; what is not chosen stands commented out at its default."""
    lines = [
        "",
        "# A scikit-learn classifier beside the built-in learners; name it in 'learners' of [train] too.",
        "# [learners.forest]",
        '# estimator = "sklearn.ensemble.ExtraTreesClassifier"',
        "# params = { n_estimators = 300, min_samples_leaf = 20 }",
    ]
    for section, info in Settings.model_fields.items():
        settings = info.default
        if isinstance(settings, Section) and section != "data":
            lines += [
                "",
                f"[{section}]  # {_comment(type(settings).__doc__ or '')}",
                *_values(settings, chosen.get(section, {})),
            ]
    return lines


def _values(settings: BaseModel, chosen: Mapping[str, Any]) -> list[str]:
    return [
        f"{'' if name in chosen else '# '}{name} = {_toml(chosen.get(name, getattr(settings, name)))}  "
        f"# {_comment(info.description or '')}"
        for name, info in type(settings).model_fields.items()
    ]


def _toml(value: Any) -> str:
    if isinstance(value, timedelta):
        value = duration_text(value)
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _comment(text: str) -> str:
    """One line without control characters, which TOML refuses even in comments."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
