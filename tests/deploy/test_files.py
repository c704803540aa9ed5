"""What is deployed, tried by the programs that will read it. No container can be built in a test."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, PackagePath, files
from pathlib import Path

import httpx
import pytest
import trustme
import yaml
from tests.web.story import served

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OLD = ROOT / "tests" / "old" / "format_1"


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Skipped, with a sentence, where a program is missing; CI installs all of them."""
    absent = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(absent, reason=f"{program} is not installed (Debian: apt-get install {package})")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    program = Path(shutil.which("hadolint") or ROOT / ".venv" / "bin" / "hadolint")
    done = subprocess.run([program, DEPLOY / "docker" / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_the_image_copies_is_there_and_it_runs_without_root() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("COPY") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), name
    assert text.index("USER 10001") < text.index("ENTRYPOINT")
    pinned = (DEPLOY / "docker" / "requirements.txt").read_text(encoding="utf-8")
    assert "--hash=sha256:" in pinned
    assert "\npsycopg==" in pinned
    assert "\npytest==" not in pinned


# What python:3.11-slim has of what wheels may expect of a system: PEP 600 names them all.
SLIM = re.compile(r"(linux-vdso|ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|nsl|gcc_s|stdc\+\+|z))\.so.*")
PACKAGES = {"libgomp.so.1": "libgomp1"}  # Debian's


def test_the_image_has_the_libraries_of_the_system_that_wheels_load() -> None:
    lines = (DEPLOY / "docker" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split("==")[0] for line in lines if re.match(r"[a-z0-9.\-]+==", line)]
    files = [file for name in names for file in _files(name) if ".so" in file.suffixes and ".libs" not in file.parts[0]]
    known = [str(file.locate()) for file in files if Path(file.locate()).exists()]
    assert len(known) > 100
    done = subprocess.run(["ldd", *known], capture_output=True, text=True, check=True)
    outside = set()
    for name, where in re.findall(r"^\s+(\S+) => (\S+)", done.stdout, flags=re.MULTILINE):
        if "site-packages" not in where and not SLIM.fullmatch(name):
            outside.add(name)
    assert outside == set(PACKAGES)  # else an image would find out when it runs
    text = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert all(package in text for package in PACKAGES.values())


def _files(distribution: str) -> list[PackagePath]:
    try:
        return files(distribution) or []
    except PackageNotFoundError:  # of another platform
        return []


def test_the_services_of_compose_fit_together() -> None:
    text = (DEPLOY / "docker" / "compose.yml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    services = found["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", ())) <= set(found["secrets"]), name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in found["volumes"] or source.startswith("./") or (DEPLOY / "docker" / source).exists()
    head = text[: text.index("x-riskloop:")]
    for secret in found["secrets"]:
        assert secret in head  # whoever starts it has to make the file
    for name in ("api-1", "api-2", "worker"):
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
    assert services["worker"]["command"] == ["watch"]


def test_grafana_finds_prometheus_and_the_dashboard_by_itself() -> None:
    services = yaml.safe_load((DEPLOY / "docker" / "compose.yml").read_text(encoding="utf-8"))["services"]
    mounts = dict(mount.split(":")[:2] for mount in services["grafana"]["volumes"])
    inside = {where: (DEPLOY / "docker" / source).resolve() for source, where in mounts.items()}
    provisioning = inside["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in services
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "riskloop.yml").read_text())["providers"]
    (dashboard,) = (path for where, path in inside.items() if Path(where).parent == Path(provider["options"]["path"]))
    variables = json.loads(dashboard.read_text(encoding="utf-8"))["templating"]["list"]
    assert source["type"] in {variable["query"] for variable in variables if variable["type"] == "datasource"}


@needs("systemd-analyze", "systemd")
@pytest.mark.parametrize(
    "name", ["riskloop-serve.service", "riskloop-watch.service", "riskloop-cycle.service", "riskloop-cycle.timer"]
)
def test_a_unit_is_one_that_systemd_takes(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
    unit = tmp_path / name
    unit.write_text(text.replace("/srv/riskloop/venv/bin/riskloop", "/bin/true").replace("User=riskloop", "User=root"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert name not in done.stderr, done.stderr


@contextmanager
def nginx(folder: Path, servers: list[str]) -> Iterator[str]:
    """The shipped configuration with a certificate of its own, in front of two servers; its port."""
    text = (DEPLOY / "nginx" / "riskloop.conf").read_text(encoding="utf-8")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    port = free_port()
    for name, url in zip(("api-1:8000", "api-2:8000"), servers, strict=True):
        text = text.replace(name, url.removeprefix("http://"))
    text = text.replace("8443", f"127.0.0.1:{port}").replace("/run/secrets", str(folder))
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{text}\n}}\n"
    )
    with subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"]) as process:
        try:
            yield f"https://localhost:{port}"
        finally:
            process.terminate()


@needs("nginx", "nginx")
def test_two_machines_behind_nginx_answer_over_tls(tmp_path: Path) -> None:
    folder = tmp_path / "portfolio"
    shutil.copytree(OLD, folder)
    row = {"day": "2025-03-05", "debt": 21.5, "income": 3.3, "age": 64, "job": "clerk"}
    with served(folder, "--workers", "1") as first:
        second_folder = tmp_path / "second"
        shutil.copytree(OLD, second_folder)
        with served(second_folder) as second, nginx(tmp_path, [first, second]) as url:
            trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            with httpx.Client(base_url=url, verify=trusted, trust_env=False, timeout=60) as client:
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    try:
                        if client.get("/readyz").status_code == 200:
                            break
                    except httpx.TransportError:
                        time.sleep(0.1)
                answers = [client.post("/predict", json={"id": f"n{k}", **row}) for k in range(8)]
                assert {a.status_code for a in answers} == {200}
                assert client.get("/").status_code == 200
                kind = {"Content-Type": "application/json"}
                big = client.post("/predict/batch", content=b"[" + b" " * 2_000_000 + b"]", headers=kind)
                assert big.status_code in (200, 422)
    ids = [int(a.json()["decision_id"]) for a in answers]
    assert sorted(ids) == sorted([241, 242, 243, 244] * 2)  # each machine has a log of its own here
