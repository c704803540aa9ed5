"""`riskloop doctor`: what is wrong, and how to mend it."""

import typer

from riskloop.cli.options import CONFIG, ConfigOption, JsonOption
from riskloop.console import Console
from riskloop.core.errors import UNWELL


def doctor(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Check config, store, champion, server, loop and feeds, and say what to mend.

    It only looks: nothing is written, and no table is changed. Exit code 14 when something does not work; a warning
    alone gives 0.
    """
    from riskloop.doctor import examine

    found = examine(config)
    lines = []
    for check in found.checks:
        lines.append(f"{check['state']:<8} {check['check']:<9} {check['says']}")
        lines += [f"{'':18} → {check['remedy']}"] if check["remedy"] else []
    Console(as_json).answer(found, *lines, found.sentence)
    if not found.well:
        raise typer.Exit(UNWELL)
