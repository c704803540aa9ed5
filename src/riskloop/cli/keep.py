"""`riskloop migrate`, `backup`, `restore` and `store copy`: what is on record, kept and moved."""

from pathlib import Path
from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption
from riskloop.console import Console

app = typer.Typer(help="The database as a whole.", no_args_is_help=True)


def migrate(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Bring the database's tables to this version of riskloop; every command does so when it starts."""
    from riskloop.store.home import Home
    from riskloop.store.migrations import HEAD

    home = Home.open(config)
    home.close()
    document = {"database": home.database.name, "revision": HEAD}
    Console(as_json).answer(document, f"The tables of {home.database.name} are at revision {HEAD}.")


def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write settings, records, models, pages and texts into a folder, with their hashes."""
    from datetime import UTC, datetime

    from riskloop.store.backup import back_up
    from riskloop.store.home import Home

    console = Console(as_json)
    home = Home.open(config)
    with console.progress("Backup") as tick:
        index = back_up(home, folder, datetime.now(UTC), tick)
    home.close()
    rows = sum(index["rows"].values())
    console.answer(index, f"{rows:,} rows and {len(index['files'])} files are in {folder}; every row was compared.")


def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `riskloop backup` wrote.")],
    erasures: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Folder or object store of the tombstones; by default [trust] checkpoints."),
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup. A riskloop.toml that is there already says which database to fill.

    Who was erased since is erased again, by the tombstones that lie beside the checkpoints.
    """
    from riskloop.store import backup

    console = Console(as_json)
    with console.progress("Restore") as tick:
        index = backup.restore(folder, config, tick, erasures)
    rows, again = sum(index["rows"].values()), len(index["erased_again"])
    lines = [f"{rows:,} rows and {len(index['files'])} files are back; every row was compared."]
    if again:
        lines.append(f"{again:,} decisions on persons who were erased since the backup were erased again.")
    console.answer(index, *lines, *index["doubts"])


@app.command("copy")
def store_copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="URL of the database to copy.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="URL of an empty database.")],
    as_json: JsonOption = False,
) -> None:
    """Copy every row from one database to another, and compare each of them.

    Give passwords by PGPASSFILE or PGPASSWORD and not in a URL, which other users of the machine can read.
    """
    from riskloop.store.adapters import open_database
    from riskloop.store.transfer import move

    console, here = Console(as_json), Path.cwd()
    old, new = open_database(source, here, make=False), open_database(target, here)
    with console.progress("Copy") as tick:
        rows = move(old, new, tick)
    document = {"source": old.name, "target": new.name, "rows": rows}
    console.answer(document, f"{sum(rows.values()):,} rows are in {new.name}; every one was compared.")
    old.close()
    new.close()
