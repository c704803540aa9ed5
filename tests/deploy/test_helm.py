"""The Helm chart, read and rendered by Helm itself: the library that the `helm` program is made of, in a wheel."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "riskloop"
SQLITE = '[portfolio]\ntarget = "bad"\n[features.debt]\n'
POSTGRES = f'{SQLITE}[storage]\nurl = "postgresql+psycopg://riskloop@db/riskloop"\n'
SHARED: dict[str, Any] = {
    "database": "postgresql", "config": POSTGRES, "password": {"secret": "db"},
    "api": {"replicas": 3}, "worker": {"replicas": 2}, "persistence": {"accessMode": "ReadWriteMany"},
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("helm_python") is None and not os.environ.get("CI"),
    reason="Helm is not installed (pip install helm-python-sdk==0.2.2); CI installs it.",
)


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    from helm_python import Chart

    with Chart.load(CHART) as chart:
        files = chart.render(values, name="pd", namespace="risk")
    texts = [text for path, text in files.items() if not path.endswith("NOTES.txt")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def of(kind: str, documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: d["spec"]["template"]["spec"] for name, d in of("Deployment", documents).items()}


@pytest.mark.parametrize("values", [{"config": SQLITE}, SHARED], ids=["sqlite", "postgresql"])
def test_helm_finds_no_fault(values: dict[str, Any]) -> None:
    from helm_python import lint

    report = lint(CHART, values, strict=True)
    assert report["errors"] in (None, [])
    assert [m for m in report["messages"] if m["severity"] > 1] == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two APIs on SQLite": ({"config": SQLITE, "api": {"replicas": 2}}, "SQLite is a file of one pod"),
    "two workers on SQLite": ({"config": SQLITE, "worker": {"replicas": 2}}, "SQLite is a file of one pod"),
    "SQLite of a Secret": ({"configSecret": "own", "api": {"replicas": 5}}, "SQLite is a file of one pod"),
    "no settings": ({}, "one of both"),
    "two settings": ({"config": SQLITE, "configSecret": "own"}, "one of both"),
    "another database": ({"config": SQLITE, "database": "mysql"}, "sqlite or postgresql"),
    "a lie": ({**SHARED, "config": SQLITE}, "says otherwise"),
    "another lie": ({"config": POSTGRES}, "says otherwise"),
    "a password": ({**SHARED, "config": POSTGRES.replace("riskloop@", "riskloop:x@")}, "holds the database's password"),
    "a volume of one node": ({**SHARED, "persistence": {"accessMode": "ReadWriteOnce"}}, "ReadWriteMany"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_something_is_refused_before_it_is_installed(name: str) -> None:
    from helm_python import HelmRenderError

    values, said = REFUSED[name]
    with pytest.raises(HelmRenderError, match=said):
        rendered(values)


def test_on_sqlite_one_pod_does_everything_and_no_second_one_overlaps() -> None:
    documents = rendered({"config": SQLITE})
    assert list(of("Deployment", documents)) == ["pd-riskloop-api"]
    spec = of("Deployment", documents)["pd-riskloop-api"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"] == ["up", "--host", "0.0.0.0", "--workers", "2"]  # noqa: S104


def test_on_postgresql_there_are_apis_a_worker_and_its_standby() -> None:
    documents = rendered(SHARED)
    replicas = {name: d["spec"]["replicas"] for name, d in of("Deployment", documents).items()}
    assert replicas == {"pd-riskloop-api": 3, "pd-riskloop-worker": 2}
    found = pods(documents)
    assert found["pd-riskloop-api"]["containers"][0]["args"][0] == "serve"
    assert found["pd-riskloop-worker"]["containers"][0]["args"] == ["watch"]
    assert list(of("PodDisruptionBudget", documents)) == ["pd-riskloop-api"]
    for pod in found.values():
        key = pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]
        assert key == {"name": "db", "key": "password"}
        assert "x" not in str(of("Secret", documents)["pd-riskloop-config"]["stringData"]).partition("//")[2][:9]
    config = of("Secret", documents)["pd-riskloop-config"]["stringData"]["riskloop.toml"]
    assert config == POSTGRES


@pytest.mark.parametrize("values", [{"config": SQLITE}, SHARED, {**SHARED, "maintenance": True}])
def test_every_pod_is_closed_in(values: dict[str, Any]) -> None:
    documents = rendered(values)
    for pod in pods(documents).values():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        assert set(mounts.values()) == {v["name"] for v in pod["volumes"]}
        assert set(mounts) == {"/data", "/data/riskloop.toml", "/tmp"}  # noqa: S108
        probed = {name for name in container if name.endswith("Probe")}
        serves = container.get("args", [""])[0] in ("up", "serve")
        assert probed == ({"startupProbe", "livenessProbe", "readinessProbe"} if serves else set())


def test_what_refers_to_something_finds_it() -> None:
    documents = rendered(SHARED)
    service = of("Service", documents)["pd-riskloop"]["spec"]["selector"]
    api = of("Deployment", documents)["pd-riskloop-api"]["spec"]
    assert service == api["selector"]["matchLabels"] == api["template"]["metadata"]["labels"]
    claims = of("PersistentVolumeClaim", documents)
    for pod in pods(documents).values():
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] in claims
        assert volumes["config"]["secret"]["secretName"] in of("Secret", documents)
