"""A scorecard as one query, for a database that scores by itself.

Every number is computed in doubles, as riskloop does it; the sums may differ in the last digits, since a database adds
in its own order. Missing values are NULL.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from riskloop.core.cells import bare_levels
from riskloop.core.errors import ConfigError
from riskloop.core.manifest import MAX_LOG_ODDS
from riskloop.core.schema import Feature
from riskloop.core.types import Json
from riskloop.export.card import card_of
from riskloop.export.plain import PlainModel
from riskloop.scoring.preparation import Step


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database writes names, texts and doubles."""

    double: str  # its name of an IEEE double
    quote: str  # around names
    text: str  # its name of text
    fence: str = ""  # ends a subquery so that its columns are computed once, not copied to wherever they are named
    escapes: bool = False  # a backslash in a text begins an escape, as "\n"
    doubled: bool = True  # a quote within quotes is written twice; else with a backslash before it
    note: str = ""  # for people, above the query

    def name(self, text: str) -> str:
        """A column or table."""
        return self._within(self.quote, text, escapes=not self.doubled)

    def literal(self, text: str) -> str:
        """A text."""
        return self._within("'", text, escapes=self.escapes)

    def _within(self, quote: str, text: str, *, escapes: bool) -> str:
        if escapes:
            text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        return quote + text.replace(quote, quote * 2 if self.doubled else f"\\{quote}") + quote

    def number(self, value: float) -> str:
        """A double, exactly."""
        return f"CAST({value!r} AS {self.double})"


CAPITALS: Final = (
    "-- Names stand in quotes, as the portfolio writes them. Where table and columns were made without quotes:\n"
    "--   ALTER SESSION SET QUOTED_IDENTIFIERS_IGNORE_CASE = TRUE;\n"
)
DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": Dialect("DOUBLE PRECISION", '"', "TEXT", " OFFSET 0"),
    "snowflake": Dialect("DOUBLE PRECISION", '"', "VARCHAR", escapes=True, note=CAPITALS),
    "bigquery": Dialect("FLOAT64", "`", "STRING", escapes=True, doubled=False),
    "duckdb": Dialect("DOUBLE", '"', "VARCHAR"),
}


def sql_text(model: PlainModel, dialect: str, table: str) -> str:
    """The query: the table's columns and ``probability``, ``is_default``.

    Raises ConfigError when the version is no scorecard, or when the database is not known.
    """
    if dialect not in DIALECTS:
        raise ConfigError(f"There is no dialect '{dialect}'; choose one of {', '.join(DIALECTS)}.")
    card, d = card_of(model), DIALECTS[dialect]
    inputs = [_input(feature, d) for feature in model.features]
    columns = [f"v{i}" for i in range(len(inputs))]
    inner = "SELECT t.*, " + ", ".join(f"{text} AS v{i}" for i, text in enumerate(inputs))
    inner += f" FROM {'.'.join(d.name(part) for part in table.split('.'))} AS t{d.fence}"
    shown: list[str] = list(columns)
    if model.preparation is not None:
        kept, made = [], []
        for step in model.preparation.steps:
            if step.how == "keep":
                kept.append(columns[step.of[0]])
                continue
            name = f"v{len(columns)}"
            inner = f"SELECT q.*, {_step(step, columns, d)} AS {name} FROM ({inner}) AS q{d.fence}"
            columns.append(name)
            if step.shown:
                made.append(name)
        shown = kept + made
    terms = [_points(entry, name, d) for entry, name in zip(card["features"], shown, strict=True)]
    raw = " + ".join([d.number(float(card["intercept"])), *terms])
    a, b = model.manifest.calibration.a, model.manifest.calibration.b
    most = d.number(MAX_LOG_ODDS)
    z = f"LEAST(GREATEST({d.number(a)} + {d.number(b)} * raw_odds, -{most}), {most})"
    odds = f"SELECT q.*, {raw} AS raw_odds FROM ({inner}) AS q{d.fence}"
    scored = f"SELECT q.*, 1.0 / (1.0 + EXP(-({z}))) AS probability FROM ({odds}) AS q{d.fence}"
    threshold = d.number(model.manifest.threshold)
    return (
        f"-- riskloop: version {model.version}, {model.manifest.learner}. Columns v0, v1, … and raw_odds are steps.\n"
        f"{d.note}"
        f"SELECT q.*, probability >= {threshold} AS is_default FROM ({scored}) AS q\n"
    )


