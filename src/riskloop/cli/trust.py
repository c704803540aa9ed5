"""`riskloop verify`: whether the record is what was committed."""

from pathlib import Path
from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console
from riskloop.core.errors import UNSOUND


def verify(
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what came after the newest sound checkpoint before then.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file of the public key to trust, instead of what riskloop.toml names.")
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Recompute everything on record, and hold it against its chain and the signed checkpoints.

    Exit code 13 when something was changed.
    """
    from riskloop.worker import parse_moment

    moment = None if since is None else parse_moment(since, "--since")
    found = open_portfolio(config).verify(moment, public_key=public_key)
    lines = [found.sentence, *(f"  {breach['sentence']}" for breach in found.breaches)]
    if found.uncounted:
        lines.append(f"  … and {found.uncounted:,} more.")
    if found.last_checkpoint is not None:
        last = found.last_checkpoint
        lines.append(f"The newest checkpoint that the record agrees with: {last['at'][:19]}Z, link {last['link']}.")
    lines += found.limits
    Console(as_json).answer(found, *lines)
    if not found.sound:
        raise typer.Exit(UNSOUND)
