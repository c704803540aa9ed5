"""Processor time and memory of processes and of whole families of them, by the kernel (Linux)."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

# A process inherits its parent's peak of memory when it is started, so a small one is put between.
_BETWEEN: Final = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
found = {"seconds": time.perf_counter() - started, "cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1e3}
open(sys.argv[1], "w").write(json.dumps(found))
sys.exit(os.waitstatus_to_exitcode(status) != 0)
"""


def measured(command: Sequence[str]) -> dict[str, float]:
    """A command's ``seconds`` by the clock, ``cpu`` seconds with its children's, and the peak of memory in ``mb``.

    The peak is that of the largest of its processes. RuntimeError with what the command said when it fails.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # bytecode is kept, as an installed package's is
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.json"
        small = [sys.executable, "-I", "-S", "-c", _BETWEEN, str(told)]
        done = subprocess.run([*small, *command], stderr=subprocess.PIPE, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode()[-2000:])
        found: dict[str, float] = json.loads(told.read_text(encoding="utf-8"))
    return found


def seconds_of(pid: int) -> float:
    """Seconds of processor that a process used with all that it started, ended ones included."""
    parents, used = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)], used[int(entry.name)] = int(words[1]), sum(map(int, words[11:15]))
    inside = {pid}
    while more := {one for one, parent in parents.items() if parent in inside} - inside:
        inside |= more
    return sum(used.get(one, 0) for one in inside) / os.sysconf("SC_CLK_TCK")
