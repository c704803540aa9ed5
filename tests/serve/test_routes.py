import gzip
import io
import json
import math
import re
import tempfile
from datetime import UTC, datetime
from typing import Any

import httpx
import pandas as pd
import pytest

from riskloop.core.errors import Refused
from riskloop.core.types import Json
from riskloop.identity.client import is_loopback
from riskloop.scoring.decoder import Decoder
from riskloop.serve.openapi import example
from riskloop.serve.process import check_bind
from riskloop.store.home import Home
from riskloop.store.keys import Keys, Role

from .conftest import ROW, Running, add_model

NOW = datetime(2025, 5, 1, tzinfo=UTC)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is refused


def test_the_document_names_the_exact_fields_and_its_example_is_scored(client: httpx.Client, home: Home) -> None:
    document = client.get("/openapi.json").json()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = resolved(document, body["schema"])
    assert set(row["properties"]) == {"id", "day", "debt", "income", "job", "sex"}
    assert set(row["required"]) == {"id", "debt", "job", "sex"}
    assert row["additionalProperties"] is False
    assert row["properties"]["debt"] == {"type": "number", "minimum": 0, "maximum": 10}
    assert row["properties"]["sex"]["anyOf"][0]["enum"] == ["1", "2"]
    assert "no model input" in row["properties"]["sex"]["description"]
    answer = client.post("/predict", json=body["example"])
    assert answer.status_code == 200
    content = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    known = resolved(document, content["schema"])
    assert set(known["required"]) <= set(answer.json()) <= set(known["properties"])
    assert known["properties"]["flags"]["type"] == "object"


