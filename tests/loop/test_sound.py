"""A portfolio that has lived through everything is sound; one forged thing of any kind is found, with its place."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from riskloop.core.errors import ArtefactError, NotFound, RiskloopError
from riskloop.loop.rebuild import rebuild
from riskloop.loop.retention import needed
from riskloop.portfolio import Portfolio
from riskloop.record import RetentionResult, VerifyResult
from riskloop.simulation.embedded import ID, TARGET, simulate
from riskloop.store import audit
from riskloop.store.backup import back_up, restore
from riskloop.store.home import Home

JULY = datetime(2025, 7, 1, tzinfo=UTC)  # January to March are judged, and a challenger of theirs serves
LATE = datetime(2025, 10, 1, tzinfo=UTC)
KEPT = 'retention]\ndecisions = "240d"\nfeatures = "220d"\naudit = "60d"\n'


@pytest.fixture(scope="module")
def lived(drifted_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained, scored by the API and by file, judged, retrained, promoted, rolled back, with erasures and an archive.

    Decisions 1 to about 3,000 came one month a commit; a file of 300 is a segment behind them.
    """
    folder = tmp_path_factory.mktemp("lived") / "portfolio"
    shutil.copytree(drifted_folder, folder)
    config = folder / "riskloop.toml"
    config.write_text(config.read_text() + "[probation]\n", encoding="utf-8")
    portfolio = Portfolio.open(folder)
    portfolio.cycle(now=JULY)
    assert portfolio.home.champion().version == 2
    frame = simulate([date(2025, 6, 1)], 300, 9).query("EDUCATION != 0")
    frame.drop(columns=TARGET).to_parquet(folder / "in.parquet", index=False)
    portfolio.score_file(folder / "in.parquet", folder / "out.parquet")
    reported = frame[[ID, TARGET]].assign(known_at="2025-08-10").iloc[:200]
    portfolio.record_outcomes(reported, now=datetime(2025, 9, 1, tzinfo=UTC))
    portfolio.rollback(reason="to see it", by="ann")
    for number in (3, 3100):
        portfolio.record.erase(portfolio.home.decisions.get(number).customer_id, by="ann", reason="a request", now=LATE)
    portfolio.home.trust.keep(force=True, thorough=True)
    portfolio.home.close()
    return folder


@pytest.fixture
def portfolio(lived: Path, copied: Callable[[Path], Portfolio]) -> Portfolio:
    return copied(lived)


def retaining(portfolio: Portfolio, settings: str) -> Portfolio:
    portfolio.home.config.write_text(f"{portfolio.home.config.read_text()}[{settings}")
    return Portfolio.open(portfolio.home.config)


def sentences(portfolio: Portfolio) -> list[str]:
    found: VerifyResult = portfolio.record.verify()
    return [breach["sentence"] for breach in found.breaches]


def test_what_has_lived_is_sound(portfolio: Portfolio) -> None:
    found = portfolio.record.verify()
    assert found.breaches == []
    assert {"decisions", "outcomes", "windows", "cases", "promotions", "segments", "erasures"} <= {
        name for name, rows in found.rows.items() if rows
    }


FORGED = {
    "a decision is edited": ("UPDATE decisions SET probability = 0.01 WHERE id = 17", "Decisions 1 to"),
    "a decision is deleted": ("DELETE FROM decisions WHERE id = 18", "Decision 18 was committed and is gone"),
    "a decision is inserted": (
        "INSERT INTO decisions SELECT 0, customer_id, time, scored_at, model_version, probability, is_default, "
        "features, flags FROM decisions WHERE id = 19",
        "Decision 0 belongs to no commit",
    ),
    "decisions change places": (
        "UPDATE decisions SET id = CASE id WHEN 20 THEN -21 ELSE -20 END WHERE id IN (20, 21);"
        "UPDATE decisions SET id = -id WHERE id < 0",
        "Decisions 1 to",
    ),
    "a promotion is deleted": ("DELETE FROM promotions WHERE seq = 3", "Promotion 3 was committed and is gone"),
    "a promotion is edited": ("UPDATE promotions SET version = 2 WHERE seq = 3", "Promotion 3 is not what"),
    "an outcome is flipped": ("UPDATE outcomes SET defaulted = 1 - defaulted WHERE id = 5", "Outcomes 1 to"),
    "an audit event is edited": ("UPDATE audit SET \"by\" = 'bob' WHERE action = 'register'", "Audit event"),
    "an audit event is deleted": ("DELETE FROM audit WHERE action = 'erase'", "Audit event"),
    "a window is judged otherwise": ("UPDATE windows SET diagnosis = 'stable' WHERE id = 2", "Window 2 is not what"),
    "a case is closed": ("UPDATE cases SET state = 'ended' WHERE id = 1", "Case 1 is not what"),
    "a try of the gate is forgotten": ("DELETE FROM gate_tries", "Try of the gate 1 was committed and is gone"),
    "a person's request is undone": (
        "DELETE FROM erasures WHERE decision_id = 3",
        "Erasure 1 was committed and is gone",
    ),
    "a segment is forgotten": ("DELETE FROM segments", "The segment from decision"),
    "a checkpoint is deleted": ("DELETE FROM checkpoints WHERE id = 2", "and is gone from the database"),
    "a checkpoint is edited": (
        "UPDATE checkpoints SET document = replace(document, '\"seq\":3', '\"seq\":2') WHERE id = "
        "(SELECT max(id) FROM checkpoints)",
        "is not what its key signed",
    ),
    "a model is put under another's number": (
        "UPDATE models SET artefact = (SELECT artefact FROM models WHERE version = 1), sha256 = (SELECT sha256 FROM "
        "models WHERE version = 1) WHERE version = 2",
        "The signature of version 2 is not of this portfolio's key",
    ),
    "the end is cut off": (
        "DELETE FROM links WHERE number > (SELECT max(number) - 3 FROM links)",
        "what came after was cut off",
    ),
}


