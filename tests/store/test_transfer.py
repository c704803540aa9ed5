"""A portfolio moves between databases, and into a folder and back, with every number."""

import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert, select

from riskloop.core.errors import ArtefactError, Conflict, Locked, NotFound
from riskloop.core.span import Span
from riskloop.core.types import PromotionKind, from_micros
from riskloop.store import audit
from riskloop.store.adapters import ADAPTERS, open_database
from riskloop.store.appender import ChunkKey
from riskloop.store.backup import INDEX, back_up, checked, restore
from riskloop.store.database import Database
from riskloop.store.decisions import DecisionLog
from riskloop.store.home import CONFIG, Home
from riskloop.store.keys import Keys, Role
from riskloop.store.leases import held
from riskloop.store.ledger import Ledger
from riskloop.store.migrations import upgrade
from riskloop.store.outcomes import Outcome, Outcomes
from riskloop.store.refusals import Refusal, add_refusals
from riskloop.store.sqlite import Sqlite
from riskloop.store.tables import audit as audit_table
from riskloop.store.tables import metadata
from riskloop.store.transfer import copy, move

from .rows import MAY, scored

NOW = from_micros(MAY)


def fill(database: Database) -> None:
    """Something in the tables that a portfolio uses, with numbers and letters that a database could spoil."""
    log = DecisionLog(database)
    odd = scored(6)
    values = [5e-324, 1.7976931348623157e308, 0.1, 0.0, math.pi, 1 / 3]
    odd = replace(
        odd,
        customer_ids=["", "Ä", "z", "a'b\"", "日本", "🙂"],
        probabilities=np.array(values),
        features=np.array(values * 3).reshape(6, 3) * np.array([1.0, np.nan, np.inf]),
        flags=['{"missing": ["x"]}', None, "{}", None, None, None],
    )
    log.append(odd)
    log.append(scored(4100, start=7), ChunkKey("run", "f" * 64))  # more than two batches
    ledger = Ledger(database)
    for name in ("a", "b"):
        ledger.register(created_at=NOW, learner="scorecard", artefact=name, sha256=name, origin="train", auc=1 / 3)
    ledger.append(1, expected_seq=0, kind=PromotionKind.FIRST, at=NOW, by="ann", reason="ä", evidence={"p": 0.1})
    Outcomes(database).record([Outcome(True, NOW, decision_id=n) for n in (1, 2, 3)], NOW)
    Keys(database).create("boss", list(Role), at=NOW, by="ann")
    add_refusals(database, {Refusal(0, field, "x"): 3 for field in ("b", "B", "a", "Ä")})


def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    found = {}
    with database.read() as connection:
        for table in metadata.sorted_tables:
            if table.name != "leases":
                found[table.name] = sorted(repr(tuple(row)) for row in connection.execute(select(table)))
    return found  # type: ignore[return-value]


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Sqlite]:
    database = Sqlite(tmp_path / "filled.db")
    upgrade(database)
    fill(database)
    yield database
    database.close()


@pytest.fixture(params=ADAPTERS)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    remote = request.param == "postgresql+psycopg://"
    url = str(request.getfixturevalue("postgres").empty()) if remote else "sqlite:///empty.db"
    database = open_database(url, tmp_path)
    yield database
    database.close()


def test_there_and_back_every_row_is_the_same(filled: Sqlite, empty: Database, tmp_path: Path) -> None:
    rows = copy(filled, empty)
    assert rows["decisions"] == 4106
    assert content(empty) == content(filled)
    back = Sqlite(tmp_path / "back.db")
    copy(empty, back)
    assert content(back) == content(filled)
    back.close()


def test_numbers_go_on_after_a_copy(filled: Sqlite, empty: Database) -> None:
    copy(filled, empty)
    assert DecisionLog(empty).append(scored(1)).first_id == 4107
    assert (
        Ledger(empty).register(created_at=NOW, learner="scorecard", artefact="c", sha256="c", origin="train", auc=0.5)
        == 3
    )
    with empty.write() as connection:
        audit.record(connection, at=NOW, by="ann", action="look", subject="", document={})
    assert Outcomes(empty).record([Outcome(False, NOW, decision_id=4)], NOW).recorded == 1


