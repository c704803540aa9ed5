"""The software bill of materials: every package that riskloop and its extras need, pinned and hashed, as CycloneDX.

    python scripts/sbom.py [OUT.json]

The pins are those of requirements.txt; what only tests and tools need is left out. The same pins give the same bytes.
"""

import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
NOT_SHIPPED = frozenset({"bench"})  # extras of benchmarks


def needed(name: str = "riskloop", extras: frozenset[str] = frozenset(), found: set[str] | None = None) -> set[str]:
    """Every package that this one needs, as installed here."""
    found = set() if found is None else found
    try:
        listed = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        return found  # for another system
    if name == "riskloop":
        named = {extra for one in listed for extra in re.findall(r"extra == .(\w+)", str(one.marker or ""))}
        extras = frozenset(named) - NOT_SHIPPED
    for one in listed:
        wanted = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        key = canonicalize_name(one.name)
        if wanted and (key not in found or one.extras):
            found.add(key)
            needed(key, frozenset(one.extras), found)
    return found


def pins(names: set[str]) -> str:
    """The lines of requirements.txt about these packages."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements.txt").read_text(encoding="utf-8"))
    return "\n".join(b for b in blocks if canonicalize_name(re.split(r"[=\s\[;]", b, maxsplit=1)[0]) in names) + "\n"


def main() -> None:
    """Write it."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "sbom.json").absolute()
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(pins(needed()), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("cyclonedx-py")), "requirements", str(listed)]
        command += ["--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application", "--output-reproducible"]
        subprocess.run([*command, "--sv", "1.6", "--of", "JSON", "-o", str(out)], check=True)  # noqa: S603 - our own
    print(f"Wrote {out}.")


if __name__ == "__main__":
    main()
