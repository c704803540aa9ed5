"""Every command in the order of the help: where it is, what it does, an example. Listing them imports none."""

import os
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """One command, or a group of commands."""

    module: str  # of riskloop.cli
    summary: str  # the first sentence of its help
    examples: str | dict[str, str]  # what follows the name; for a group by command

    @property
    def is_group(self) -> bool:
        """Whether other commands stand under this name."""
        return isinstance(self.examples, dict)


INDEX: Final[dict[str, dict[str, Entry]]] = {
    "Start": {
        "demo": Entry("operate", "Show the whole loop on an example portfolio, or on your CSV.", "--exit"),
        "init": Entry(
            "data",
            "Look at a history, column by column, and write a riskloop.toml.",
            "history.csv --target defaulted --time decided_on",
        ),
        "train": Entry("operate", "Train the learners and register the best model.", "history.csv"),
    },
    "Run": {
        "up": Entry("operate", "Serve and watch together.", "--port 8000"),
        "serve": Entry("operate", "Serve the API and the dashboard.", "--workers 2"),
        "watch": Entry("operate", "Run the loop's worker: monitor, diagnose, retrain, promote.", "--once"),
        "check": Entry(
            "data", "Say what of a file would be refused, flagged or drifted, by column; nothing is logged.", "june.csv"
        ),
        "score": Entry("operate", "Score a whole file: through the API, on all cores of this machine, or on Spark.",
                       "june.csv june_scored.csv"),
        "outcomes": Entry(
            "operate",
            "Hand in what happened to customers who were decided on, and up to when that is complete.",
            "defaults.csv --complete-until 2025-06-30",
        ),
    },
    "Look": {
        "status": Entry("look", "Show the champion, how it does, the open cases, and what to do next.", ""),
        "doctor": Entry("doctor", "Check config, store, champion, server, loop and feeds, and say what to mend.", ""),
        "drift": Entry("look", "Show the newest windows, their findings and diagnoses.", "--windows 3"),
        "decisions": Entry(
            "look", "List decisions, or write all that are found to a file.", "--decision decline --since 2025-06-01"
        ),
        "replay": Entry("look", "Score a logged decision again with its model, and compare.", "4711"),
        "backtest": Entry(
            "backtest",
            "Replay a history through the loop: would it have helped?",
            "history.csv --target defaulted --time decided_on --outcome-window 90d",
        ),
    },
    "Decide": {
        "models": Entry(
            "models",
            "The registered versions and who is champion.",
            {
                "list": "",
                "show": "3",
                "import": "card.xlsx --history history.csv --closed right",
                "at": "2025-06-01",
                "rebuild": "3",
                "compare": "1 3",
                "shadow": "",
                "promote": "3 --reason 'validated on 12 June'",
                "rollback": "--reason 'PDs of the new branch are off'",
                "sign": "--reason 'the key was lost'",
            },
        ),
        "cases": Entry(
            "cases",
            "Investigations, and what a person can decide in them.",
            {
                "list": "",
                "show": "3",
                "comment": "3 --note 'asked the branch'",
                "assign": "3 anna",
                "acknowledge": "3 --note 'I look into the feed'",
                "approve": "3 --note 'read the report' --evidence 1f2e3d4c5b6a",
                "reject": "3 --note 'too few customers of branch 7'",
                "close": "3 --note 'the feed writes pounds again'",
                "rescore": "3 corrected.csv rescored.csv",
                "release": "3 --note 'the rows are right: a new product'",
            },
        ),
    },
    "Papers": {
        "document": Entry(
            "document",
            "Reports of a model, a case or a period, as HTML, Word or PDF.",
            {"model": "3 --format docx", "case": "3 -o case-3.html", "period": "2025-01-01 2025-03-31"},
        ),
        "export": Entry(
            "export",
            "A model version as a table, as SQL, as one Python file, or in MLflow.",
            {
                "scorecard": "3 --format sql --dialect snowflake",
                "mlflow": "3 --uri http://127.0.0.1:5000",
                "python": "3 -o model.py",
                "schema": "--format pandera",
            },
        ),
        "audit": Entry("trust", "Show who did what, newest first.", "--by anna --since 2025-06-01 --csv audit.csv"),
        "verify": Entry(
            "trust", "Recompute everything on record, and hold it against its chain and the signed checkpoints.", ""
        ),
        "erase": Entry(
            "trust",
            "Erase who the decisions on a customer were about and what they were made on; "
            "the decisions stay on record.",
            "--customer 4711 --reason 'request of 12 June'",
        ),
        "retain": Entry("trust", "Take out what is older than [retention] says, into the archive.", "--dry-run"),
    },
    "Keep": {
        "alerts": Entry("alerts", "Slack, Teams, PagerDuty, mail, webhooks.", {"test": "", "list": ""}),
        "keys": Entry(
            "keys",
            "API keys and their roles.",
            {
                "create": "scoring --role score --expires 90d",
                "rotate": "scoring --grace 7d",
                "list": "",
                "revoke": "scoring",
            },
        ),
        "users": Entry(
            "users",
            "People who log in at the dashboard.",
            {
                "create": "anna --role view --role operate",
                "list": "",
                "password": "anna",
                "roles": "anna --role view",
                "revoke": "anna",
            },
        ),
        "backup": Entry("keep", "Write settings, records, models, pages and texts into a folder, with their hashes.",
                        "/backup/2025-06-01"),
        "restore": Entry(
            "keep",
            "Restore a backup. A riskloop.toml that is there already says which database to fill.",
            "/backup/2025-06-01 --config again/riskloop.toml",
        ),
        "migrate": Entry(
            "keep", "Bring the database's tables to this version of riskloop; every command does so when it starts.", ""
        ),
        "store": Entry(
            "keep", "The database as a whole.", {"copy": "sqlite:///riskloop.db postgresql://db.example/riskloop"}
        ),
    },
}  # fmt: skip
COMMANDS: Final[dict[str, Entry]] = {name: entry for part in INDEX.values() for name, entry in part.items()}
ABOUT: Final = "Runs a lender's probability-of-default model as a closed loop: train, serve, monitor, retrain, promote."
_OPTIONS: Final = (
    ("--version", "Print the version."),
    ("--install-completion", "Teach the shell that runs this to complete commands and options (bash, zsh, fish)."),
    ("--show-completion", "Print what --install-completion would install, to put it where you like."),
    ("-h, --help", "Show this message and exit. Every command has its own."),
)
WIDEST: Final = 100  # columns
_FIRST: Final = "Example: riskloop demo --exit"


