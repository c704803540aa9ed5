"""The shape of the house, held: one name for one thing, and imports that only go down."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import riskloop

SRC = Path(riskloop.__file__).parent
FILES = sorted(SRC.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = ("riskloop", *path.relative_to(SRC).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> Iterator[str]:
    """Every module of riskloop that a file imports, also inside functions; not what only the type checker reads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in checked:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("riskloop"):
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in MODULES else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("riskloop"))


def test_a_class_name_occurs_once() -> None:
    names = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = {name: {to for to in imported(path) if to != name} for name, path in MODULES.items()}
    done: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a circle: {' -> '.join((*above[above.index(name) :], name))}"
        if name not in done:
            for to in sorted(graph.get(name, ())):
                walk(to, (*above, name))
            done.add(name)

    for name in graph:
        walk(name, ())


def test_nothing_inside_uses_the_front_door() -> None:
    """`riskloop` itself is for those outside; it hands out what lies above, so who uses it inside looks up."""
    assert {name: "riskloop" for name, path in MODULES.items() if "riskloop" in imported(path)} == {}


def test_files_stay_readable() -> None:
    """About 400 lines; the one table of settings may be longer."""
    long = {module_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: lines for name, lines in long.items() if lines > 500 and name != "riskloop.core.settings"} == {}


# Where a whole portfolio is put together or driven. Everything else takes the stores and settings that it needs.
HOME = re.compile(
    r"riskloop\.(app|several|portfolio|deciding|record|frames|plots|views|loop(\..+)?|backtest\.(policies|replay|study)|serve\.(service|reload|portfolio_metrics)|store\.backup|document\.(make|model|case|period)|web\.overview)"
)


def test_the_whole_home_is_handed_only_to_those_who_drive_it() -> None:
    takers = [
        module_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for given in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if given.annotation is not None and ast.unparse(given.annotation) == "Home"
    ]
    assert [module for module in takers if not HOME.fullmatch(module)] == []
    assert len(takers) <= 44