def test_a_database_that_is_not_empty_is_refused(filled: Sqlite, empty: Database) -> None:
    copy(filled, empty)
    before = content(empty)
    with pytest.raises(Conflict, match="is not empty"):
        copy(filled, empty)
    assert content(empty) == before


def test_while_a_worker_runs_nothing_is_copied(filled: Sqlite, empty: Database) -> None:
    with held(filled, "loop"), pytest.raises(Locked):
        move(filled, empty)
    with held(filled, "loop"):
        pass


def test_a_source_that_goes_on_is_refused(filled: Sqlite, empty: Database) -> None:
    log = DecisionLog(filled)

    def tick(what: str, _share: float) -> None:
        if "compared" in what and log.count() == 4106:
            log.append(scored(1))

    with pytest.raises(Conflict, match="was written while"):
        move(filled, empty, tick)
    assert DecisionLog(empty).count() == 0


def test_a_copy_is_of_one_moment(filled: Sqlite, empty: Database) -> None:
    before = content(filled)

    def tick(_what: str, _share: float) -> None:
        DecisionLog(filled).append(scored(1))

    copy(filled, empty, tick)
    assert content(empty) == before


def test_a_row_that_came_out_different_is_found(
    filled: Sqlite, empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever row it is: the target writes one more than it was told, as a trigger would."""
    original = type(empty).continue_numbers

    def meddle(self: Database, connection: object) -> None:
        original(self, connection)  # type: ignore[arg-type]
        row = {"id": 10**6, "at": 1, "by": "eve", "action": "x", "subject": "", "document": "{}"}
        connection.execute(insert(audit_table), [row])  # type: ignore[attr-defined]

    monkeypatch.setattr(type(empty), "continue_numbers", meddle)
    with pytest.raises(Exception, match=r"The row \(1000000,\) of audit came out different"):
        copy(filled, empty)
    with empty.read() as connection:
        assert connection.execute(select(audit_table)).all() == []


# --------------------------------------------------------------------------- backups


@pytest.fixture
def make_home(request: pytest.FixtureRequest) -> Iterator[Callable[[Path, str], Home]]:
    """A portfolio in a folder, kept by an adapter."""
    opened: list[Home] = []

    def make(folder: Path, scheme: str) -> Home:
        folder.mkdir(parents=True, exist_ok=True)
        remote = scheme == "postgresql+psycopg://"
        url = str(request.getfixturevalue("postgres").empty()) if remote else "sqlite:///riskloop.db"
        text = f'[portfolio]\ntarget = "bad"\n[features.debt]\n[storage]\nurl = {json.dumps(url)}\n'
        (folder / CONFIG).write_text(text, encoding="utf-8")
        opened.append(Home.open(folder))
        return opened[-1]

    yield make
    for home in opened:
        home.close()


@pytest.mark.parametrize("old", ADAPTERS)
@pytest.mark.parametrize("new", ADAPTERS)
def test_a_backup_comes_back_in_either_database(
    make_home: Callable[[Path, str], Home], tmp_path: Path, old: str, new: str
) -> None:
    home = make_home(tmp_path / "old", old)
    fill(home.database)
    (home.artefacts.root / "abc").mkdir(parents=True)
    (home.artefacts.root / "abc" / "model.txt").write_text("tree")
    index = back_up(home, tmp_path / "backup", datetime.now(UTC))
    assert index["rows"]["decisions"] == 4106
    assert {"riskloop.toml", "riskloop.db", "models/abc/model.txt"} <= set(index["files"])
    place = make_home(tmp_path / "new", new)
    restore(tmp_path / "backup", place.config)
    assert content(place.database) == content(home.database)
    assert (place.artefacts.root / "abc" / "model.txt").read_text() == "tree"
    assert {path.name for path in place.folder.iterdir()} <= {CONFIG, "models", "riskloop.db"} | {
        f"riskloop.db-{end}" for end in ("wal", "shm")
    }


@pytest.mark.parametrize("named", ["documents", "papers/texts"])
def test_texts_of_people_are_backed_up_and_restored(
    make_home: Callable[[Path, str], Home], tmp_path: Path, named: str
) -> None:
    home = make_home(tmp_path / "old", "sqlite:///")
    home.config.write_text(home.config.read_text() + f'\n[documents]\nfolder = "{named}"\n')
    home = Home.open(home.config)
    texts = {"limits.v2.md": "Not for firms.", "case-3.md": "Grüße", "README.md": "how"}
    home.documents.mkdir(parents=True)
    for name, text in texts.items():
        (home.documents / name).write_text(text, encoding="utf-8")
    (home.documents / ".git").mkdir()
    (home.documents / ".git" / "HEAD").write_text("ref")
    index = back_up(home, tmp_path / "backup", datetime.now(UTC))
    assert {name for name in index["files"] if name.startswith("documents/")} == {f"documents/{n}" for n in texts}
    there = tmp_path / "new" / named
    there.mkdir(parents=True)
    (there / "case-3.md").write_text("of version control")
    restore(tmp_path / "backup", tmp_path / "new" / CONFIG)
    found = {path.name: path.read_text(encoding="utf-8") for path in there.iterdir()}
    assert found == {**texts, "case-3.md": "of version control"}
    (tmp_path / "backup" / "documents" / "limits.v2.md").write_text("For firms.")
    with pytest.raises(ArtefactError, match=r"documents/limits\.v2\.md is missing or was altered"):
        restore(tmp_path / "backup", tmp_path / "again" / CONFIG)


@pytest.mark.parametrize(("old", "new"), [("sqlite:///", "sqlite:///")])
def test_segments_are_backed_up_and_restored(
    make_home: Callable[[Path, str], Home], tmp_path: Path, old: str, new: str
) -> None:
    home = make_home(tmp_path / "old", old)
    fill(home.database)
    written = home.segments.files.write(scored(50, width=3), ("a", "b", "c"))
    left = home.segments.files.write(scored(20, start=90), ("a", "b", "c"))
    assert home.segments.register("run", "f", [written], seq=home.champion().seq)
    index = back_up(home, tmp_path / "backup", datetime.now(UTC))
    assert f"segments/{written.path}" in index["files"]
    assert f"segments/{left.path}" not in index["files"], "what is not registered does not exist"
    place = make_home(tmp_path / "new", new)
    restore(tmp_path / "backup", place.config)
    span = Span(first_id=4107)
    assert place.decisions.frame(span).features.tobytes() == scored(50, width=3).features.tobytes()
    assert place.decisions.frame(span).customer_ids == home.decisions.frame(span).customer_ids


def test_a_backup_brings_its_own_settings(make_home: Callable[[Path, str], Home], tmp_path: Path) -> None:
    home = make_home(tmp_path / "old", "sqlite:///")
    back_up(home, tmp_path / "backup", datetime.now(UTC))
    restore(tmp_path / "backup", tmp_path / "new" / CONFIG)
    again = Home.open(tmp_path / "new")
    assert again.settings == home.settings
    again.close()


def test_an_altered_backup_is_refused_by_its_file(make_home: Callable[[Path, str], Home], tmp_path: Path) -> None:
    home = make_home(tmp_path / "old", "sqlite:///")
    fill(home.database)
    back_up(home, tmp_path / "backup", datetime.now(UTC))
    checked(tmp_path / "backup")
    with sqlite3.connect(tmp_path / "backup" / "riskloop.db") as connection:
        connection.execute("UPDATE decisions SET probability = 0.5 WHERE id = 3")
    connection.close()
    with pytest.raises(ArtefactError, match=r"riskloop\.db is missing or was altered"):
        restore(tmp_path / "backup", tmp_path / "new" / CONFIG)
    assert not (tmp_path / "new").exists()


def test_what_is_no_backup_and_a_full_folder_are_refused(
    make_home: Callable[[Path, str], Home], tmp_path: Path
) -> None:
    home = make_home(tmp_path / "old", "sqlite:///")
    with pytest.raises(NotFound, match=INDEX):
        restore(tmp_path, tmp_path / "new" / CONFIG)
    with pytest.raises(Conflict, match="is not empty"):
        back_up(home, tmp_path, datetime.now(UTC))
    back_up(home, tmp_path / "backup", datetime.now(UTC))
    fill(home.database)
    with pytest.raises(Conflict, match="is not empty"):
        restore(tmp_path / "backup", home.config)
