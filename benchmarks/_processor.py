"""Processor time and memory of processes and of whole families of them, by the kernel (Linux)."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
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


def family(pid: int) -> dict[str, float]:
    """Resident bytes of a process and all below it: ``all``, and ``own`` without what is a file's and can be let go."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    inside = {pid}
    while more := {one for one, parent in parents.items() if parent in inside} - inside:
        inside |= more
    found = {"all": 0.0, "own": 0.0}
    for one in inside:
        with suppress(OSError, ValueError):
            said = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines())
            anonymous, shared, files = (
                int(said.get(name, "0").split()[0]) << 10 for name in ("RssAnon", "RssShmem", "RssFile")
            )
            found["all"] += anonymous + shared + files
            found["own"] += anonymous + shared
    return found


def watched(command: Sequence[str], folder: Path, limit: int = 0, every: float = 0.25) -> dict[str, float | str]:
    """A command's seconds, processor seconds, and the peak of its family's memory, looked at ``every`` so many seconds.

    With a ``limit`` no process may hold more data than so many bytes (RLIMIT_DATA), and the family is killed, as the
    kernel would do it, when together they hold more. ``code`` is the exit code, ``said`` the last line.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    peak = {"all": 0.0, "own": 0.0}
    with (folder / "said.txt").open("w+") as told:
        process = subprocess.Popen(
            ["prlimit", f"--data={limit}", *command] if limit else list(command),
            cwd=folder, stdout=told, stderr=told, env=environment, start_new_session=True,
        )  # fmt: skip
        while process.poll() is None:
            now = family(process.pid)
            peak = {name: max(value, now[name]) for name, value in peak.items()}
            if limit and now["own"] > limit:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(every)
        told.seek(0)
        lines = told.read().strip().splitlines() or [""]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": time.perf_counter() - started, "cpu": cpu, **peak,
        "code": process.returncode, "said": lines[-1],
    }  # fmt: skip