@pytest.mark.parametrize("what", FORGED)
def test_one_forged_row_is_found_with_its_place(portfolio: Portfolio, what: str) -> None:
    statements, sentence = FORGED[what]
    with portfolio.home.database.engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for statement in statements.split(";"):
            connection.exec_driver_sql(statement)
    assert any(sentence in said for said in sentences(portfolio)), sentences(portfolio)


def _threshold(home: Home) -> tuple[Path, str]:
    path = home.artefacts.root / home.ledger.model(1).artefact / "manifest.json"
    document = json.loads(path.read_text())
    document["threshold"] = 0.99
    path.write_text(json.dumps(document))
    return path, "1"


@pytest.mark.parametrize("kind", ["threshold", "model", "segment", "checkpoint"])
def test_one_forged_file_is_found_by_its_name(portfolio: Portfolio, kind: str) -> None:
    home = portfolio.home
    if kind == "threshold":
        path, named = _threshold(home)
        with pytest.raises(ArtefactError):
            home.artefact(1)
    else:
        places = {
            "model": home.artefacts.root / home.ledger.model(2).artefact,
            "segment": home.folder / "segments",
            "checkpoint": home.folder / "checkpoints",
        }
        path = next(p for p in sorted(places[kind].rglob("*")) if p.is_file() and p.name != "manifest.json")
        content = path.read_bytes()
        path.write_bytes(content.replace(b"1", b"2", 1) if kind == "checkpoint" else content[:-1] + b"\x00")
        named = path.name if kind != "checkpoint" else "The checkpoint checkpoint-"
    said = sentences(portfolio)
    assert any(named in one for one in said), (named, said)


# --------------------------------------------------------------------------- retention in the loop


def test_the_cycle_takes_out_what_is_too_old_and_what_it_was_is_still_told(portfolio: Portfolio) -> None:
    portfolio = retaining(portfolio, KEPT)
    before = {number: portfolio.home.decisions.get(number) for number in (1, 900, 2500)}
    tried = portfolio.record.retain(dry_run=True, now=LATE)
    done = portfolio.cycle(now=LATE)
    told = " ".join(done.lines)
    archived = portfolio.home.decisions.horizon()
    assert tried.decisions + tried.features > 1500
    assert f"{tried.decisions:,} decisions left the log. " in told
    assert f"{tried.features:,} decisions lost what they were made on." in told
    assert min(tried.decisions, tried.features, tried.audit) > 0
    assert portfolio.record.retain(now=LATE) == RetentionResult(
        False, 0, 0, 0, [], tried.held, " ".join(tried.held) or "Nothing that may go is older than [retention] says."
    )
    found = portfolio.record.verify()
    assert found.breaches == []
    assert "are archived, and were recomputed from there" in " ".join(found.limits)
    for number, decision in before.items():
        assert portfolio.home.decisions.get(number).features.tobytes() == decision.features.tobytes()
        again = portfolio.replay(number)
        assert again.identical
        assert ("It was read from the archive" in again.sentence) == (number <= archived)
    with pytest.raises(NotFound, match="was erased"):
        portfolio.replay(3)
    with pytest.raises(RiskloopError, match="cannot be made again"):
        rebuild(portfolio.home, 2)
    after = portfolio.cycle(now=LATE + timedelta(days=1))
    assert after.matured == []
    portfolio.home.close()


