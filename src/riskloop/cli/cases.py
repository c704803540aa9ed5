"""`riskloop cases`: investigations, and what a person can decide in them."""

from pathlib import Path
from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ByOption, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table, when
from riskloop.core.types import Json

app = typer.Typer(help="Investigations, and what a person can decide in them.", no_args_is_help=True)


@app.command("list")
def cases_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the newest cases."""
    from riskloop import views

    document = views.cases(open_portfolio(config).home.cases)
    rows = [
        (c["id"], c["opened_at"], c["diagnosis"], c["state"], c["assigned_to"] or "", c["sentence"]) for c in document
    ]
    head = ("case", "opened", "diagnosis", "state", "assigned to", "latest step")
    Console(as_json).answer(document, table(head, rows) if rows else "No case yet.")


@app.command("show")
def cases_show(number: int, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Tell the story of one case."""
    found = open_portfolio(config).case(number)
    lines = [f"Case {number}: {found.diagnosis}, {found.state}"]
    for event in found.events:
        lines.append(f"{when(event['at']):<16}  {event['state']:<15} {event['by']}: {event['sentence']}")
        lines += [f"{'':18}· {sentence}" for sentence in event["document"].get("sentences", ())]
        if event["state"] == "needs_approval" and event["document"].get("fingerprint"):
            lines.append(f"{'':18}  riskloop cases approve {number} --evidence {event['document']['fingerprint'][:12]}")
    if found.assigned_to is not None:
        lines.append(f"Assigned to {found.assigned_to}.")
    if found.acknowledged_by is not None:
        lines.append(f"Acknowledged by {found.acknowledged_by}, {when(found.acknowledged_at)}.")
    lines += [f"{when(note['at']):<16}  {_said(note)}" for note in found.notes]
    Console(as_json).answer(found, *lines)


def _said(note: Json) -> str:
    """What a person said, as one line."""
    deeds = {"assign": f"assigned it to {note['person'] or 'nobody'}", "acknowledge": "acknowledged it"}
    deed = deeds.get(note["kind"])
    told = f"{note['by']} {deed}" if deed else note["by"]
    return f"{told}: {note['text']}" if note["text"] else f"{told}."


@app.command("comment")
def cases_comment(
    number: int,
    note: Annotated[str, typer.Option(help="What you have to say; it stays on record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say something about a case; it moves nothing."""
    found = open_portfolio(config).comment(number, note, by=by)
    Console(as_json).answer(found, f"The comment is on record with case {number}.")


@app.command("assign")
def cases_assign(
    number: int,
    to: Annotated[str | None, typer.Argument(help="A person; without one the case is assigned to nobody.")] = None,
    note: Annotated[str, typer.Option(help="Why; it stays on record.")] = "",
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give a case to a person."""
    found = open_portfolio(config).assign(number, to, by=by, note=note)
    Console(as_json).answer(found, f"Case {number} is assigned to {found.assigned_to or 'nobody'}.")


@app.command("acknowledge")
def cases_acknowledge(
    number: int,
    note: Annotated[str, typer.Option(help="What you will do; it stays on record.")] = "",
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say that you have seen a case: its alert is not repeated."""
    found = open_portfolio(config).acknowledge(number, by=by, note=note)
    Console(as_json).answer(found, f"Case {number} is acknowledged by {found.acknowledged_by}.")


@app.command("approve")
def cases_approve(
    number: int,
    note: Annotated[str, typer.Option(help="Why; it stays on record.")],
    evidence: Annotated[
        str | None, typer.Option(help="Fingerprint of the report that you read; another report is refused.")
    ] = None,
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Approve a challenger that waits for a person."""
    found = open_portfolio(config).approve(number, by=by, note=note, evidence=evidence)
    Console(as_json).answer(found, found.sentence)


@app.command("reject")
def cases_reject(
    number: int,
    note: Annotated[str, typer.Option(help="Why; it stays on record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Reject a challenger that waits for a person."""
    found = open_portfolio(config).reject(number, by=by, note=note)
    Console(as_json).answer(found, found.sentence)


@app.command("close")
def cases_close(
    number: int,
    note: Annotated[str, typer.Option(help="What was fixed, and where; it stays on record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Close a quarantined case as fixed at its source: its rows stay out of every training."""
    found = open_portfolio(config).close(number, by=by, note=note)
    Console(as_json).answer(found, found.sentence)


@app.command("rescore")
def cases_rescore(
    number: int,
    corrected: Annotated[Path, typer.Argument(help="The customers' corrected rows, with their ids.")],
    out: Annotated[Path | None, typer.Argument(help="CSV with the old decision beside the new one.")] = None,
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Score the decisions on faulty rows again, on corrected ones.

    The version that made a decision scores it again. The log stays as it is.
    """
    found = open_portfolio(config).rescore(number, corrected, by=by)
    if out is not None:
        found.frame().to_csv(out, index=False)
    Console(as_json).answer(found, found.sentence, *([f"Wrote {out}."] if out is not None else []))


@app.command("release")
def cases_release(
    number: int,
    note: Annotated[str, typer.Option(help="Why; it stays on record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Release the quarantined rows of a case: they may be learned from again."""
    found = open_portfolio(config).release(number, by=by, note=note)
    Console(as_json).answer(found, found.sentence)
