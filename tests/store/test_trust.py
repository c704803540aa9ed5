"""What is signed, what is done without the key, and what an attacker with a tool of the database is told."""

import base64
import json
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from tests import handmade

from riskloop.core.errors import ArtefactError, ConfigError, StorageError
from riskloop.core.types import Json, PromotionKind
from riskloop.store import migrations
from riskloop.store.backup import back_up, restore
from riskloop.store.home import CONFIG, Home
from riskloop.store.proof import Proof
from riskloop.store.proof import prove as prove_stores
from riskloop.store.signing import make_key, open_signer, read_public, verifies
from riskloop.store.sqlite import Sqlite
from riskloop.store.trust import read_checkpoint, read_file

from .rows import scored

SETTINGS = '[portfolio]\ntarget = "bad"\n[features.debt]\n[storage]\nurl = "{url}"\n[trust]\n{trust}\n'
NOW = datetime(2025, 5, 1, tzinfo=UTC)


def opened(folder: Path, url: str = "sqlite:///riskloop.db", trust: str = "") -> Home:
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(SETTINGS.format(url=url, trust=trust))
    return Home.open(folder)


def register(home: Home, threshold: float = 0.5) -> int:
    card: Json = {"intercept": 0.0, "features": [{"bounds": [5.0], "points": [0.0, 2.0], "missing": 0.0, "mean": 0.0}]}
    return handmade.register(home, handmade.manifest(home.schema, threshold=threshold), card, NOW)


def promote(home: Home, version: int) -> None:
    last = home.ledger.champion()
    seq = 0 if last is None else last.seq
    home.ledger.append(version, expected_seq=seq, kind=PromotionKind.FORCED, at=NOW, by="ann", reason="test")


@pytest.fixture
def home(url: str, tmp_path: Path) -> Iterator[Home]:
    """Two versions, both promoted, and decisions before and after."""
    home = opened(tmp_path, url)
    for threshold in (0.5, 0.4):
        promote(home, register(home, threshold))
        home.decisions.append(scored(5, width=1))
    assert prove(home).breaches == []
    yield home
    home.close()


def prove(home: Home, since: datetime | None = None) -> Proof:
    return prove_stores(home.trust, home.ledger, home.artefacts, home.segments, home.archive, since)


def tamper(home: Home, *statements: str) -> list[str]:
    with home.database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    return [breach.sentence for breach in prove(home).breaches]


def test_a_checkpoint_is_made_at_every_promotion_and_lies_outside_too(home: Home, tmp_path: Path) -> None:
    last = home.trust.last()
    assert last is not None
    assert (last.seq, last.version) == (2, 2)
    files = sorted((tmp_path / "checkpoints").iterdir())
    assert len(files) == 2
    assert read_file(files[-1].read_bytes()).text == last.text
    public = read_public(tmp_path / "riskloop.key.pub")
    document = json.loads(files[-1].read_text())
    assert verifies(public, base64.b64decode(document["signature"]), document["signed"].encode())
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "riskloop.key", *files))
    proof = prove(home)
    assert (proof.checkpoints, proof.last) == (2, last)
    assert any("newest 1 links are not in a checkpoint yet" in limit for limit in proof.limits)
    assert any("key lies in the portfolio's folder" in limit for limit in proof.limits)


def test_every_hour_and_not_before(home: Home) -> None:
    assert home.trust.keep() is None
    with home.database.engine.begin() as connection:
        row = connection.execute(text("SELECT document FROM checkpoints ORDER BY id DESC")).first()
        assert row is not None
        document = json.loads(row.document)
        document["at"] = (datetime.now(UTC) - timedelta(minutes=61)).isoformat()
        signed = json.dumps(document)
        signer = home.trust.signer()
        assert signer is not None
        connection.execute(
            text("UPDATE checkpoints SET document = :d, signature = :s WHERE id = 2"),
            {"d": signed, "s": signer.sign(signed.encode())},
        )
    made = home.trust.keep()
    assert made is not None
    assert made.number > home.trust.last().number - 2  # type: ignore[union-attr]
    assert home.trust.problem is None


@pytest.mark.parametrize("number", [1, 2])
def test_a_deleted_promotion_is_said_with_the_checkpoint_that_knows_it(home: Home, number: int) -> None:
    said = tamper(home, f"DELETE FROM promotions WHERE seq = {number}")
    assert any(f"Promotion {number} was committed and is gone" in sentence for sentence in said)
    assert any(f"promotion {number} made version {number} the champion; it is gone" in sentence for sentence in said)
    if number == 2:
        state = home.trust.state()
        assert state.problem is not None
        assert "it is gone" in state.problem
        assert home.trust.keep(force=True) is None
        assert home.trust.problem is not None
        assert "Nothing was signed" in home.trust.problem


