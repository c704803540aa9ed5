"""`riskloop alerts`: who is told, and what did not reach them."""

from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table
from riskloop.core.errors import ConfigError

app = typer.Typer(help="Slack, Teams, PagerDuty, mail, webhooks.", no_args_is_help=True)


@app.command("test")
def alerts_test(
    channel: Annotated[str | None, typer.Argument(help="One channel; all of them by default.")] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Send a test message to the channels; exit code 1 when one of them did not take it."""
    from riskloop.alerts import send_test

    problems = send_test(open_portfolio(config).home.settings, channel)
    if not problems:
        raise ConfigError("riskloop.toml names no channel; add a table [alerts.channels.NAME], see docs/alerting.md.")
    rows = [(name, problem or "taken") for name, problem in problems.items()]
    Console(as_json).answer(problems, *(f"{name}: {said.rstrip('.')}." for name, said in rows))
    if any(problems.values()):
        raise typer.Exit(1)


@app.command("list")
def alerts_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the alerts that did not reach their channel."""
    found = open_portfolio(config).status().unsent_alerts
    head = ("alert", "channel", "state", "tries", "since", "problem")
    rows = [tuple(entry[name] for name in ("title", "channel", "state", "tries", "at", "problem")) for entry in found]
    Console(as_json).answer(found, table(head, rows) if rows else "Every alert reached its channel.")
