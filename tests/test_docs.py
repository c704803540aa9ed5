"""What the documents promise is held against the code."""

import re
import runpy
from pathlib import Path

import riskloop
from riskloop.core import errors
from riskloop.core.settings import Settings

ROOT = Path(__file__).parent.parent


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
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
