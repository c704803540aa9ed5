"""How large an installation without extras is, and what of it.

    python -m benchmarks.installed [--json]

Installs this checkout into an environment of its own, without extras, and adds up the files that each package has
recorded, in megabytes of 1,000,000 bytes. What installs packages (pip, setuptools) is left out. Needs a package index.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SHOWN: Final = 16
_SIZES: Final = """
import importlib.metadata, json
files = {d.name: [f.locate() for f in d.files or ()] for d in importlib.metadata.distributions()}
print(json.dumps({name: sum(f.stat().st_size for f in found if f.is_file()) for name, found in files.items()}))
"""


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each package of a fresh installation."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(Path(__file__).parent.parent)], check=True)
    out = subprocess.run([python, "-c", _SIZES], capture_output=True, text=True, check=True).stdout
    found: dict[str, int] = json.loads(out)
    return {name: size for name, size in found.items() if name not in ("pip", "setuptools")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = sizes(Path(folder))
    if options.json:
        print(json.dumps(found))
        return
    total = sum(found.values())
    print(f"{len(found)} packages, {total / 1e6:,.0f} MB")
    for name, size in sorted(found.items(), key=lambda item: -item[1])[:SHOWN]:
        print(f"{name:<24}{size / 1e6:>8.1f}{size / total:>8.1%}")


if __name__ == "__main__":
    main()
