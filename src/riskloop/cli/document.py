"""`riskloop document`: what is on record as a file to read, sign and keep."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console
from riskloop.core.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from riskloop.results import DocumentResult

FileFormat = Literal["html", "docx", "pdf"]
FormatOption = Annotated[
    FileFormat, typer.Option("--format", help="html, docx (riskloop[documents]) or pdf (Chromium).")
]
OutOption = Annotated[Path | None, typer.Option("-o", "--out", help="The file; by default its own name, here.")]

app = typer.Typer(help="Reports of a model, a case or a period, as HTML, Word or PDF.", no_args_is_help=True)


@app.command("model")
def document_model(
    version: Annotated[int | None, typer.Argument(help="By default the champion.")] = None,
    how: FormatOption = "html",
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write the development and validation report of a version."""
    _write(open_portfolio(config).document("model", version, file_format=how), out, as_json)


@app.command("case")
def document_case(
    number: int,
    how: FormatOption = "html",
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write the gate's report of a case, for signature."""
    _write(open_portfolio(config).document("case", number, file_format=how), out, as_json)


@app.command("period")
def document_period(
    first: Annotated[str, typer.Argument(metavar="FROM", help="First day, such as 2025-01-01.")],
    last: Annotated[str, typer.Argument(metavar="TO", help="Last day, such as 2025-03-31.")],
    how: FormatOption = "html",
    out: OutOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write the monitoring report of a period."""
    start, end = _day(first, "FROM"), _day(last, "TO")
    _write(open_portfolio(config).document("period", start=start, end=end, file_format=how), out, as_json)


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{name} is a day such as 2025-03-31, not '{text}'.") from None


def _write(made: "DocumentResult", out: Path | None, as_json: bool) -> None:
    try:
        target = made.save(out)
    except OSError as error:
        raise StorageError(f"{out or made.file} cannot be written: {error.strerror or error}.") from None
    said: dict[str, Any] = {"title": made.title, "file": str(target), "fingerprint": made.fingerprint}
    Console(as_json).answer({**said, "bytes": len(made.content)}, f"{made.title}: {target}")
