"""What `serve/connections.py` takes from uvicorn's protocol, which is no public interface, is there and as expected."""

import ast
import asyncio
import inspect
import textwrap
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from uvicorn import Config
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from riskloop.serve.connections import Connection

ROOT = Path(__file__).parents[2]
TREE = ast.parse(textwrap.dedent(inspect.getsource(Connection)))
OVERRIDDEN = [n for n, v in vars(Connection).items() if inspect.isfunction(v) and hasattr(HttpToolsProtocol, n)]


def attributes_of(owner: str) -> set[str]:
    """Names that Connection reads as ``owner.NAME`` and does not set itself."""
    found = [n for n in ast.walk(TREE) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == owner]
    written = {n.attr for n in found if isinstance(n.ctx, ast.Store)}
    return {n.attr for n in found} - written - (set(vars(Connection)) if owner == "self" else set())


@pytest.fixture
def protocol() -> Iterator[HttpToolsProtocol]:
    async def app(scope: object, receive: object, send: object) -> None: ...

    loop = asyncio.new_event_loop()
    yield HttpToolsProtocol(Config(app, log_config=None), ServerState(), {}, _loop=loop)
    loop.close()


def test_the_version_is_bounded_and_inside_the_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = next(r for r in map(Requirement, project["dependencies"]) if r.name == "uvicorn")
    assert any(part.operator in {"<", "<=", "=="} for part in wanted.specifier)
    assert version("uvicorn") in wanted.specifier


def test_every_attribute_that_is_read_is_there(protocol: HttpToolsProtocol) -> None:
    used = attributes_of("self")
    assert {"cycle", "flow", "pipeline", "transport", "app_state", "loop"} <= used  # else this test sees nothing
    assert {name for name in used if not hasattr(protocol, name)} == set()


@pytest.mark.parametrize(("owner", "kind"), [("self.cycle", RequestResponseCycle), ("self.flow", FlowControl)])
def test_what_hangs_on_it_is_there_too(owner: str, kind: type) -> None:
    used = attributes_of(owner)
    assert used
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    known = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "self"}
    assert used <= known | set(vars(kind))


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_an_overridden_method_has_its_parameters(name: str) -> None:
    ours, theirs = (list(inspect.signature(getattr(c, name)).parameters) for c in (Connection, HttpToolsProtocol))
    assert ours == theirs


def test_the_callbacks_are_overridden_and_called_by_the_parser() -> None:
    assert {"data_received", "on_message_begin", "on_headers_complete", "pause_writing", "send_400_response"} <= set(
        OVERRIDDEN
    )
    source = inspect.getsource(HttpToolsProtocol)
    assert "HttpRequestParser(self)" in source
    assert "self.send_400_response(" in source
    assert httptools_impl.STATUS_LINE[431].startswith(b"HTTP/1.1 431 ")
