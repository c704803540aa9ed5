"""`riskloop verify`, `audit`, `erase` and `retain`: what is on record, who did it, and what has to go."""

from pathlib import Path
from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ByOption, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table
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
    found = open_portfolio(config).record.verify(moment, public_key=public_key)
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


def erase(
    customer: Annotated[str, typer.Option(help="The id of the customer, as decisions have it.")],
    reason: Annotated[str, typer.Option(help="Why: it goes on record, so it must not name the person.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Erase who the decisions on a customer were about and what they were made on; the decisions stay on record."""
    found = open_portfolio(config).record.erase(customer, by=by, reason=reason)
    lines = [found.sentence]
    if found.still:
        lines += ["These files still hold the person, or could not be looked at:", *(f"  {one}" for one in found.still)]
    lines.append("Not known to riskloop: files that were scored, results, outcomes, and copies that were made by hand.")
    Console(as_json).answer(found, *lines)


def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take out what is older than [retention] says, into the archive.

    What the loop still needs stays, and it says why. Every cycle of the worker does it, too.
    """
    found = open_portfolio(config).record.retain(dry_run=dry_run, by=by)
    Console(as_json).answer(found, found.sentence, *(f"  {path}" for path in found.files))


def audit(
    who: Annotated[str | None, typer.Option("--by", help="Only what this person, key or process did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as promote or 'read decision'.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only what was done to this, such as 'model 2'.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From this time on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many of the newest events.")] = 50,
    csv: Annotated[Path | None, typer.Option(help="Write them to this file.")] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show who did what, newest first."""
    from dataclasses import asdict

    from riskloop.core.types import iso
    from riskloop.store import audit as trail
    from riskloop.worker import parse_moment

    start = None if since is None else parse_moment(since, "--since")
    end = None if until is None else parse_moment(until, "--until")
    found = open_portfolio(config).record.events(trail.AuditFilter(who, action, subject, start, end), limit)
    events = [trail.AuditEvent(*row) for row in found.itertuples(index=False, name=None)]
    document = [{**asdict(event), "at": iso(event.at)} for event in events]
    rows = [(iso(event.at, "seconds"), event.by, event.action, event.subject) for event in events]
    lines = [table(("at", "by", "action", "subject"), rows)]
    if csv is not None:
        csv.write_text(trail.as_csv(events), encoding="utf-8")
        lines = [f"{len(rows):,} events are in {csv}."]
    Console(as_json).answer(document, *(lines if rows else ["Nothing is like that."]))
