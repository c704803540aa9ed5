"""An object store for tests: moto's S3 in this process, on an address of this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Bucket:
    """A bucket, and how an address names what lies in it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.files, _ = self._open("b")
        self.files.create_dir("lender")

    def _open(self, key: str) -> tuple[Any, str]:
        from pyarrow import fs

        found: tuple[Any, str] = fs.FileSystem.from_uri(
            f"s3://lender/{key}?endpoint_override={self.host}&scheme=http&allow_bucket_creation=true"
        )
        return found

    def address(self, key: str) -> str:
        """Of an object, a folder or a pattern."""
        return f"s3://lender/{key}?endpoint_override={self.host}&scheme=http"

    def put(self, key: str, content: bytes) -> str:
        """Write an object; returns its address."""
        with self.files.open_output_stream(f"lender/{key}", compression=None) as out:
            out.write(content)
        return self.address(key)

    def get(self, key: str) -> bytes:
        """What an object holds."""
        with self.files.open_input_stream(f"lender/{key}", compression=None) as file:
            return bytes(file.read())

    def listed(self) -> list[str]:
        """Of all objects."""
        from pyarrow import fs

        found = self.files.get_file_info(fs.FileSelector("lender", recursive=True))
        return sorted(info.path.removeprefix("lender/") for info in found if info.is_file)


@contextmanager
def bucket() -> Iterator[Bucket]:
    """A bucket of a server that lives as long as the tests. Skipped where moto is not installed."""
    pytest.importorskip("moto", reason="moto, the object store of these tests, is not installed (`make` installs it).")
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    given = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield Bucket(":".join(map(str, server.get_host_and_port())))
    finally:
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
