"""`riskloop users`: people who log in at the dashboard."""

import os
from typing import Annotated, Final

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table

PASSWORD: Final = "RISKLOOP_PASSWORD"  # noqa: S105 - the name of a variable
app = typer.Typer(help="People who log in at the dashboard.", no_args_is_help=True)
RoleOption = Annotated[list[str], typer.Option(help="score, outcomes, view or operate; may be repeated.")]


def _password() -> str:
    """From the environment, or typed twice: on a command line every process of the machine could read it."""
    return os.environ.get(PASSWORD) or typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)


@app.command("create")
def users_create(name: str, role: RoleOption, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Create a user; asks for the password, or takes it from RISKLOOP_PASSWORD."""
    people = open_portfolio(config).people
    people.create(name, role, _password())
    Console(as_json).answer({"name": name, "roles": role}, f"User '{name}' may log in.")


@app.command("list")
def users_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the users."""
    document = open_portfolio(config).people.document()
    rows = [(u["name"], ", ".join(u["roles"]), u["created_at"], u["revoked_at"]) for u in document]
    Console(as_json).answer(document, table(("name", "roles", "created", "revoked"), rows) if rows else "No user.")


@app.command("password")
def users_password(name: str, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Replace a password; every session of the user ends."""
    people = open_portfolio(config).people
    people.set_password(name, _password())
    _changed(name, as_json, f"User '{name}' has another password and is logged out everywhere.")


@app.command("roles")
def users_roles(name: str, role: RoleOption, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Replace a user's roles; every session of the user ends."""
    open_portfolio(config).people.set_roles(name, role)
    _changed(name, as_json, f"User '{name}' has the roles {', '.join(role)} and is logged out everywhere.")


@app.command("revoke")
def users_revoke(name: str, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """End a user and every session at once."""
    open_portfolio(config).people.revoke(name)
    _changed(name, as_json, f"User '{name}' is revoked: nobody can log in with it, and its sessions have ended.")


def _changed(name: str, as_json: bool, sentence: str) -> None:
    Console(as_json).answer({"name": name, "changed": True}, sentence)
