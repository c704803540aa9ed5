"""The shape of the house, held: one name for one thing, and imports that only go down."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import riskloop

SRC = Path(riskloop.__file__).parent
TESTS = Path(__file__).parent
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


# Where a module's behaviour shows elsewhere: a command in a terminal, a page in a browser, a step in a whole cycle.
# Of everything else the tests are in the file of the same name below `tests`, or import it themselves.
HELD_BY: Final = {
    "backtest/test_command.py": "backtest.runs cli.backtest",
    "backtest/test_history.py": "backtest.past",
    "backtest/test_study.py": "backtest.oracle",
    "batch/test_client.py": "batch.api",
    "batch/test_local.py": "batch.files batch.outputs",
    "core/stats/test_estimation.py": "core.stats.measures",
    "data/test_exports.py": "data.opening data.parse data.sheets",
    "data/test_guesses.py": "data.guess data.survey data.targets",
    "data/test_roles.py": "data.ids data.labels data.special",
    "data/test_ways_in.py": "data.refused data.words",
    "document/test_case.py": "document.keeping document.texts",
    "document/test_formats.py": "cli.document document.make",
    "document/test_model.py": "document.making document.quality document.record document.windows",
    "export/test_export.py": "cli.export export.card export.plain export.script export.sql",
    "loop/test_alerts.py": "alerts.heartbeat alerts.message alerts.outbox alerts.silence cli.alerts",
    "loop/test_bulk.py": "loop.engines",
    "loop/test_compare.py": "loop.promotion",
    "loop/test_follow.py": "loop.first",
    "loop/test_lineage.py": "export.lineage",
    "loop/test_making.py": "loop.trainer store.history",
    "loop/test_sound.py": "loop.check",
    "monitor/test_partial.py": "monitor.compared monitor.scaled",
    "monitor/test_performance.py": "monitor.breakdown",
    "monitor/test_quality.py": "monitor.plausible",
    "scoring/test_model.py": "scoring.columns",
    "serve/test_every_way.py": "scoring.replay scoring.writers",
    "serve/test_predict.py": "serve.reload",
    "serve/test_routes.py": "serve.docs serve.metrics serve.portfolio_metrics",
    "serve/test_several.py": "several",
    "simulation/test_scenarios.py": "simulation.catalogue simulation.faults",
    "store/test_checkpoint_places.py": "store.checkpoint_store",
    "store/test_decisions.py": "store.frames",
    "store/test_erasure.py": "store.erased store.holding",
    "store/test_segments.py": "store.pieces",
    "store/test_sqlite.py": "store.wal",
    "test_cli.py": "cli.cases cli.data cli.keys cli.look cli.models cli.operate cli.options cli.trust",
    "test_cli_users.py": "cli.users",
    "test_docs.py": "version",
    "test_integration.py": "cli.keep demo.story demo.traffic",
    "test_public.py": "core.progress",
    "test_tutorials.py": "demo",
    "train/test_foreign.py": (
        "train.foreign.boosters train.foreign.columns train.foreign.estimator train.foreign.history"
    ),
    "web/test_cases.py": "commands web.actions web.challenger web.incident web.orders web.pages",
    "web/test_drift.py": "web.figures web.findings web.words",
    "web/test_login.py": "identity.logins",
    "web/test_models.py": "loop.side_by_side web.manifests",
    "web/test_people.py": "serve.case_routes",
    "web/test_shell.py": "web.assets web.guard",
}


def directly_tested() -> set[str]:
    """Modules with a test file of their name, and modules that a test imports."""
    mirrored = {
        name
        for name, path in MODULES.items()
        if (TESTS / path.relative_to(SRC).parent / f"test_{path.stem.lstrip('_')}.py").exists()
    }
    imports = {name for path in TESTS.rglob("*.py") for name in imported(path)}
    return mirrored | imports


def test_every_module_has_its_test() -> None:
    """A module is tested by the file of its name, by a test that imports it, or by the file that the table names."""
    untested = {
        name.removeprefix("riskloop.")
        for name in MODULES.keys() - directly_tested()
        if defines(name)
        and ".migrations.versions." not in name  # each is run, up and down, by store/test_migrations.py
    }
    named = [module for modules in HELD_BY.values() for module in modules.split()]
    assert untested - set(named) == set(), "a new module wants its test"
    assert {module for module in named if f"riskloop.{module}" not in MODULES} == set()
    assert [file for file in HELD_BY if not (TESTS / file).is_file()] == []


def defines(module: str) -> bool:
    """Whether there is something to test: more than the front door of a package, or a script of one line."""
    body = ast.parse(MODULES[module].read_text(encoding="utf-8")).body
    constants = MODULES[module].name != "__init__.py" and any(isinstance(node, ast.Assign) for node in body)
    return constants or any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in body)


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
