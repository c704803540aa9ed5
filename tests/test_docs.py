"""What the documents promise is held against the code."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest
import typer

import riskloop
from riskloop.cli.tree import app
from riskloop.core import errors
from riskloop.core.settings import Settings

ROOT = Path(__file__).parent.parent
leaves = runpy.run_path(str(ROOT / "scripts" / "reference.py"))["leaves"]


def test_every_setting_is_documented() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "settings_doc.py"))["page"]()
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page + "\n", "run: python scripts/settings_doc.py"


def test_every_setting_says_what_it_means() -> None:
    for name, section in Settings.model_fields.items():
        for entry, field in getattr(section.annotation, "model_fields", {}).items():
            assert field.description, f"{name}.{entry} has no description"


def test_the_changelog_names_the_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == riskloop.__version__


TREE = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.RiskloopError)]


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"(?:[├└]── |^    )(\w+)\s+(\d{3})\s+exit (\d+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted((c.__name__, str(c.status), str(c.exit_code)) for c in TREE)


def test_every_error_has_its_own_code_and_a_docstring() -> None:
    codes = [c.code for c in TREE]
    assert len(set(codes)) == len(codes)
    assert all(c.__doc__ and 400 <= c.status < 600 and 0 < c.exit_code < 126 for c in TREE)


def test_links_between_documents_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = dict(leaves(typer.main.get_command(app)))


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of these languages, without the indentation of a list."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [dedent(text) for _, language, text in found if language in languages]


def written_commands() -> list[tuple[str, list[str]]]:
    """Every command of riskloop's that a page shows, with the page's name."""
    found = []
    for page in PAGES:
        for block in blocks(page, "", "sh", "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = (
                    shlex.split(re.sub(r"^\$ ", "", line), comments=True) if re.match(r"(\$ )?riskloop ", line) else []
                )
                if words:
                    found.append((page.name, words))
    return found


@pytest.mark.parametrize(("page", "words"), written_commands(), ids=lambda value: " ".join(value)[:80])
def test_a_command_that_a_page_shows_exists_with_its_options(page: str, words: list[str]) -> None:
    depth = next((n for n in (3, 2) if " ".join(words[:n]) in COMMANDS), None)
    if depth is None:
        alone: tuple[list[str], ...] = ([], ["--help"], ["--version"], ["--install-completion"])
        assert words[1:] in alone, f"{page}: no such command: {' '.join(words)}"
        return
    command = COMMANDS[" ".join(words[:depth])]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    asked = {word.split("=")[0] for word in words[depth:] if re.match(r"--?[a-z]", word)}
    assert asked <= known, f"{page}: {' '.join(words)} has no {asked - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_of_a_page_can_be_read(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")
    for block in blocks(page, "toml"):
        found = tomllib.loads(block.replace("…", "x"))
        unknown = {
            f"{section}.{key}"
            for section, entries in found.items()
            if section not in {"features", "learners", "prepare", "tool"} and isinstance(entries, dict)
            for key in entries
            if key not in Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        }
        assert not unknown, f"{page.name} shows settings that do not exist: {sorted(unknown)}"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs, ignore=shutil.ignore_patterns("reference", "_build"))
    for beside in ("scripts", "src", "deploy"):
        (tmp_path / beside).symlink_to(ROOT / beside)
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", docs, tmp_path / "site"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {f"reference/{name}.html" for name in ("commands", "http", "python", "metrics", "errors")} <= pages
    for path in (tmp_path / "site").rglob("*.html"):  # a reader's browser fetches nothing from elsewhere
        assert not re.search(r'(?:src|<link[^>]*href)="https?://', path.read_text(encoding="utf-8")), path.name
