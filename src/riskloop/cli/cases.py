"""`riskloop cases`: investigations, and what a person can decide in them."""

from pathlib import Path
from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ByOption, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table, when

app = typer.Typer(help="Investigations, and what a person can decide in them.", no_args_is_help=True)


@app.command("list")
def cases_list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the newest cases."""
    from riskloop import views

    document = views.cases(open_portfolio(config).home.cases)
    rows = [(c["id"], c["opened_at"], c["diagnosis"], c["state"], c["sentence"]) for c in document]
    head = ("case", "opened", "diagnosis", "state", "latest step")
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
    Console(as_json).answer(found, *lines)


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
