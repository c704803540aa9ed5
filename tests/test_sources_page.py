"""The page about sources does what it says, command by command, on a real database and an object store."""

import re
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from riskloop.cli import main
from tests.data.lender import history
from tests.objects import Bucket
from tests.postgres import Server

PAGE = (Path(__file__).parent.parent / "docs" / "howto" / "sources.md").read_text(encoding="utf-8")
COMMANDS = re.search(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LAKE = "postgresql+psycopg://risk@db.bank/lake?password_env=LAKE_PASSWORD"


def test_the_commands_of_the_page(
    tmp_path: Path,
    postgres: Server,
    bucket: Bucket,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{bucket.host}")
    monkeypatch.setenv("LAKE_PASSWORD", "trusted anyway")
    url = postgres.empty()
    engine = create_engine(url, poolclass=NullPool)
    people = history(1300)
    new = people[1200:].drop(columns="default").assign(applied="2025-07-01")
    people[:1200].to_sql("loans", engine, index=False)
    new.to_sql("applicants", engine, index=False)
    people[1200:].rename(columns={"default": "defaulted"}).to_sql("repayments", engine, index=False)
    bucket.put("2025-07/applicants.csv", new.to_csv(index=False).encode())
    assert COMMANDS is not None
    for line in COMMANDS[1].splitlines():
        asked = line.replace(LAKE, url.replace("?", "?password_env=LAKE_PASSWORD&"))
        monkeypatch.setattr(sys, "argv", shlex.split(asked))
        main()
        if line.startswith("riskloop init"):
            config = Path("riskloop.toml")
            config.write_text(config.read_text().replace("[train]\n", '[train]\nlearners = ["scorecard"]\n'))
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "Version 1 is champion" in said
    assert "100 rows, 0 of them would be refused" in said
    assert said.count("Scored 100 rows") == 2
    assert "Recorded 100 outcomes" in said
    with engine.connect() as connection:
        scores = pd.read_sql("SELECT * FROM scores ORDER BY decision_id", connection)
    assert scores["loan_id"].tolist() == sorted(new["loan_id"])
    assert scores["run_key"].unique().tolist() == ["2025-07"]
    assert bucket.get("2025-07/scored.csv").count(b"\n") == 101
