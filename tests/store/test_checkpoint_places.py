"""Checkpoints outside: a webhook that hears of each, and an object store that keeps what somebody overwrites."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from riskloop.store.erasure import Tombstone
from riskloop.store.home import CONFIG, Home
from riskloop.store.proof import prove
from riskloop.store.tables import checkpoints
from riskloop.store.tombstones import keep_tombstone, kept_tombstones
from riskloop.store.trust import read_file

from .rows import scored

SETTINGS = '[portfolio]\ntarget = "bad"\n[features.debt]\n[trust]\n{trust}\n'


class Listener:
    """Takes POSTs as long as it is told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if listener.status == 200:
                    listener.bodies.append(body)
                self.send_response(listener.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/checkpoints"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.stop()


def opened(folder: Path, trust: str) -> Home:
    (folder / CONFIG).write_text(SETTINGS.format(trust=trust))
    return Home.open(folder)


def test_a_webhook_hears_of_every_checkpoint_and_later_of_those_that_it_missed(
    listener: Listener, tmp_path: Path
) -> None:
    home = opened(tmp_path, f'webhook = "{listener.url}"')
    made = []
    for number, status in enumerate((200, 503, 200)):
        home.decisions.append(scored(2, start=10 * number, width=1))
        listener.status = status
        made.append(home.trust.keep(force=True))
        assert (home.trust.problem is None) == (status == 200)
        if status != 200:
            assert home.trust.problem == "The webhook of [trust] did not take the checkpoint: HTTPError."
            assert home.trust.state().problem == home.trust.problem
    heard = [read_file(body) for body in listener.bodies]
    with home.database.read() as connection:
        texts = list(connection.execute(checkpoints.select().order_by(checkpoints.c.id)).mappings())
    assert [one.text for one in heard] == [row["document"] for row in texts]
    assert len(heard) == 3
    assert all(row["placed"] for row in texts)
    home.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server in a process of its own, with one versioned bucket; its address as `pyarrow.fs` takes it."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed: no object store to test with")
    boto3 = pytest.importorskip("boto3")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = tmp_path_factory.mktemp("moto") / "log"
    with quiet.open("w") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as process:
        try:
            until = time.monotonic() + 120
            while time.monotonic() < until:
                with closing(socket.socket()) as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            s3 = boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{port}",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                region_name="us-east-1",
            )
            s3.create_bucket(Bucket="audit")
            s3.put_bucket_versioning(Bucket="audit", VersioningConfiguration={"Status": "Enabled"})
            yield f"s3://test:test@audit/riskloop?scheme=http&endpoint_override=127.0.0.1%3A{port}&region=us-east-1"
        finally:
            process.terminate()


def test_an_object_store_keeps_checkpoints_and_tombstones_and_tells_of_one_that_is_gone(
    store: str, tmp_path: Path
) -> None:
    from pyarrow import fs

    home = opened(tmp_path, f'checkpoints = "{store}"\nevery = "1h"')
    for number in range(2):
        home.decisions.append(scored(2, start=10 * number, width=1))
        assert home.trust.keep(force=True) is not None
        assert home.trust.problem is None
    place = home.trust.place
    assert place is not None
    there = place.all()
    last = home.trust.last()
    assert last is not None
    assert [json.loads(content)["key"] for content in there.values()] == [last.key] * 2
    assert home.trust.state().age is not None
    assert home.trust.state().age < timedelta(minutes=10)  # type: ignore[operator]
    tombstone = Tombstone(last.at, "ann", "a request", ((1, bytes(32)),))
    keep_tombstone(home.trust, tombstone)
    assert kept_tombstones(home.trust) == ([tombstone], [])
    assert sorted(place.all()) == sorted(there)
    files, root = fs.FileSystem.from_uri(store)
    files.delete_file(f"{root}/{last.name}")
    found = prove(home.trust, home.ledger, home.artefacts, home.segments, home.archive)
    (breach,) = found.breaches
    assert breach.what == "missing"
    assert f"The checkpoint {last.name} is gone from" in breach.sentence
    assert "test:test" not in breach.sentence
    home.close()