def test_a_chain_that_was_cut_off_with_its_rows_is_found_by_the_checkpoint_alone(home: Home) -> None:
    """Whoever knows how riskloop writes can leave a shorter record that holds together; what was signed tells it."""
    said = tamper(
        home,
        "DELETE FROM links WHERE number > 3",
        "DELETE FROM decisions",
        "DELETE FROM promotions WHERE seq = 2",
        "DELETE FROM models WHERE version = 2",
        "DELETE FROM audit WHERE id > 2",
        "DELETE FROM checkpoints",
    )
    assert any("was cut off, or an older backup was restored" in sentence for sentence in said)
    assert any("is gone from the database" in sentence for sentence in said)


def test_an_older_backup_that_was_restored_is_said(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup", datetime.now(UTC))
    promote(home, 1)
    home.close()
    for path in tmp_path.glob("riskloop.db*"):
        path.unlink()
    shutil.rmtree(tmp_path / "models")
    (tmp_path / CONFIG).write_text(SETTINGS.format(url="sqlite:///riskloop.db", trust=""))
    restore(tmp_path / "backup", tmp_path / CONFIG)
    again = Home.open(tmp_path)
    said = [breach.sentence for breach in prove(again).breaches]
    assert any("an older backup was restored" in sentence for sentence in said)
    state = again.trust.state()
    assert state.problem is None  # its own newest checkpoint agrees: only those outside know better
    again.close()


def test_a_backup_that_is_tried_in_another_folder_is_sound_and_is_placed_there(home: Home, tmp_path: Path) -> None:
    """What docs/howto/back-up.md asks for once a quarter; in its own place it is told what is missing, as before."""
    back_up(home, tmp_path / "backup", datetime.now(UTC))
    count = len(list((tmp_path / "checkpoints").iterdir()))
    assert count
    trial = tmp_path / "trial"
    trial.mkdir()
    (trial / CONFIG).write_text(SETTINGS.format(url="sqlite:///riskloop.db", trust=""))
    restore(tmp_path / "backup", trial / CONFIG)
    again = Home.open(trial)
    assert prove(again).breaches == []
    again.trust.keep(force=True)
    assert len(list((trial / "checkpoints").iterdir())) == count + 1
    next(iter(sorted((trial / "checkpoints").iterdir()))).unlink()
    assert any("is gone from" in breach.sentence for breach in prove(again).breaches)
    again.close()


def test_a_forged_checkpoint_is_found(home: Home) -> None:
    said = tamper(home, "UPDATE checkpoints SET document = replace(document, 'settings', 'Settings') WHERE id = 2")
    assert any("is not what its key signed" in sentence for sentence in said)
    state = home.trust.state()
    assert state.problem is not None


def test_a_checkpoint_that_is_gone_outside_is_found(home: Home, tmp_path: Path) -> None:
    first, _ = sorted((tmp_path / "checkpoints").iterdir())
    first.unlink()
    assert [b.what for b in prove(home).breaches] == ["missing"]


def test_a_rewritten_past_with_a_chain_that_holds_is_found(home: Home) -> None:
    """All links are computed anew behind a changed row: the chain holds, and is not the one that was signed."""
    from riskloop.core import chain as canonical
    from riskloop.store import chain
    from riskloop.store.tables import decisions, links

    with home.database.engine.begin() as connection:
        connection.execute(text("UPDATE decisions SET is_default = 1 - is_default WHERE id = 2"))
        found, previous = list(chain.read(connection)), canonical.GENESIS
        for link in found:
            digest = link.digest
            if link.kind == "decisions" and link.first_id <= 2 <= link.last_id:
                chosen = decisions.c.id.between(link.first_id, link.last_id)
                rows = connection.execute(decisions.select().where(chosen).order_by(decisions.c.id))
                digest = canonical.decisions_digest([tuple(row) for row in rows])
            previous = canonical.link(previous, link.number, link.kind, link.first_id, link.last_id, link.at, digest)
            connection.execute(links.update().where(links.c.number == link.number).values(digest=digest, link=previous))
    proof = prove(home)
    assert proof.recomputed.sound
    assert sorted({b.what for b in proof.breaches}) == ["rewritten"]
    assert proof.last is not None
    assert proof.last.number < 6


def test_a_forged_threshold_does_not_serve(home: Home, tmp_path: Path) -> None:
    """The artefact is written anew with another threshold, and the row points to it: everything fits but the key."""
    version = home.champion().version
    artefact = home.artefact(version)
    manifest = artefact.manifest
    from msgspec.structs import replace

    forged = home.artefacts.write(replace(manifest, threshold=0.99, files={}), dict(artefact.contents))
    change = f"artefact = '{forged.name}', sha256 = '{forged.sha256}'"
    said = tamper(home, f"UPDATE models SET {change} WHERE version = {version}")
    assert any("is not what was committed" in sentence for sentence in said)
    with pytest.raises(ArtefactError, match="not of this portfolio's key, or its row was changed"):
        home.artefact(version)


@pytest.mark.parametrize("signature", ["NULL", "(SELECT signature FROM models WHERE version = 1)"])
def test_a_version_without_its_own_signature_does_not_serve(home: Home, signature: str) -> None:
    tamper(home, f"UPDATE models SET signature = {signature} WHERE version = 2")
    with pytest.raises(ArtefactError):
        home.artefact(2)
    assert home.artefact(1)
    assert any(b.kind == "models" for b in prove(home).breaches)


def test_one_version_does_not_serve_as_another(home: Home) -> None:
    tamper(
        home,
        "UPDATE models SET artefact = (SELECT artefact FROM models WHERE version = 1), sha256 = (SELECT sha256 FROM "
        "models WHERE version = 1), signature = (SELECT signature FROM models WHERE version = 1) WHERE version = 2",
    )
    with pytest.raises(ArtefactError, match="its row was changed"):
        home.artefact(2)


def test_an_edited_artefact_is_found_without_serving(home: Home) -> None:
    path = home.artefacts.root / home.ledger.model(1).artefact
    edited = next(file for file in path.iterdir() if file.name != "manifest.json")
    edited.write_bytes(edited.read_bytes() + b" ")
    (breach,) = prove(home).breaches
    assert (breach.kind, breach.first_id) == ("models", 1)


def test_since_takes_what_a_checkpoint_signed_as_given(home: Home) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    tamper(home, "UPDATE decisions SET probability = 0.5 WHERE id = 1")
    assert prove(home).breaches
    proof = prove(home, later)
    assert proof.since == home.trust.last()
    assert proof.breaches == []
    assert any("Only what came after" in limit for limit in proof.limits)
    assert prove(home, NOW).breaches  # no checkpoint is so old: everything was recomputed


def test_what_came_after_the_last_checkpoint_is_looked_at_before_it_is_signed(home: Home) -> None:
    columns = "customer_id, time, scored_at, model_version, probability, is_default, features, flags"
    tamper(home, f"INSERT INTO decisions (id, {columns}) SELECT 11, {columns} FROM decisions WHERE id = 1")
    assert home.trust.keep(force=True) is None
    assert "Decision 11 belongs to no commit" in str(home.trust.problem)


# --------------------------------------------------------------------------- keys


def test_a_key_that_is_gone_is_not_made_anew(home: Home, tmp_path: Path) -> None:
    (tmp_path / "riskloop.key").unlink()
    again = Home.open(tmp_path)
    with pytest.raises(ConfigError, match="put it back"):
        again.artefact(1)
    assert "is not there" in str(again.trust.state().problem)
    assert again.trust.sign_all("ann", "the disk broke") == [1, 2]
    assert again.artefact(1)
    assert any("signed by a key" in b.sentence for b in prove(again).breaches)
    again.close()


def test_a_former_key_goes_on_counting(home: Home, tmp_path: Path) -> None:
    (tmp_path / "riskloop.key").rename(tmp_path / "old.key")
    (tmp_path / "riskloop.key.pub").rename(tmp_path / "old.pub")
    make_key(tmp_path / "riskloop.key")
    (tmp_path / CONFIG).write_text((tmp_path / CONFIG).read_text() + 'former = ["old.pub"]\n')
    again = Home.open(tmp_path)
    assert again.artefact(1)
    promote(again, 1)
    assert prove(again).breaches == []
    again.close()


def test_a_key_that_others_can_read_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "riskloop.key").chmod(0o644)
    again = Home.open(tmp_path)
    with pytest.raises(ConfigError, match="chmod 600"):
        again.artefact(1)
    again.close()


