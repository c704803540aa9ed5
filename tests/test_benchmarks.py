"""`make bench` finds every benchmark by itself, and all of them know the short variant."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._processor import measured

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_benchmarks_are_found_and_described() -> None:
    lines = run("--list").stdout.splitlines()
    described = dict(line.strip().split(maxsplit=1) for line in lines)
    assert {"gate", "retrain", "serving"} <= set(described)
    assert "servers" not in described  # a part of one
    for name in described:
        assert '"--quick"' in (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8"), name


def test_an_unknown_name_is_said() -> None:
    done = run("speed")
    assert done.returncode == 1
    assert "There is no benchmark 'speed'; there are " in done.stderr
    assert "gate" in done.stderr


def test_every_benchmark_can_be_imported() -> None:
    """They are run by hand and seldom: a module that moved would be found years later."""
    names = [path.stem for path in sorted((ROOT / "benchmarks").glob("*.py")) if path.stem != "__main__"]
    program = f"import {', '.join(f'benchmarks.{name}' for name in names)}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_memory_is_the_commands_own_and_not_that_of_whoever_starts_it() -> None:
    held = b"x" * (200 << 20)
    program = "import sys; held = b'x' * (int(sys.argv[1]) << 20)"
    small, large = (measured([sys.executable, "-c", program, size]) for size in ("1", "100"))
    assert small["mb"] < 60 < 100 < large["mb"] < len(held) / 1e6
    with pytest.raises(RuntimeError, match="nothing left"):
        measured([sys.executable, "-c", "raise SystemExit('nothing left')"])