def root_help() -> str:
    """The help of `riskloop` itself, as wide as the terminal, within reason."""
    width = _width()
    left = max(map(len, (*COMMANDS, *(name for name, _ in _OPTIONS)))) + 4
    lines = ["Usage: riskloop [OPTIONS] COMMAND [ARGS]...", "", *_wrapped(ABOUT, 2, width), "", "Options:"]
    lines += [line for name, text in _OPTIONS for line in _entry(name, text, left, width)]
    for heading, entries in INDEX.items():
        lines += ["", f"{heading}:"]
        lines += [line for name, entry in entries.items() for line in _entry(name, entry.summary, left, width)]
    return "\n".join([*lines, "", f"  {_FIRST}", ""])


def _width() -> int:
    """Columns of a help text."""
    try:
        return min(int(os.environ.get("COLUMNS") or os.get_terminal_size().columns), WIDEST)
    except (OSError, ValueError):  # no terminal
        return WIDEST


def _entry(name: str, text: str, left: int, width: int) -> list[str]:
    first, *more = _wrapped(text, left, width)
    return [f"  {name}".ljust(left) + first.lstrip(), *more]


def _wrapped(text: str, left: int, width: int) -> list[str]:
    """Words in lines; textwrap would take a fifth of the time that the whole help takes."""
    lines, line = [], ""
    for word in text.split():
        if line and left + len(line) + 1 + len(word) > width:
            lines.append(" " * left + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, " " * left + line]
