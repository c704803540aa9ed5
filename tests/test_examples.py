"""The page of the example does what it says, command by command."""

import contextlib
import re
import runpy
import sys
from pathlib import Path

import pytest

from riskloop.cli import main

PAGE = (Path(__file__).parent.parent / "docs" / "examples.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def call(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", command.split())
    with contextlib.suppress(SystemExit):  # a refusal says nothing on standard output, and the page's words lack
        main()
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_the_example_leads_to_a_champion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "loans.py").write_text(blocks("python")[0], encoding="utf-8")
    runpy.run_path("loans.py")
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    said = [call(command, capsys, monkeypatch) for command in commands]
    init, train, listed, checked = said
    for column, role, kind in (
        ("LoanNr", "id", "number"), ("ApprovalDate", "time", "date"), ("NAICS", "input", "category"),
        ("GrAppv", "input", "number (amount)"), ("ChgOffDate", "ignored", "date"), ("Name", "ignored", "text"),
    ):  # fmt: skip
        assert f" {column} {role} {kind} " in init
    assert init.count("known only after the decision: ") == 2, init
    assert "Read as a default: 'CHGOFF'; as none: 'P I F'." in init
    assert "Version 1 is champion" in train
    assert "* 1 " in listed
    assert " 0 of them would be refused." in checked
