"""Commands that show where things stand, and prove a decision."""

from typing import Annotated

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption, open_portfolio
from riskloop.console import Console, table


def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show what serves, the last window and the open cases."""
    document = open_portfolio(config).status()
    champion, window = document["champion"], document["last_window"]
    lines = [f"{document['portfolio']} · policy {document['policy']} · {document['decisions']:,} decisions"]
    lines.append(
        "No champion yet; run `riskloop train`."
        if champion is None
        else f"Champion: version {champion['version']} ({champion['learner']}), AUC {champion['auc']:.4f}, "
        f"since {champion['since']}"
    )
    if window:
        lines.append(f"Last window: {window['name']}, {window['decisions']:,} decisions: {window['sentence']}")
    if champion is not None:
        lines.append(document["outcomes"]["sentence"])
    if waiting := document["outcomes"]["not_judged"]:
        lines.append(f"Not judged by their outcomes yet, which are due: {', '.join(waiting)}.")
    if document["next_file"]:
        lines.append(f"The next file of decisions is due by {document['next_file'][:10]}.")
    if document["exploration"]:
        lines.append(document["exploration"]["sentence"])
    lines += [f"Case {c['id']} ({c['state']}): {c['sentence']}" for c in document["open_cases"]] or ["No open case."]
    for case in document["unresolved"]:
        found, since = case["diagnosis"].replace("_", " "), case["opened_at"][:10]
        lines.append(
            f"Unresolved since {since}: case {case['id']} found {found}. Version {champion['version']} still serves."
        )
    Console(as_json).answer(document, *lines)


def drift(
    config: ConfigOption = CONFIG,
    windows: Annotated[int, typer.Option(min=1, help="How many of the newest windows.")] = 6,
    as_json: JsonOption = False,
) -> None:
    """Show the newest windows, their findings and diagnoses."""
    document = open_portfolio(config).drift(windows)
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
    document = open_portfolio(config).replay(decision_id)
    inputs = table(("feature", "value"), list(document["features"].items()))
    reasons = [f"  {reason['text']} ({reason['contribution']:+.3f})" for reason in document["reasons"]]
    Console(as_json).answer(document, inputs, *reasons, document["sentence"])
    if not document["identical"]:
        raise typer.Exit(1)
