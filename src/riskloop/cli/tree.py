"""The commands as Typer knows them. Each is imported when it is asked for, so that no command waits for another's."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from riskloop.cli.index import COMMANDS, root_help
from riskloop.version import __version__


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each made when it is first looked up."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS


def _command(name: str) -> Any:
    if name not in COMMANDS:
        raise KeyError(name)
    entry = COMMANDS[name]
    module = import_module(f"riskloop.cli.{entry.module}")
    if isinstance(entry.examples, str):
        alone = _typer(help=None)
        alone.command(name)(getattr(module, name))
        command = typer.main.get_command(alone)
        _show_example(command, name, entry.examples)
        return command
    module.app.rich_markup_mode = None
    group = typer.main.get_group(module.app)
    group.name = name
    for inner, example in entry.examples.items():
        _show_example(group.commands[inner], f"{name} {inner}", example)
    return group


def _show_example(command: Any, name: str, words: str) -> None:
    command.epilog = f"Example: riskloop {name} {words}".rstrip()


def _typer(**options: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **options)


class Root(TyperGroup):
    """`riskloop` itself: its help comes from the index."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Commands()

    def get_help(self, ctx: Any) -> str:
        """The same text that `riskloop --help` writes without Typer."""
        return root_help().rstrip("\n")


app = typer.Typer(
    name="riskloop",
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Handle the options before any command."""
    if version:
        typer.echo(f"riskloop {__version__}")
        raise typer.Exit
