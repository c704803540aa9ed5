"""Writes the reference pages from the code: commands, HTTP, Python, metrics, errors. The settings have their own page.

Run: python scripts/reference.py FOLDER. `make docs` does it with every build, so none of these pages is committed.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

import riskloop
from riskloop.app import create_app
from riskloop.cli.tree import app
from riskloop.core import errors
from riskloop.portfolio import Portfolio
from riskloop.serve.docs import document
from riskloop.store.home import Home

ROOT = Path(riskloop.__file__).parent
EXAMPLE = """
[portfolio]
name = "example"
target = "default"

[features.income]
kind = "number"
"""
METRICS = ("serve/metrics.py", "serve/portfolio_metrics.py")


def write(folder: Path) -> None:
    """All pages into a folder."""
    folder.mkdir(exist_ok=True)
    for name, page in (
        ("commands", commands()),
        ("http", http()),
        ("python", python()),
        ("metrics", metrics()),
        ("errors", error_codes()),
    ):
        (folder / f"{name}.md").write_text(page, encoding="utf-8")


def leaves(command: Any, words: tuple[str, ...] = ("riskloop",)) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed."""
    below = getattr(command, "commands", None)  # of a group
    if below is None:
        yield " ".join(words), command
        return
    for name, one in below.items():
        yield from leaves(one, (*words, name))


def commands() -> str:
    """Every command with what it prints for --help."""
    parts = ["# Commands", "", "What `--help` prints. Exit codes are those of the [errors](errors.md); 0 is success."]
    for words, command in leaves(typer.main.get_command(app)):
        with command.make_context(words, [], resilient_parsing=True, max_content_width=100) as context:
            parts += ["", f"## {words}", "", "```text", command.get_help(context), "```"]
    return "\n".join([*parts, ""])


def http() -> str:
    """Every endpoint of the OpenAPI document."""
    described = openapi()
    parts = [
        "# HTTP",
        "",
        "The running server shows the same with all schemas at `/docs` and `/openapi.json`. Errors are RFC 9457 "
        "problem documents with a `code` of the [errors](errors.md).",
        "",
        "| method | path | what it does | answers |",
        "|---|---|---|---|",
    ]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            answers = ", ".join(operation["responses"])
            said = " ".join(operation.get("description", operation.get("summary", "")).split("\n\n")[0].split())
            parts.append(f"| {method.upper()} | `{path}` | {said} | {answers} |")
    return "\n".join([*parts, ""])


def openapi() -> dict[str, Any]:
    """The OpenAPI document of a portfolio of one feature that has no champion yet."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "riskloop.toml").write_text(EXAMPLE, encoding="utf-8")
        with closing(Home.open(Path(folder))) as home:
            pages = create_app(home, Portfolio(home)).pages
            return document(pages, pages.state.service)


def python() -> str:
    """The public names, for autodoc to fill in."""
    parts = ["# Python", "", "Everything here is imported from `riskloop`. Names and signatures are held by a test."]
    results = sorted(n for n in riskloop.__all__ if n.endswith("Result"))
    for title, names in (("Portfolio", ["Portfolio"]), ("Results", results)):
        parts += ["", f"## {title}"]
        for name in names:
            module = inspect.getmodule(getattr(riskloop, name))
            parts += ["", "```{eval-rst}", f".. autoclass:: {module.__name__}.{name}", "   :members:", "```"]  # type: ignore[union-attr]
    return "\n".join([*parts, ""])


def metrics() -> str:
    """Every metric with its text."""
    parts = ["# Metrics", "", "What `/metrics` gives to Prometheus. A counter's name ends in `_total` there."]
    parts += ["", "| metric | meaning |", "|---|---|"]
    parts += [f"| `{name}` | {text} |" for name, text in sorted(set(declared_metrics()))]
    return "\n".join([*parts, ""])


def declared_metrics() -> Iterator[tuple[str, str]]:
    """Each name of a metric that the source has, with the text beside it."""
    for file in METRICS:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        named = {
            node.targets[0].id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            values = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
            said = [v.value if isinstance(v, ast.Constant) else named.get(getattr(v, "id", "")) for v in values]
            for name, text in pairwise(said):
                if isinstance(name, str) and name.startswith("riskloop_"):
                    yield name, str(text)


def error_codes() -> str:
    """The tree of errors: code, HTTP status, exit code, meaning."""
    parts = ["# Errors", "", "| code | class | status | exit | meaning |", "|---|---|---|---|---|"]
    for found in vars(errors).values():
        if isinstance(found, type) and issubclass(found, errors.RiskloopError):
            meaning = " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split())
            parts.append(f"| `{found.code}` | `{found.__name__}` | {found.status} | {found.exit_code} | {meaning} |")
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    write(Path(sys.argv[1]))
