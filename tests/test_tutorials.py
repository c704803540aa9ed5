"""The tutorials do what they say: each command is run on the demo's portfolio, and answers what stands below it."""

import contextlib
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from getpass import getuser
from pathlib import Path

import pytest

from riskloop.cli import main
from tests.web.browser import chromium, settled, watched
from tests.web.story import served

PAGES = Path(__file__).parent.parent / "docs" / "tutorials"
Call = Callable[[str], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `riskloop demo` has run; the whole loop, with its promotion, in about a minute."""
    folder = tmp_path_factory.mktemp("tutorials")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["riskloop", "demo", "--exit", "--json"])
        with contextlib.suppress(SystemExit):
            main()
    return folder


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "400")

    def run(command: str) -> str:
        monkeypatch.setattr(sys, "argv", words(command))
        with contextlib.suppress(SystemExit):
            main()
        said = capsys.readouterr()
        return said.out + said.err

    return run


def words(command: str) -> list[str]:
    return [part.strip('"') for part in re.findall(r'"[^"]*"|\S+', command)]


def steps(page: str) -> Iterator[tuple[list[str], list[str]]]:
    """Blocks of commands, each with the lines that are shown below it."""
    text = (PAGES / page).read_text(encoding="utf-8")
    for block in re.finditer(r"```sh\n(.*?)```(?:\s*```text\n(.*?)```)?", text, re.DOTALL):
        yield block[1].splitlines(), (block[2] or "").splitlines()


def is_said(line: str, said: str) -> bool:
    """Whether the answer has these words in this order; … stands for anything."""
    pattern = r".*".join(re.escape(part.strip()) for part in line.split("…") if part.strip())
    return re.search(pattern.replace(r"\ ", r"\s+"), said) is not None


def written(page: Path, *but: str) -> list[str]:
    """Every text of a document in its order, without hashes and times of writing, and without the sections ``but``."""
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for section in but:
        text = re.sub(rf'<section id="{section}">.*?</section>', "", text, flags=re.DOTALL)
    text = re.sub(r"[0-9a-f]{12,64}", "#", text)
    text = re.sub(r"Written [^<]*? UTC by", "Written by", text)
    return [part.strip() for part in re.split(r"<[^>]+>", text) if part.strip()]


SCRIPT = PAGES.parents[1] / "scripts" / "example_documents.py"
EXAMPLES = PAGES.parent / "examples"


def test_the_example_document_is_what_the_command_makes(folder: Path, tmp_path: Path) -> None:
    """Every word and number of it, but for who answered while a promotion was under way: that is a matter of time."""
    runpy.run_path(str(SCRIPT))["write_demo"](folder / "demo", tmp_path)
    made, example = (written(place / "demo-champion.html", "concentration") for place in (tmp_path, EXAMPLES))
    assert made == example
    assert len(made) > 1000


@pytest.mark.skipif("RISKLOOP_SCREENSHOTS" not in os.environ, reason="taken with RISKLOOP_SCREENSHOTS=1")
def test_the_readmes_picture_is_of_the_demo(folder: Path) -> None:
    size = {"width": 1320, "height": 1250}
    with (
        chromium() as browser,
        served(folder / "demo", command="up") as url,
        watched(browser, url, viewport=size) as page,
    ):
        page.goto(url)
        settled(page)
        page.wait_for_timeout(500)  # for the last frame
        page.screenshot(path=PAGES.parent / "images" / "demo.png")


@pytest.mark.skipif("RISKLOOP_UCI" not in os.environ, reason="RISKLOOP_UCI names no file of the UCI customers")
def test_the_example_of_the_uci_customers_is_what_the_command_makes(tmp_path: Path) -> None:
    """Its days are those of the writing, its people those who ran the commands."""
    runpy.run_path(str(SCRIPT))["write_uci"](Path(os.environ["RISKLOOP_UCI"]), tmp_path)
    made, example = (
        [
            re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d UTC)?", "a day", text)
            for text in written(place / "uci-champion.html", "people")
        ]
        for place in (tmp_path, EXAMPLES)
    )
    assert made == [getuser() if text == "root" else text for text in example]


@pytest.mark.parametrize("page", ["analyst.md", "validator.md", "engineer.md", "approver.md"])
def test_a_tutorial_answers_as_it_says(page: str, call: Call) -> None:
    found = list(steps(page))
    assert len(found) >= 4
    for commands, lines in found:
        said = "\n".join(call(command) for command in commands)
        assert not re.search(r"Traceback|Usage: .*\n.*Try", said), said
        for line in lines:
            assert is_said(line, said), f"{page}: {commands} does not say {line!r}, but:\n{said}"


def test_the_words_of_a_page_are_looked_for() -> None:
    assert is_said("… 18,000 decisions …", "Demo · 18,000  decisions")
    assert not is_said("… 18,001 decisions …", "Demo · 18,000 decisions")
