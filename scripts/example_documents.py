"""Makes the documents in docs/examples by the commands that anybody would use.

Run: python scripts/example_documents.py FOLDER [UCI.csv]

FOLDER is a demo's portfolio (`riskloop demo --folder FOLDER`); its last champion's report becomes demo-champion.html.
With the UCI credit-card data (Yeh 2009, CC BY 4.0) a champion is trained on them, too, and reported in
uci-champion.html.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def run(*words: str) -> None:
    """One command of riskloop's."""
    subprocess.run([sys.executable, "-m", "riskloop.cli", *words], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - this package


def write_demo(folder: Path, to: Path = EXAMPLES) -> None:
    """The report of the version that the demo ends with."""
    config = str(folder / "riskloop.toml")
    run("document", "model", "4", "--out", str(to / "demo-champion.html"), "--config", config)


def write_uci(data: Path, to: Path = EXAMPLES) -> None:
    """The report of a first champion on the UCI customers."""
    with TemporaryDirectory() as folder:
        config = str(Path(folder) / "riskloop.toml")
        target = "default.payment.next.month"
        run("init", str(data), "--target", target, "--id", "ID", "--outcome-window", "30d", "--yes", "--config", config)
        run("train", "--config", config)
        run("document", "model", "1", "--out", str(to / "uci-champion.html"), "--config", config)


if __name__ == "__main__":
    write_demo(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        write_uci(Path(sys.argv[2]))
