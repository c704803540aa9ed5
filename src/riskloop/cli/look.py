"""Commands that show where things stand, and prove a decision."""

from typing import TYPE_CHECKING, Annotated

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table
from riskloop.core.english import counted

if TYPE_CHECKING:
    from riskloop.results import StatusResult


def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show the champion, the last window and the open cases."""
    found = open_portfolio(config).status()
    champion, window = found.champion, found.last_window
    lines = [f"{found.portfolio} · policy {found.policy} · {found.decisions:,} decisions"]
    lines.append(
        "No champion yet; run `riskloop train`."
        if champion is None
        else f"Champion: version {champion['version']} ({champion['learner']}), AUC {champion['auc']:.4f}, "
        f"since {champion['since']}"
    )
    if champion and (immature := champion["training"].get("immature")):
        lines.append(f"It was trained without {immature:,} rows whose outcome was not final.")
    lines += _last_done(found)
    if window:
        lines.append(f"Last window: {window['name']}, {window['decisions']:,} decisions: {window['sentence']}")
    if champion is not None:
        lines.append(found.outcomes["sentence"])
    if waiting := found.outcomes["not_judged"]:
        lines.append(f"Not judged by their outcomes yet, which are due: {', '.join(waiting)}.")
    if found.quarantine:
        lines.append(found.quarantine["sentence"])
    if found.next_file:
        lines.append(f"The next file of decisions is due by {found.next_file[:10]}.")
    if found.exploration:
        lines.append(found.exploration["sentence"])
    lines += [f"Case {c['id']} ({c['state']}): {c['sentence']}" for c in found.open_cases] or ["No open case."]
    for case in found.unresolved:
        diagnosis, since = case["diagnosis"].replace("_", " "), case["opened_at"][:10]
        lines.append(f"Unresolved since {since}: case {case['id']} found {diagnosis}. The champion still serves.")
    if found.unsent_alerts:
        first = found.unsent_alerts[0]
        count = counted(len(found.unsent_alerts), "alert")
        lines.append(f"{count} did not reach {first['channel']}: {first['problem'] or 'not sent yet'}.")
    Console(as_json).answer(found, *lines)


def _last_done(found: "StatusResult") -> list[str]:
    """When the last cycle finished and the record was signed last, or what is wrong with either."""
    lines = []
    if found.loop["problem"] is not None:
        lines.append(found.loop["problem"])
    elif found.loop["finished_at"] is not None:
        lines.append(f"Last finished cycle: {found.loop['finished_at'][:19]}Z.")
    if found.trust["problem"] is not None:
        lines.append(found.trust["problem"])
    elif found.trust["checkpoint"] is not None:
        lines.append(f"Last signed checkpoint: {found.trust['checkpoint']['at'][:19]}Z.")
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
        named = ", ".join(dict.fromkeys(marked)) or "–"
        rows.append((window["name"], window["decisions"], window["diagnosis"], window["action"], named))
    lines = [table(("window", "decisions", "diagnosis", "action", "marked"), rows)] if rows else ["No window yet."]
    lines += [f"{window['name']}: {window['sentence']}" for window in document]
    Console(as_json).answer(document, *lines)


def replay(
    decision_id: Annotated[str, typer.Argument(help="The decision_id of an answer.")],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Score a logged decision again with its model, and compare."""
    found = open_portfolio(config).replay(decision_id)
    inputs = table(("feature", "value"), list(found.features.items()))
    reasons = [f"  {reason['text']} ({reason['contribution']:+.3f})" for reason in found.reasons]
    Console(as_json).answer(found, inputs, *reasons, found.sentence)
    if not found.identical:
        raise typer.Exit(1)
