"""The audit trail in the dashboard: who reads what is on record, and operators see it."""

from datetime import UTC, datetime

from sqlalchemy import text

from riskloop.store.audit import latest
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role

from .conftest import client_of

NOW = datetime(2025, 5, 1, tzinfo=UTC)


def test_the_page_and_its_csv_are_for_operators_and_reading_them_is_on_record(home: Home) -> None:
    keys = {
        role: Keys(home.database).create(role.value, [role], at=NOW, by="root") for role in (Role.VIEW, Role.OPERATE)
    }
    for path in ("/dashboard/audit", "/dashboard/audit.csv"):
        refused = client_of(home).get(path, headers={"x-api-key": keys[Role.VIEW]})
        assert refused.status_code == 403
    operator = {"x-api-key": keys[Role.OPERATE]}
    page = client_of(home).get("/dashboard/audit?by=root&action=create+key", headers=operator)
    assert page.status_code == 200
    assert "create key" in page.text
    assert page.text.count('data-label="by">root<') == 2
    export = client_of(home).get("/dashboard/audit.csv?action=create+key", headers=operator)
    assert export.headers["content-type"].startswith("text/csv")
    assert [line.split(",")[1:4] for line in export.text.splitlines()[1:]] == [
        ["root", "create key", "operate"],
        ["root", "create key", "view"],
    ]
    assert [(e.by, e.action) for e in latest(home.database, 2)] == [
        ("operate", "export audit"),
        ("operate", "read audit"),
    ]
    assert client_of(home).get("/dashboard/audit?since=yesterday", headers=operator).status_code == 422
    assert client_of(home).get("/dashboard/audit?before=x", headers=operator).status_code == 422


def test_the_record_shows_its_last_checkpoint_and_a_doubt(home: Home) -> None:
    assert "Last signed checkpoint" in client_of(home).get("/").text
    with home.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM promotions"))
    assert "The record is in doubt" in client_of(home).get("/").text
