"""What a text names that is no file, and what is refused before anybody is asked."""

from pathlib import Path

import pytest

from riskloop.core.errors import ConfigError
from riskloop.core.settings import parse_settings
from riskloop.data.address import DatabaseAddress, StoreAddress, address_of, short_name

FILES = ["history.csv", "C:/loans.csv", "in/part-*.csv", "/data/a b.csv", "s3:/bucket/x", "", "select * from x"]


@pytest.mark.parametrize("text", FILES)
def test_files_are_no_addresses(text: str) -> None:
    assert address_of(text) is None
    assert address_of(Path(text)) is None


@pytest.mark.parametrize("scheme", ["s3", "gs", "abfs"])
def test_objects_are_told_without_their_options(scheme: str) -> None:
    found = address_of(f"{scheme}://bucket/a/loans.csv?region=eu-central-1")
    assert isinstance(found, StoreAddress)
    assert str(found) == f"{scheme}://bucket/a/loans.csv"


DATABASES = {
    "duckdb:///l.db SELECT a.token FROM loans a JOIN b ON a.token = b.token WHERE a.pwd = 'x'": (
        "SELECT a.token FROM loans a JOIN b ON a.token = b.token WHERE a.pwd = 'x'", True, "loans",
    ),
    "postgresql+psycopg://risk@db/lake SELECT * FROM loans": ("SELECT * FROM loans", True, "loans"),
    "postgresql+psycopg://risk@db/lake  loans ": ("SELECT * FROM loans", False, "loans"),
    "postgresql+psycopg:///lake?host=/run/pg risk.loans": ("SELECT * FROM risk.loans", False, "loans"),
    'adbc+postgresql://db/lake "Loans 2024"': ('SELECT * FROM "Loans 2024"', False, "query"),
    "sqlite:////data/lake.db with a as (select 1 as b) select b from a;": (
        "with a as (select 1 as b) select b from a", True, "a",
    ),
    "duckdb:// SELECT * FROM 'x.parquet'": ("SELECT * FROM 'x.parquet'", True, "query"),
    "mysql+pymysql://risk@db:3306/lake\nSELECT id\nFROM loans\n": ("SELECT id\nFROM loans", True, "loans"),
}  # fmt: skip


@pytest.mark.parametrize("text", DATABASES)
def test_a_database_is_asked_a_query_or_for_a_table(text: str) -> None:
    found = address_of(text)
    assert isinstance(found, DatabaseAddress)
    assert (found.query, found.is_query, short_name(text)) == DATABASES[text]
    assert text.startswith(found.url)


def test_the_password_comes_from_where_the_address_says(tmp_path: Path) -> None:
    base = "postgresql+psycopg://risk@db/lake?sslmode=require"
    plain = address_of(f"{base} loans")
    assert isinstance(plain, DatabaseAddress)
    assert plain.password({}) is None
    env = address_of(f"{base}&password_env=LAKE loans")
    assert isinstance(env, DatabaseAddress)
    assert env.url == base
    assert env.password({"LAKE": "hunter2"}) == "hunter2"
    with pytest.raises(ConfigError, match="needs its password in the environment as LAKE"):
        env.password({})
    (tmp_path / "secret").write_text("p@ss:w/rd \n")
    file = address_of(f"{base}&password_file={tmp_path}/secret loans")
    assert isinstance(file, DatabaseAddress)
    assert file.password({}) == "p@ss:w/rd "
    assert "secret" not in f"{file}{file.url}"
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match="No such file"):
        file.password({})


SECRETS = [
    "mysql://risk%3Ahunter2@db/lake loans",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Drisk%3BPWD%3Dhunter2 loans",
    "snowflake://risk@bank/lake?private_key=hunter2 loans",
    "snowflake://risk@bank/lake?passcode=hunter2 loans",
    "bigquery://bank?credentials_base64=hunter2 loans",
    "duckdb:// SELECT * FROM postgres_scan('host=db password=hunter2', 'public', 'loans')",
    "postgresql+psycopg://risk:hunter2@db/lake loans",
    "postgresql+psycopg://risk@db/lake?password=hunter2 SELECT 1",
    "postgresql+psycopg://risk@db/lake?password=hunter2 loans",
    "mssql+pyodbc://risk@db/lake?PWD=hunter2 loans",
    "s3://AKIA:hunter2@bucket/loans.csv",
    "snowflake://risk@acc/lake?token=hunter2 loans",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_password_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        address_of(text)
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize("text", SECRETS)
def test_a_configuration_with_a_password_in_its_history_is_not_opened(text: str) -> None:
    with pytest.raises(ConfigError, match="password") as refused:
        parse_settings(f'[portfolio]\ntarget = "bad"\nhistory = "{text}"\n[features.debt]\n', "riskloop.toml")
    assert "hunter2" not in f"{refused.value.message}{refused.value.details}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql+psycopg://risk@db/lake", "needs a query or a table"),
        ("postgresql+psycopg://risk@db/lake DROP TABLE loans", "neither a table's name nor a query"),
        ("postgresql+psycopg://risk@db/lake loans; delete from loans", "neither a table's name nor a query"),
        ("sqlite:///lake.db loans", "relative path"),
        ("https://example.org/loans.csv", "no address that riskloop reads"),
    ],
)
def test_what_nobody_can_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        address_of(text)
