"""What several commands share: their options, and the portfolio that they open."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riskloop.core.errors import PARTLY, ConfigError

DATES = ("dmy", "mdy", "ymd", "unix", "excel")

if TYPE_CHECKING:
    from riskloop.portfolio import Portfolio

CONFIG = Path("riskloop.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="RISKLOOP_CONFIG", help="The portfolio's riskloop.toml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who decides; your user name by default.")]
UrlOption = Annotated[str | None, typer.Option("--url", help="The API; by default the one of riskloop.toml.")]

# How a file is written; each overrules [data] of riskloop.toml, or what `init` would find.
DelimiterOption = Annotated[
    str | None, typer.Option(help="Between fields: ',', ';', '|', tab, blank; overrules [data].")
]
EncodingOption = Annotated[str | None, typer.Option(help="Such as utf-8, utf-16, cp1252; overrules [data].")]
WidthsOption = Annotated[
    str | None, typer.Option(help="Characters of each column, such as 10,8,3, where only places tell columns apart.")
]
DecimalOption = Annotated[str | None, typer.Option(help="Decimal sign: '.' or ','; overrules [data].")]
SheetOption = Annotated[str | None, typer.Option(help="Sheet of a workbook; overrules [data].")]
SkipOption = Annotated[int | None, typer.Option(min=0, help="Lines above the header; overrules [data].")]
DatesOption = Annotated[str | None, typer.Option(help="Order of dates like 03/01/2023: dmy or mdy; overrules [data].")]
RefusedOption = Annotated[
    Path | None, typer.Option("--refused", help="CSV for the rows that are set aside, each with its reason.")
]
ColumnsOption = Annotated[
    str | None, typer.Option(help="Names of the columns of a file without a header line, such as id,default.")
]
StrictOption = Annotated[
    bool | None, typer.Option("--strict/--no-strict", help="Refuse the file for one bad row; overrules [data].")
]


def dialect_options(
    delimiter: str | None,
    encoding: str | None,
    decimal: str | None,
    sheet: str | None,
    skip: int | None,
    dates: str | None = None,
    strict: bool | None = None,
    widths: str | None = None,
    columns: str | None = None,
) -> dict[str, Any]:
    """What the options say about a file, as settings of [data]. Raises ConfigError for a value that is none."""
    from riskloop.data.dialect import SPELLED

    spelled = None if delimiter is None else SPELLED.get(delimiter.lower(), delimiter)
    given: dict[str, Any] = {
        "delimiter": spelled, "encoding": encoding, "decimal": decimal, "sheet": sheet, "skip": skip, "dates": dates,
        "strict": strict,
    }  # fmt: skip
    if encoding is not None:
        import codecs

        try:
            codecs.lookup(encoding)
        except LookupError:
            raise ConfigError(
                f"There is no encoding '{encoding}'; utf-8, utf-16 and cp1252 are the usual ones."
            ) from None
    for name, value, allowed in (("--decimal", decimal, (".", ",")), ("--dates", dates, DATES)):
        if value is not None and value not in allowed:
            raise ConfigError(f"{name} is {' or '.join(map(repr, allowed))}, not {value!r}.")
    if spelled is not None and (len(spelled) != 1 or not spelled.isascii() or spelled in '"\r\n'):
        raise ConfigError(f"--delimiter is one character of ASCII, or tab or blank, not {delimiter!r}.")
    if widths is not None:
        parts = [part.strip() for part in widths.split(",")]
        if not all(part.isdecimal() and int(part) for part in parts):
            raise ConfigError(f"--widths is the number of characters of each column, such as 10,8,3, not {widths!r}.")
        given["widths"] = tuple(map(int, parts))
    if columns is not None:
        names = tuple(name.strip() for name in columns.split(","))
        if not all(names) or len({*names}) < len(names):
            raise ConfigError(f"--columns is a name for each column, such as id,default,known_at, not {columns!r}.")
        given |= {"header": False, "columns": names}
    return {name: value for name, value in given.items() if value is not None}


def open_portfolio(config: Path, data: dict[str, Any] | None = None) -> "Portfolio":
    """The portfolio of a config; imported here, so that `--help` waits for no library. ``data`` overrules [data]."""
    from riskloop.portfolio import Portfolio

    portfolio = Portfolio.open(config)
    return portfolio.with_data(data) if data else portfolio


def leave_partly(refused: int) -> None:
    """End with the exit code that says: done, but for rows that were set aside."""
    if refused:
        raise typer.Exit(PARTLY)
