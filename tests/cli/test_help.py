"""Help and completion: from the index, at once, and true."""

import os
import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer

from riskloop import cli
from riskloop.cli.index import COMMANDS, root_help
from riskloop.cli.tree import app

ROOT: Any = typer.main.get_command(app)


def leaves(group: Any = ROOT, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        words = (*path, name)
        found += leaves(command, words) if hasattr(command, "commands") else [(words, command)]
    return found


LEAVES = leaves()
NAMES = [" ".join(words) for words, _ in LEAVES]


def said(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "riskloop.cli", *words], capture_output=True, text=True, env=os.environ | environment
    )
    assert done.stderr == ""
    return done.stdout


def test_the_index_says_what_the_commands_say() -> None:
    for name, entry in COMMANDS.items():
        assert " ".join(ROOT.commands[name].help.split("\n\n")[0].split()) == entry.summary, name
        if entry.is_group:
            assert set(ROOT.commands[name].commands) == set(entry.examples), f"an example for each of {name}"


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=NAMES)
def test_the_example_of_every_command_can_be_read(words: tuple[str, ...], command: Any) -> None:
    """Names, options and arguments of the example are those of the command; nothing is run."""
    example = shlex.split(command.epilog.removeprefix("Example: riskloop "))
    assert tuple(example[: len(words)]) == words
    context = command.make_context(" ".join(words), example[len(words) :])
    assert context.command is command


@pytest.mark.parametrize("words", [("score",), ("models", "promote"), ("cases",)])
def test_help_names_the_command_and_shows_an_example(words: tuple[str, ...], capsys: Any, monkeypatch: Any) -> None:
    pages = []
    for flag in ("-h", "--help"):
        monkeypatch.setattr(sys, "argv", ["riskloop", *words, flag])
        cli.main()
        pages.append(capsys.readouterr().out)
    assert pages[0] == pages[1]
    assert f"riskloop {' '.join(words)} [OPTIONS]" in pages[0] or words == ("cases",)
    assert f"Example: riskloop {' '.join(words)} " in pages[0] or words == ("cases",)


def test_the_help_of_all_is_the_same_by_either_way_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = root_help()
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(option in text for parameter in ROOT.params for option in parameter.opts)
    assert ROOT.get_help(ROOT.make_context("riskloop", [], resilient_parsing=True)) == text.rstrip("\n")


def test_help_loads_no_library() -> None:
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['riskloop', '-h']; from riskloop.cli import main; main();"
        "print([m for m in ('typer', 'rich', 'json') if m in set(sys.modules) - before], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_command_loads_only_its_own_module() -> None:
    code = (
        "import sys; sys.argv = ['riskloop', 'score', '-h']; from riskloop.cli import main; main();"
        "print(sorted(m for m in sys.modules if m.startswith('riskloop.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == str([f"riskloop.cli.{name}" for name in ("index", "operate", "options", "tree")])


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("riskloop mod", "models"), ("riskloop models pro", "promote"), ("riskloop score --eng", "--engine")],
)
def test_the_shells_are_answered(typed: str, offered: str) -> None:
    words = typed.split()
    bash = said(_RISKLOOP_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1))
    assert bash.split() == [offered]
    fish = said(_RISKLOOP_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS=typed, _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert fish.startswith(offered)
    assert offered in said(_RISKLOOP_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=typed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_asks_this_program(shell: str) -> None:
    script = said(_RISKLOOP_COMPLETE=f"source_{shell}")
    assert "_RISKLOOP_COMPLETE=complete_" in script