def _input(feature: Feature, d: Dialect) -> str:
    name = f"t.{d.name(feature.name)}"
    if feature.kind == "number":
        return f"CAST({name} AS {d.double})"
    text = f"CAST({name} AS {d.text})"
    # Codes of digits by what they are without leading zeros, as the reader takes them; 000 is nothing then, as '' is.
    coded = {code: number.lstrip("0") for number, code in bare_levels(feature).items()}
    others = {code: level for level, code in feature.codes.items() if code not in coded}
    numbers = _cases(f"LTRIM(NULLIF({text}, ''), '0')", coded, "NULL", d)
    cases = _cases(text, others, numbers, d)
    return f"CAST({cases} AS {d.double})"


def _cases(text: str, levels: Mapping[int, str], other: str, d: Dialect) -> str:
    if not levels:
        return other
    cases = " ".join(f"WHEN {d.literal(level)} THEN {code}.0" for code, level in levels.items())
    return f"CASE {text} {cases} ELSE {other} END"


def _points(entry: Json, x: str, d: Dialect) -> str:
    *points, last = entry["points"]
    cases = [f"WHEN {x} IS NULL THEN {d.number(float(entry['missing']))}"]
    cases += [f"WHEN {x} = {d.number(code)} THEN {d.number(value)}" for code, value in entry.get("special", ())]
    pairs = zip(entry["bounds"], points, strict=True)
    cases += [f"WHEN {x} <= {d.number(bound)} THEN {d.number(value)}" for bound, value in pairs]
    return f"CASE {' '.join(cases)} ELSE {d.number(last)} END"


def _step(step: Step, columns: Sequence[str], d: Dialect) -> str:
    parts = [columns[i] for i in step.of]
    return _STEPS[step.how](step.values, parts, d)


def _table(values: Sequence[float], parts: Sequence[str], d: Dialect) -> str:
    *known, beyond, missing = values
    x = parts[0]
    cases = [f"WHEN {x} IS NULL THEN {_or_null(missing, d)}"]
    cases += [f"WHEN {x} = {code}.0 THEN {_or_null(value, d)}" for code, value in enumerate(known)]
    return f"CASE {' '.join(cases)} ELSE {_or_null(beyond, d)} END"


def _or_null(value: float, d: Dialect) -> str:
    return "NULL" if value != value else d.number(value)


def _bands(values: Sequence[float], parts: Sequence[str], d: Dialect) -> str:
    x = parts[0]
    cases = [f"WHEN {x} IS NULL THEN NULL"]
    cases += [f"WHEN {x} <= {d.number(bound)} THEN {d.number(float(n))}" for n, bound in enumerate(values)]
    return f"CASE {' '.join(cases)} ELSE {d.number(float(len(values)))} END"


def _codes(values: Sequence[float], parts: Sequence[str], d: Dialect) -> str:
    cases = [f"WHEN {parts[0]} = {d.number(code)} THEN {d.number(float(n))}" for n, code in enumerate(values, 1)]
    return f"CASE {' '.join(cases)} ELSE {d.number(0.0)} END"


def _without(values: Sequence[float], parts: Sequence[str], d: Dialect) -> str:
    return f"CASE WHEN {parts[0]} IN ({', '.join(map(d.number, values))}) THEN NULL ELSE {parts[0]} END"


def _ratio(_values: Sequence[float], parts: Sequence[str], _d: Dialect) -> str:
    return f"CASE WHEN {parts[1]} <> 0 THEN {parts[0]} / {parts[1]} END"


def _age(values: Sequence[float], parts: Sequence[str], d: Dialect) -> str:
    return f"({' - '.join(parts)}) / {d.number(values[0])}"


def _missing(_values: Sequence[float], parts: Sequence[str], d: Dialect) -> str:
    any_null = " OR ".join(f"{part} IS NULL" for part in parts)
    return f"CASE WHEN {any_null} THEN {d.number(1.0)} ELSE {d.number(0.0)} END"


def _log(_values: Sequence[float], parts: Sequence[str], _d: Dialect) -> str:
    return f"SIGN({parts[0]}) * LN(1 + ABS({parts[0]}))"


_STEPS: Final[Mapping[str, Callable[[Sequence[float], Sequence[str], Dialect], str]]] = {
    "without": _without,
    "codes": _codes,
    "table": _table,
    "ratio": _ratio,
    "difference": lambda _values, parts, _d: f"{parts[0]} - {parts[1]}",
    "sum": lambda _values, parts, _d: " + ".join(parts),
    "product": lambda _values, parts, _d: " * ".join(parts),
    "log": _log,
    "missing": _missing,
    "bands": _bands,
    "age": _age,
}
