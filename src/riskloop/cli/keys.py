"""`riskloop keys`: who may use the API, and for what."""

from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table

ExpiresOption = Annotated[str | None, typer.Option(help="How long it is valid: 90d, or a date; by default no end.")]

app = typer.Typer(help="API keys and their roles.", no_args_is_help=True)


@app.command("create")
def keys_create(
    name: str,
    role: Annotated[list[str], typer.Option(help="score, outcomes, view or operate; may be repeated.")],
    expires: ExpiresOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Create a key; it is shown once and stored hashed."""
    secret = open_portfolio(config).create_key(name, role, expires=expires)
    Console(as_json).answer({"name": name, "roles": role, "key": secret}, secret)


@app.command("rotate")
def keys_rotate(
    name: str,
    grace: Annotated[str, typer.Option(help="How long the old secret stays valid, such as 7d or 0m.")] = "7d",
    expires: ExpiresOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give a key a new secret; it is shown once."""
    secret = open_portfolio(config).rotate_key(name, grace=grace, expires=expires)
    Console(as_json).answer({"name": name, "key": secret}, secret)


@app.command("list")
def keys_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the keys without their secrets."""
    from riskloop import views

    document = views.keys(open_portfolio(config).home.database)
    rows = [(k["name"], ", ".join(k["roles"]), k["created_at"], k["expires_at"], k["revoked_at"]) for k in document]
    Console(as_json).answer(
        document, table(("name", "roles", "created", "expires", "revoked"), rows) if rows else "No key."
    )


@app.command("revoke")
def keys_revoke(name: str, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Revoke a key at once."""
    open_portfolio(config).revoke_key(name)
    Console(as_json).answer({"name": name, "revoked": True}, f"Key '{name}' is revoked. Nobody can use it from now on.")
