"""`riskloop users`: in one process, because a command of its own takes seconds to start."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from riskloop.cli.tree import app
from riskloop.core.errors import ConfigError, Conflict, NotFound, RiskloopError
from riskloop.store.audit import latest
from riskloop.store.home import Home
from riskloop.store.keys import Role
from riskloop.store.sessions import LoginKind, Sessions
from riskloop.store.users import Users

PASSWORD = "correct horse battery"
NEW = "battery horse staple"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "riskloop.toml").write_text('[portfolio]\ntarget = "bad"\n[features.debt]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RISKLOOP_PASSWORD", raising=False)
    return tmp_path


def users(*words: str, typed: str = "") -> str:
    """What the command prints; its refusal is raised."""
    done = CliRunner().invoke(app, ["users", *words], input=typed)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_user_is_made_listed_changed_and_revoked(folder: Path) -> None:
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    assert "may log in" in users("create", "anna", "--role", "view", typed=typed)
    (listed,) = json.loads(users("list", "--json"))
    assert (listed["name"], listed["roles"], listed["revoked_at"]) == ("anna", ["view"], None)
    home = Home.open(folder)
    people, settings = Users(home.database), home.settings.access
    sessions = Sessions(home.database, idle=settings.idle, longest=settings.longest)
    for words, said in (
        (("password", "anna"), "another password"),
        (("roles", "anna", "--role", "operate"), "operate"),
        (("revoke", "anna"), "nobody can log in"),
    ):
        token = sessions.begin(LoginKind.USER, "anna", address="")
        assert said in users(*words, typed=f"{NEW}\n{NEW}\n")
        assert sessions.find(token) is None, "a change logs out"
    assert not people.check("anna", PASSWORD)
    actions = [event.action for event in latest(home.database)]
    done = [action for action in actions if action.endswith(("user", "roles", "password"))]
    assert done == ["revoke user", "change roles", "change password", "create user"]
    assert PASSWORD not in str(latest(home.database))
    home.close()
    assert "anna" in users("list")


def test_the_password_may_come_from_the_environment_and_is_never_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKLOOP_PASSWORD", PASSWORD)
    said = users("create", "anna", "--role", "score", "--role", "view", "--json")
    assert json.loads(said) == {"name": "anna", "roles": ["score", "view"]}
    home = Home.open(folder)
    assert Users(home.database).check("anna", PASSWORD)
    assert Users(home.database).all()[0].roles == (Role.SCORE, Role.VIEW)
    home.close()


@pytest.mark.parametrize(
    ("words", "password", "refusal"),
    [
        (("create", "a b", "--role", "view"), PASSWORD, ConfigError),
        (("create", "ben", "--role", "king"), PASSWORD, ConfigError),
        (("create", "ben", "--role", "view"), "short", ConfigError),
        (("create", "ben", "--role", "view"), "ben ben ben ben ben", ConfigError),
        (("create", "anna", "--role", "view"), PASSWORD, Conflict),
        (("password", "nobody"), PASSWORD, NotFound),
        (("password", "anna"), "short", ConfigError),
        (("roles", "nobody", "--role", "view"), PASSWORD, NotFound),
        (("revoke", "nobody"), PASSWORD, NotFound),
    ],
)
def test_what_cannot_be_done_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], password: str, refusal: type[RiskloopError]
) -> None:
    monkeypatch.setenv("RISKLOOP_PASSWORD", PASSWORD)
    users("create", "anna", "--role", "view")
    monkeypatch.setenv("RISKLOOP_PASSWORD", password)
    with pytest.raises(refusal):
        users(*words)


def test_two_passwords_that_differ_are_asked_for_again(folder: Path) -> None:
    typed = f"{PASSWORD}\n{NEW}\n{NEW}\n{NEW}\n"
    assert "do not match" in users("create", "anna", "--role", "view", typed=typed)
    home = Home.open(folder)
    assert Users(home.database).check("anna", NEW)
    home.close()
