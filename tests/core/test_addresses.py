"""A password is nowhere among what people see of an address, however it was written."""

import pytest

from riskloop.core.addresses import without_options, without_password
from riskloop.core.errors import ConfigError
from riskloop.core.settings import parse_settings

SECRETS = (
    "hunter2",
    "p@hunter2",
    "hunter2/w",
    "a:hunter2",
    "hunter2#x",
    "hunter2?y",
    "%68unter2",
    "hunter2&z=1",
    "a b@hunter2 c",
)
PORTFOLIO = '[portfolio]\ntarget = "bad"\n[features.debt]\n'


@pytest.mark.parametrize("secret", SECRETS)
def test_what_stands_before_the_host_is_hidden(secret: str) -> None:
    for address in (f"postgresql+psycopg://ann:{secret}@db.bank:5432/lender", f"smtp://{secret}@mail.bank"):
        shown = without_password(f"It is {address}, which is refused.")
        assert "unter2" not in shown
        assert shown.startswith("It is ")
        assert "bank" in shown
        assert "unter2" not in str(without_password({"url": [address], "more": ({"to": address},)}))


@pytest.mark.parametrize("option", ["password", "sslpassword", "PWD", "access_token", "client_secret"])
def test_what_an_option_calls_a_password_is_hidden(option: str) -> None:
    address = f"postgresql+psycopg://ann@db.bank/lender?host=a:1&{option}=hunter2&sslmode=require"
    for shown in (without_password(address), without_options(address)):
        assert "hunter2" not in shown
        assert "host=a:1" in shown
        assert shown.endswith("&sslmode=require")
    assert "ann@db.bank" in without_options(address)


@pytest.mark.parametrize("text", ["", "a@b", "sqlite:///riskloop.db", "x://h/t?password_env=NAME&password_file=p"])
def test_what_holds_none_stays(text: str) -> None:
    assert without_password(text) == text
    assert without_password(7) == 7
    assert without_password(None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        '[storage]\nurl = 7\nurI = "postgresql+psycopg://ann:hunter2@db.bank/lender"\n',
        '[storag]\nurl = "postgresql+psycopg://ann:hunter2@db.bank/lender"\n',
        '[sso]\nurl = "http://ann:hunter2@login.bank"\nclient_id = "x"\n',
        '[storage]\nurl = ["postgresql+psycopg://ann:hunter2@db.bank/lender"]\n',
    ],
)
def test_settings_that_are_refused_are_shown_without_passwords(wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(PORTFOLIO + wrong)
    assert "hunter2" not in refused.value.message + repr(refused.value.details)