def test_every_reason_to_keep_names_its_first_decision(portfolio: Portfolio) -> None:
    home = portfolio.home
    stores = (home.settings, home.database, home.windows, home.cases, home.ledger, home.artefacts)
    closed = max(window.last_id for window in home.windows.latest())
    assert (closed + 1, "Their window is not closed yet.") in list(needed(*stores, LATE))
    with home.database.write() as connection:
        connection.execute(text("UPDATE windows SET matured_at = NULL WHERE id = 2"))
    second = home.windows.get(2)
    assert second is not None
    waits = (second.first_id, f"Window {second.name} waits for its outcomes.")
    assert waits in list(needed(*stores, second.end_time + timedelta(days=10)))
    assert waits not in list(needed(*stores, second.end_time + timedelta(days=400)))
    soon = retaining(portfolio, 'retention]\ndecisions = "1d"\n')
    tried = soon.record.retain(dry_run=True, now=second.end_time + timedelta(days=10))
    (reason,) = tried.held
    assert (tried.decisions, reason.startswith("Older than retention.decisions, and kept: ")) == (
        second.first_id - 1,
        True,
    )
    assert reason.endswith(waits[1])
    soon.home.close()
    sliding = home.settings.model_copy(
        update={"retrain": home.settings.retrain.model_copy(update={"window": "sliding", "length": timedelta(days=90)})}
    )
    reasons = {why: first for first, why in needed(sliding, *stores[1:], datetime(2025, 6, 20, tzinfo=UTC))}
    (first,) = [number for why, number in reasons.items() if why.startswith("Challengers learn from window 2025-0")]
    assert first == second.first_id


# --------------------------------------------------------------------------- a person, a backup, and a restore


def test_a_person_is_told_what_still_holds_them_and_does_not_come_back(portfolio: Portfolio, tmp_path: Path) -> None:
    home = portfolio.home
    kept = tmp_path / "kept"
    back_up(home, kept, LATE)
    customer = home.decisions.get(40).customer_id
    of_file = home.decisions.get(3150).customer_id
    history = simulate([date(2024, 3, 1)], 1, 1)
    del history
    told = portfolio.record.erase(customer, by="ann", reason="a request", now=LATE)
    assert [Path(path).relative_to(kept).as_posix() for path in told.still if path.startswith(str(kept))] == [
        "riskloop.db"
    ]
    told = portfolio.record.erase(of_file, by="ann", reason="a request", now=LATE)
    (still,) = [Path(path) for path in told.still if path.startswith(str(kept))]
    assert still.suffix == ".parquet"
    assert audit.subjects(home.database, "backup") == [str(kept)]
    home.close()
    place = tmp_path / "back"
    index = restore(kept, place / "riskloop.toml", erasures=str(home.folder / "checkpoints"))
    assert (index["erased_again"], index["doubts"]) == ([40, 3150], [])
    back = Portfolio.open(place)
    for number in (3, 40, 3100, 3150):
        with pytest.raises(NotFound, match=r"was erased on 2025-10-01 by ann \(a request\)"):
            back.home.decisions.get(number)
    assert back.record.verify().breaches == []
    back.home.close()


def test_a_tombstone_that_nobody_signed_erases_nobody(portfolio: Portfolio, tmp_path: Path) -> None:
    home = portfolio.home
    back_up(home, tmp_path / "kept", LATE)
    portfolio.record.erase(home.decisions.get(40).customer_id, by="ann", reason="a request", now=LATE)
    home.close()
    place = home.folder / "checkpoints"
    newest = max(place.glob("erasure-*"), key=lambda path: path.name)
    document = json.loads(newest.read_text())
    newest.write_text(json.dumps({**document, "signed": document["signed"].replace("ann", "bob")}))
    (place / "erasure-20250101T000000000000Z-1.json").write_text("{}")
    index = restore(tmp_path / "kept", tmp_path / "back" / "riskloop.toml", erasures=str(place))
    assert index["erased_again"] == []
    assert [doubt.partition(" in ")[2].partition(" ")[2] for doubt in index["doubts"]] == [
        "cannot be read (KeyError('signed')), and was left alone.",
        "is not signed by this portfolio's key, and was left alone.",
    ]


def test_the_command_says_what_would_go(portfolio: Portfolio, capsys: pytest.CaptureFixture[str]) -> None:
    from riskloop.cli import main

    config = portfolio.home.config
    retaining(portfolio, KEPT).home.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["riskloop", "retain", "--dry-run", "--config", str(config), "--json"])
        main()
    told = json.loads(capsys.readouterr().out)
    assert told["dry_run"] is True
    assert told["decisions"] + len(told["held"]) > 0