def resolved(document: Json, schema: Json) -> Json:
    """What a reference of the document refers to."""
    found: Json = document
    for name in schema["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_the_documentation_needs_no_other_machine(client: httpx.Client) -> None:
    page = client.get("/docs")
    addresses = re.findall(r'(?:src|href|url)[=:]\s*["\']([^"\']+)', page.text)
    assert sorted(addresses) == [
        "/docs/files/swagger-ui-bundle.js",
        "/docs/files/swagger-ui.css",
        "/openapi.json",
        "data:,",
    ]
    assert "http" not in page.headers["content-security-policy"]
    for address in addresses:
        if address.startswith("/"):
            assert client.get(address).status_code == 200
    assert client.get("/redoc").status_code == 404


def test_batches_and_outcomes_are_documented_with_bodies_that_work(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    client.post("/predict", json={**ROW, "id": "1", "day": "2025-03-01"})  # whom the example's outcome is about
    for path in ("/predict/batch", "/outcomes"):
        for kind, body in paths[path]["post"]["requestBody"]["content"].items():
            if "example" in body:
                content = body["example"] if isinstance(body["example"], str) else json.dumps(body["example"])
                answer = client.post(path, content=content, headers={"content-type": kind})
                assert answer.status_code == 200, answer.text
    assert all(
        "security" in how for path, item in paths.items() if path.startswith("/predict") for how in item.values()
    )


def test_the_documentation_asks_for_any_key(server: Running, home: Home) -> None:
    key = Keys(home.database).create("k", [Role.SCORE], at=NOW, by="test")
    client = server.start()
    for path in ("/docs", "/openapi.json"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"x-api-key": key}).status_code == 200


def test_without_keys_another_sites_name_opens_nothing(client: httpx.Client) -> None:
    for path in ("/model", "/docs", "/"):
        assert client.get(path, headers={"host": "evil.example"}).status_code == 403
    refused = client.post("/predict", json=ROW, headers={"host": "evil.example:8000"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert client.post("/predict", json=ROW, headers={"host": host}).status_code == 200


def test_the_example_is_a_row_of_any_schema(home: Home) -> None:
    schema = home.schema
    import json

    assert Decoder(schema).row(json.dumps(example(schema)).encode(), 0).unseen is None


def test_what_is_served_is_shown(client: httpx.Client, home: Home) -> None:
    add_model(home, intercept=1.0)
    assert client.get("/model").json()["version"] == 1
    assert client.get("/model").json()["schema"]["target"] == "bad"
    assert [m["version"] for m in client.get("/models").json()] == [1, 2]
    assert client.get("/drift").json() == []
    assert client.get("/cases").json() == []


def test_a_logged_decision_is_shown_as_it_was_sent(client: httpx.Client) -> None:
    answer = client.post("/predict", json=ROW).json()
    shown = client.get("/decisions/1").json()
    assert shown["features"] == {"debt": 4, "income": 2.5, "job": "clerk", "sex": "2"}
    assert shown["probability"] == answer["probability"]
    assert client.get("/decisions/2").status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/decisions/x", 422),
        ("/decisions/9999999999999999999999", 422),
        ("/cases/7", 404),
        ("/cases/9999999999999999999999", 422),
        ("/models/at/9999-12-31T23:59:59-12:00", 422),
        ("/drift?windows=0", 422),
    ],
)
def test_refusals_have_one_shape(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message", "details"}


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        (b"{", 400, "malformed", "not valid JSON"),
        (b"\xff", 400, "malformed", "not valid JSON"),
        (b"[" * 60_000, 422, "bad_data", "body: Expected `object`, got `array`"),
        (b"[" * 100_000, 413, "too_large", "65,536 bytes"),
        (b"", 400, "malformed", "not valid JSON"),
        (b"{}", 422, "bad_data", "reason: "),
        (b'{"reason": " "}', 422, "bad_data", "reason: "),
        (b'{"reason": 1}', 422, "bad_data", "reason: "),
        (b'{"reason": "\\ud800"}', 400, "malformed", "not valid JSON"),
        (b'{"reason": "why", "when": "now"}', 422, "bad_data", "when: "),
    ],
)
def test_a_bad_promotion_is_refused_in_the_same_shape(
    client: httpx.Client, body: bytes, status: int, code: str, said: str
) -> None:
    answer = client.post("/models/1/promote", content=body, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert said in error["message"]


def test_a_person_promotes_over_http_and_is_on_record(client: httpx.Client, home: Home) -> None:
    version = add_model(home, intercept=1.0)
    body = {"reason": "better in the pilot", "force": True}
    assert client.post(f"/models/{version}/promote", json=body).json()["version"] == version
    champion = home.ledger.champion()
    assert champion is not None
    assert (champion.version, champion.by, champion.reason) == (version, "local", "better in the pilot")
    assert client.post(f"/models/{version}/promote", json={}).status_code == 422
    assert client.post("/models/99/promote", json=body).status_code == 404


@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
def test_outcomes_come_as_json_or_csv(client: httpx.Client, kind: str) -> None:
    client.post("/predict", json={**ROW, "day": "2025-05-01"})
    content = '[{"id": "anna", "bad": 1}, {"id": "otto", "bad": 0}]' if "json" in kind else "id,bad\nanna,1\notto,0\n"
    answer = client.post("/outcomes", content=content, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["recorded"], answer.json()["unmatched"]) == (1, ["otto"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("row", "field"), [(1, "bad"), (2, "id"), (3, "known_at"), (40, "bad"), (7, "decision_id")])
def test_what_json_does_not_have_is_named_in_outcomes_as_in_rows(
    client: httpx.Client, row: int, field: str, value: float
) -> None:
    rows: list[dict[str, Any]] = [{"id": f"c{n}", "bad": n % 2} for n in range(40)]
    rows[row - 1] = {**rows[row - 1], field: value}
    answer = client.post("/outcomes", content=json.dumps(rows), headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    (detail,) = answer.json()["error"]["details"]
    assert (detail["field"], detail["value"]) == (field, str(value))
    assert detail["problem"].startswith(f"row {row}:")
    assert f"'{field}' (row {row})" in answer.json()["error"]["message"]


def _workbook(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_excel(out, index=False)
    return out.getvalue()


TOLD = pd.DataFrame({"id": ["anna", *(f"otto{i}" for i in range(8))], "bad": [1, *[0] * 8]})
BODIES: dict[str, tuple[str, Any]] = {
    "semicolons": ("text/csv", TOLD.to_csv(index=False, sep=";").encode()),
    "UTF-16": ("text/csv", TOLD.to_csv(index=False).encode("utf-16")),
    "fixed widths": ("text/csv", (TOLD.to_string(index=False) + "\n").encode()),
    "tabs": ("text/tab-separated-values", TOLD.to_csv(index=False, sep="\t").encode()),
    "a page": ("text/html", f"<html><body>{TOLD.to_html(index=False)}</body></html>".encode()),
    "Parquet": ("application/vnd.apache.parquet", TOLD.to_parquet()),
    "a workbook": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _workbook(TOLD)),
    "one JSON object a line": ("application/x-ndjson", TOLD.to_json(orient="records", lines=True).encode()),
    "gzip": ("application/gzip", gzip.compress(TOLD.to_csv(index=False).encode())),
    "whatever it is": ("application/octet-stream", TOLD.to_parquet()),
}


@pytest.mark.parametrize("name", BODIES)
def test_outcomes_come_as_any_file_that_the_command_line_reads(client: httpx.Client, name: str) -> None:
    client.post("/predict", json={**ROW, "day": "2025-05-01"})
    kind, content = BODIES[name]
    answer = client.post("/outcomes", content=content, headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["recorded"] + found["repeated"] == 1
    assert len(found["unmatched"]) == 8


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/zip", b"PK\x03\x04 and no more"),
        ("text/html", b"<html><body>Please log in</body></html>"),
        ("application/vnd.apache.parquet", b"PAR1PAR1"),
        ("application/gzip", gzip.compress(b"\0" * 70_000_000, 6)),
        ("application/octet-stream", b"%PDF-1.7"),
    ],
    ids=["zip", "login", "parquet", "bomb", "pdf"],
)
def test_a_file_of_outcomes_that_is_none_is_refused_without_the_servers_paths(
    client: httpx.Client, kind: str, content: bytes
) -> None:
    answer = client.post("/outcomes", content=content, headers={"content-type": kind})
    assert answer.status_code in (400, 422), answer.text
    assert tempfile.gettempdir() not in answer.text


@pytest.mark.parametrize(("content", "status"), [("[", 400), ("[1]", 400), ('[{"id": "anna"}]', 422), ("[]", 422)])
def test_bad_outcomes_are_refused(client: httpx.Client, content: str, status: int) -> None:
    answer = client.post("/outcomes", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}


def test_outcomes_in_another_kind_are_told_which_kinds_there_are(client: httpx.Client) -> None:
    answer = client.post("/outcomes", content=b"PAR1", headers={"content-type": "application/parquet"})
    assert answer.status_code == 415
    assert "/outcomes reads application/json, text/csv, " in answer.text
    assert "not 'application/parquet'" in answer.text


CALLS: dict[Role, list[tuple[str, str, Any]]] = {
    Role.SCORE: [("POST", "/predict", ROW), ("POST", "/predict/batch", [ROW])],
    Role.OUTCOMES: [("POST", "/outcomes", [{"id": "anna", "bad": 1}])],
    Role.VIEW: [("GET", path, None) for path in ("/model", "/models", "/drift", "/cases", "/decisions/1", "/metrics")],
    Role.OPERATE: [("POST", "/models/1/promote", {"reason": "x"})],
}


@pytest.mark.parametrize("role", list(Role))
def test_a_key_opens_its_own_doors_only(server: Running, home: Home, role: Role) -> None:
    key = Keys(home.database).create("k", [role], at=NOW, by="test")
    client = server.start()
    for needed, calls in CALLS.items():
        for method, path, body in calls:
            status = client.request(method, path, json=body, headers={"x-api-key": key}).status_code
            if role in (needed, Role.OPERATE):
                assert status not in (401, 403), path
            else:
                assert status == 403, path
            assert client.request(method, path, json=body).status_code == 401, path


def test_a_key_travels_in_any_of_three_ways(server: Running, home: Home) -> None:
    key = Keys(home.database).create("k", [Role.VIEW], at=NOW, by="test")
    client = server.start()
    assert client.get("/model", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert client.get("/model", headers={"x-api-key": key}).status_code == 200
    assert client.get("/model", auth=("anybody", key)).status_code == 200
    refused = client.get("/model", headers={"authorization": "Basic ???"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="riskloop"')
    for path in ("/healthz", "/readyz"):
        assert client.get(path).status_code == 200


def test_a_revoked_key_stops_working_at_once(server: Running, home: Home) -> None:
    import time

    keys = Keys(home.database)
    key, _other = (keys.create(name, [Role.SCORE], at=NOW, by="test") for name in ("a", "b"))
    client = server.start()
    headers = {"x-api-key": key}
    assert client.post("/predict", json=ROW, headers=headers).status_code == 200
    keys.revoke("a", at=NOW, by="test")
    until = time.monotonic() + 10
    while client.post("/predict", json=ROW, headers=headers).status_code != 401:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_without_keys_only_this_machine_may_be_served() -> None:
    check_bind("127.0.0.1", has_keys=False)
    check_bind(EVERYWHERE, has_keys=True)
    with pytest.raises(Refused, match="keys create"):
        check_bind(EVERYWHERE, has_keys=False)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_what_loopback_is(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
