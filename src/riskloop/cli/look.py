"""Commands that show where things stand, and prove a decision."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table, when
from riskloop.core import english
from riskloop.core.english import counted, lasting
from riskloop.core.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from riskloop.results import StatusResult, TableResult


SHOWN: Final = 4  # subjects of a window that are named in its line; its sentence names all


def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show the champion, how it does, the open cases, and what to do next."""
    found = open_portfolio(config).status()
    lines = [f"{found.portfolio} · policy {found.policy} · {found.decisions:,} decisions"]
    lines += _champion(found)
    lines += _last_done(found)
    if found.last_window is not None:
        window = found.last_window
        lines.append(f"Last window: {window['name']}, {window['decisions']:,} decisions: {window['sentence']}")
    if found.champion is not None:
        lines.append(found.outcomes["sentence"])
    there = found.outcomes["judged_next"]
    if waiting := [name for name in found.outcomes["not_judged"] if name not in there]:
        lines.append(f"Not judged by their outcomes yet, which are due: {english.named(waiting)}.")
    if there:
        lines.append(f"Their outcomes are there, and the loop judges them at its next turn: {english.named(there)}.")
    if found.quarantine:
        lines.append(found.quarantine["sentence"])
    if found.next_file:
        lines.append(f"The next file of decisions is due by {found.next_file[:10]}.")
    if found.exploration:
        lines.append(found.exploration["sentence"])
    lines += [f"Case {c['id']} ({c['state']}): {c['sentence']}" for c in found.open_cases] or ["No open case."]
    for case in found.unresolved:
        diagnosis, since = case["diagnosis"].replace("_", " "), when(case["opened_at"])[:10]
        lines.append(f"Unresolved since {since}: case {case['id']} found {diagnosis}. The champion still serves.")
    if found.unsent_alerts:
        first = found.unsent_alerts[0]
        count = counted(len(found.unsent_alerts), "alert")
        lines.append(f"{count} did not reach {first['channel']}: {first['problem'] or 'not sent yet'}.")
    lines += _followed(found)
    named = "" if config == CONFIG else f" -c {shlex.quote(str(config))}"
    for step, word in zip(found.next, ("Next", *["Then"] * len(found.next)), strict=False):
        lines.append(f"{word}: {step['command']}{named}  ({step['why']})")
    Console(as_json).answer(found, *lines)


def _followed(found: "StatusResult") -> list[str]:
    """How what follows the loop stands: shadows, and what goes to other tools."""
    lines = [] if found.shadow is None else [shadow["sentence"] for shadow in found.shadow["versions"]]
    for state, waits in (
        (found.mirror, "The mirror waits"),
        (found.lineage, "Lineage events wait"),
        (found.shadow, "A shadow waits"),
    ):
        if state is not None and state["problem"]:
            lines.append(f"{waits} ({counted(state['failures'], 'failure')}): {state['problem']}")
    return lines


def _champion(found: "StatusResult") -> list[str]:
    """Who serves, and how that does by outcomes."""
    champion = found.champion
    if champion is None:
        return ["No champion yet."]
    version, auc = champion["version"], f"AUC {champion['auc']:.3f} at training"
    lines = [f"Champion: version {version} ({champion['learner']}), {auc}, since {when(champion['since'])}"]
    if immature := champion["training"].get("immature"):
        lines.append(f"It was trained without {immature:,} rows whose outcome was not final.")
    judged = found.realised
    if judged is not None:
        lines.append(judged["sentence"])
    if judged is None or judged["model_version"] != version:
        lines.append(f"Version {version} itself is not judged by outcomes yet.")
    return lines


def _last_done(found: "StatusResult") -> list[str]:
    """When the last cycle finished and the record was signed last, or what is wrong with either."""
    lines = []
    for what, state, at in (
        ("Last finished cycle", found.loop, found.loop["finished_at"]),
        ("Last signed checkpoint", found.trust, (found.trust["checkpoint"] or {}).get("at")),
    ):
        if state["problem"] is not None:
            lines.append(state["problem"])
        elif at is not None:
            lines.append(f"{what}: {lasting(state['age_seconds'] or 0.0)} ago, {when(at)} UTC.")
    return lines


def drift(
    config: ConfigOption = CONFIG,
    windows: Annotated[int, typer.Option(min=1, help="How many of the newest windows.")] = 6,
    as_json: JsonOption = False,
) -> None:
    """Show the newest windows, their findings and diagnoses."""
    document = open_portfolio(config).drift(windows).windows
    rows = []
    for window in document:
        marked = [f["subject"] for f in window["findings"] if f["severity"] in {"drifted", "severe", "fault"}]
        subjects = list(dict.fromkeys(marked))
        more = f" and {len(subjects) - SHOWN} more" if len(subjects) > SHOWN else ""
        named = ", ".join(subjects[:SHOWN]) + more or "–"
        rows.append((window["name"], window["decisions"], window["diagnosis"], window["action"], named))
    lines = [table(("window", "decisions", "diagnosis", "action", "marked"), rows)] if rows else ["No window yet."]
    lines += [f"{window['name']}: {window['sentence']}" for window in document]
    Console(as_json).answer(document, *lines)