def private() -> tuple[Ed25519PrivateKey, bytes]:
    key = Ed25519PrivateKey.generate()
    return key, key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())


def test_a_key_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, written = private()
    home = opened(tmp_path, trust='key = "env:LENDER_KEY"')
    with pytest.raises(ConfigError, match="LENDER_KEY, which is not set"):
        register(home)
    monkeypatch.setenv("LENDER_KEY", written.decode().replace("\n", "\\n"))
    promote(home, register(home))
    last = home.trust.last()
    assert last is not None
    key.public_key().verify(last.signature, last.text.encode())
    assert not (tmp_path / "riskloop.key").exists()
    assert not any("folder" in limit for limit in prove(home).limits)
    home.close()


KMS = """
import base64, sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
key = load_pem_private_key(open(sys.argv[1], "rb").read(), None)
sys.stdout.write(base64.b64encode(key.sign(sys.stdin.buffer.read())).decode() + "\\n")
"""


def test_a_command_that_asks_a_kms(tmp_path: Path) -> None:
    key, written = private()
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    for name, content in (("kms.py", KMS.encode()), ("secret.pem", written), ("public.pem", public)):
        (tmp_path / name).write_bytes(content)
    command = f'key = "command:{sys.executable} kms.py secret.pem"\n'
    home = opened(tmp_path, trust=command)
    with pytest.raises(ConfigError, match="public_key must name"):
        register(home)
    home = opened(tmp_path, trust=command + 'public_key = "public.pem"')
    promote(home, register(home))
    assert home.artefact(1)
    assert prove(home).breaches == []
    (tmp_path / "secret.pem").write_bytes(private()[1])
    with pytest.raises(StorageError, match="no signature of the key"):
        register(home, 0.3)
    (tmp_path / "secret.pem").unlink()
    with pytest.raises(StorageError, match="failed: exit code 1"):
        register(home, 0.3)
    assert len(home.ledger.models()) == 1
    home.close()


