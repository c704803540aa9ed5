"""What several commands share: their options, and the portfolio that they open."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from riskloop.portfolio import Portfolio

CONFIG = Path("riskloop.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="RISKLOOP_CONFIG", help="The portfolio's riskloop.toml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Who decides; your user name by default.")]
UrlOption = Annotated[str | None, typer.Option("--url", help="The API; by default the one of riskloop.toml.")]


def open_portfolio(config: Path) -> "Portfolio":
    """The portfolio of a config; imported here, so that `--help` waits for no library."""
    from riskloop.portfolio import Portfolio

    return Portfolio.open(config)