def decisions(
    customer: Annotated[str | None, typer.Option(help="Of this customer.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="From this day on, such as 2025-06-01.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Up to this day, which counts.")] = None,
    low: Annotated[float | None, typer.Option(min=0, max=1, help="Least PD, such as 0.2.")] = None,
    high: Annotated[float | None, typer.Option(min=0, max=1, help="Greatest PD.")] = None,
    window: Annotated[str | None, typer.Option(help="In this window, by name or number.")] = None,
    version: Annotated[int | None, typer.Option(help="By this model version.")] = None,
    decision: Annotated[Literal["approve", "decline"] | None, typer.Option(help="approve or decline.")] = None,
    outcome: Annotated[
        Literal["defaulted", "paid", "unknown"] | None, typer.Option(help="defaulted, paid or unknown.")
    ] = None,
    grade: Annotated[
        Literal["low", "medium", "high", "very_high"] | None, typer.Option(help="low, medium, high or very_high.")
    ] = None,
    flag: Annotated[Literal["yes", "no"] | None, typer.Option(help="Whether something was flagged.")] = None,
    segment: Annotated[str | None, typer.Option(metavar="FEATURE=VALUE", help="A category's value.")] = None,
    order: Annotated[Literal["newest", "oldest"], typer.Option(help="newest or oldest first.")] = "newest",
    limit: Annotated[int, typer.Option(min=1, help="How many are listed.")] = 20,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="All that are found, as .csv or .parquet, and no list.")
    ] = None,
    reasons: Annotated[
        bool, typer.Option("--reasons", help="With why, for --out or --json: texts for letters.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List decisions, or write all that are found to a file.

    The filters are those of the page. Who read which decisions is on record.
    """
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise ConfigError(f"{out} is written as its name says: use one that ends with .csv or .parquet.")
    if reasons and out is None and not as_json:
        raise ConfigError("Reasons are too long for a list: name a file with --out, or ask for --json.")
    frames, console = open_portfolio(config).frames, Console(as_json)
    wanted = int(window) if window is not None and window.isdigit() else window
    found = frames.decisions(
        customer=customer, since=since, until=until, low=low, high=high, window=wanted, version=version,
        decision=decision, outcome=outcome, grade=grade, flag=flag, segment=segment, order=order,
        limit=limit if out is None else None, reasons=reasons,
    )  # fmt: skip
    if out is not None:
        _save(found, out)
        console.answer({"file": str(out), "decisions": len(found)}, f"{len(found):,} decisions are in {out}.")
        return
    columns = found.columns
    rows = [
        (str(number), customer_id, time, f"{pd:.1%}", "decline" if declined else "approve", str(model), _BECAME[known])
        for number, customer_id, time, pd, declined, model, known in zip(
            *(columns[name] for name in _LISTED), strict=True
        )
    ]
    head = ("decision", "customer", "time", "PD", "decided", "version", "outcome")
    document = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    console.answer(document, table(head, rows) if rows else "No decision is like that.")


_LISTED: Final = ("decision_id", "customer_id", "time", "probability", "declined", "model_version", "defaulted")
_BECAME: Final = {None: "", True: "defaulted", False: "paid"}


def _save(found: "TableResult", out: Path) -> None:
    """Write the rows as the file's name says."""
    try:
        if out.suffix == ".csv":
            from pyarrow.csv import write_csv

            write_csv(found.arrow(), out)
        else:
            from pyarrow.parquet import write_table

            write_table(found.arrow(), out)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror or error}.") from None


def replay(
    decision_id: Annotated[str, typer.Argument(help="The decision_id of an answer.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Score a logged decision again with its model, and compare."""
    found = open_portfolio(config).replay(decision_id)
    inputs = table(("feature", "value"), list(found.features.items()))
    reasons = [f"  {reason['text']} ({reason['contribution']:+.3f})" for reason in found.reasons]
    shadows = [
        f"Version {one['version']} said {one['probability']} as a shadow; scored again it is "
        f"{'the same' if one['identical'] else 'another'}."
        for one in found.shadows
    ]
    Console(as_json).answer(found, inputs, *reasons, found.sentence, *shadows)
    if not found.identical:
        raise typer.Exit(1)