def test_without_a_key_nothing_is_signed_and_it_is_said(tmp_path: Path) -> None:
    home = opened(tmp_path, trust='key = ""')
    promote(home, register(home))
    assert home.artefact(1)
    assert home.trust.last() is None
    proof = prove(home)
    assert proof.breaches == []
    assert any("Nothing is signed" in limit for limit in proof.limits)
    assert not (tmp_path / "checkpoints").exists()
    home.close()


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "new" / "riskloop.key"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make_key(path), range(8)))
    assert [p.name for p in sorted(path.parent.iterdir())] == ["riskloop.key", "riskloop.key.pub"]
    signer = open_signer(opened(tmp_path / "new").settings.trust, path.parent)
    assert signer is not None
    assert signer.public() == read_public(path.with_name("riskloop.key.pub"))


# --------------------------------------------------------------------------- outside


def test_an_object_store_and_a_place_that_heals(tmp_path: Path) -> None:
    """`file://` goes the way of `s3://`; what could not be placed is placed later."""
    place = tmp_path / "bucket"
    home = opened(tmp_path / "p", trust=f'checkpoints = "file://{place}/chain"')
    promote(home, register(home))
    assert "cannot be written" in str(home.trust.problem)
    assert home.trust.last() is not None
    (place / "chain").mkdir(parents=True)
    home.trust.keep()
    assert home.trust.problem is None
    assert len(list((place / "chain").iterdir())) == 1
    assert prove(home).breaches == []
    home.close()


def test_an_older_portfolio_is_signed_once_when_it_is_opened(tmp_path: Path) -> None:
    source = opened(tmp_path / "source")
    register(source)
    row = source.ledger.model(1)
    shutil.copytree(source.artefacts.root, tmp_path / "models")
    source.close()
    with Sqlite(tmp_path / "riskloop.db").write() as connection:
        migrations.run(connection, "0009")
        values = f"1, 1, 'scorecard', '{row.artefact}', '{row.sha256}', 'train', 0.7"
        columns = "version, created_at, learner, artefact, sha256, origin, auc"
        connection.execute(text(f"INSERT INTO models ({columns}) VALUES ({values})"))
        connection.execute(text("UPDATE counters SET value = 1 WHERE name = 'models'"))
    (tmp_path / CONFIG).write_text(SETTINGS.format(url="sqlite:///riskloop.db", trust=""))
    home = Home.open(tmp_path)
    assert home.artefact(1)
    assert prove(home).breaches == []
    with home.database.engine.begin() as connection:
        connection.execute(text("UPDATE models SET signature = NULL"))
    home.close()
    again = Home.open(tmp_path)
    with pytest.raises(ArtefactError, match="not signed"):
        again.artefact(1)
    again.close()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"signed": "{}", "signature": ""}', b"1"])
def test_what_is_no_checkpoint_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(ValueError):
        read_file(content)


def test_a_checkpoint_of_another_format_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="another format"):
        read_checkpoint(json.dumps({"riskloop": "checkpoint 2"}), b"")
