"""What is handed over: the wheel's files, the bill of materials, pins with hashes."""

import json
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "riskloop"


def test_the_wheel_holds_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        metadata = HeaderParser().parsestr(packed.read(next(n for n in names if n.endswith("/METADATA"))).decode())
    listed = subprocess.run(["git", "ls-files", "src/riskloop"], cwd=ROOT, capture_output=True, text=True, check=True)
    committed = {line.removeprefix("src/") for line in listed.stdout.splitlines() if (ROOT / line).is_file()}
    inside = {name for name in names if not name.startswith("riskloop-")}
    assert inside == committed
    assert {"riskloop/py.typed", "riskloop/web/templates/base.html", "riskloop/web/static/pages.js"} <= inside
    beside = {name.partition("/")[2] for name in names if name.startswith("riskloop-")}
    assert beside == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra") or ()) >= {"sso", "postgres", "formats"}


def test_the_bill_of_materials_names_every_package_with_its_hashes(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        subprocess.run(
            [sys.executable, "scripts/sbom.py", str(tmp_path / name)], cwd=ROOT, check=True, capture_output=True
        )
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert found["metadata"]["component"]["name"] == "riskloop"
    parts = {part["name"].lower(): part for part in found["components"]}
    assert {"numpy", "lightgbm", "fastapi", "starlette", "sqlalchemy", "authlib", "cryptography", "psycopg"} <= set(
        parts
    )
    assert {"pytest", "mypy", "schemathesis", "flask", "catboost"}.isdisjoint(parts), "tools are not shipped"
    for part in parts.values():
        assert part["version"], part["name"]
        hashes = [h for reference in part.get("externalReferences", ()) for h in reference.get("hashes", ())]
        assert hashes, part["name"]


def test_everything_that_is_installed_is_pinned_with_hashes() -> None:
    for name in ("requirements.txt", "requirements-light.txt", "requirements-uv.txt"):
        blocks = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / name).read_text(encoding="utf-8").strip())
        for block in blocks:
            assert re.match(r"[\w.-]+(\[[\w,]+\])?==[\w.!+-]+", block), block[:80]
            assert "--hash=sha256:" in block, block[:80]
            assert "://" not in block, "no address of an index"
    assert "install --quiet --disable-pip-version-check uv" not in (ROOT / "Makefile").read_text(encoding="utf-8")
