"""What a process may still take: the machine, the container and its own limits each say something."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from riskloop.data.room import room


def told(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


MACHINE = {"meminfo": "MemTotal: 8000 kB\nMemAvailable:    5000 kB\n", "self/status": "VmSize: 10 kB\n"}
V2 = {**MACHINE, "self/cgroup": "0::/a/b\n"}
V1 = {**MACHINE, "self/cgroup": "8:pids:/a\n4:memory:/a\n1:cpu:/\n"}


@pytest.mark.parametrize(
    ("proc", "groups", "expected"),
    [
        (MACHINE, {}, 5000 << 10),
        (V2, {"a/b/memory.max": "max\n"}, 5000 << 10),
        (
            V2,
            {"a/memory.max": "3000\n", "a/memory.current": "2500\n", "a/memory.stat": "anon 1\ninactive_file 700\n"},
            1200,  # pages of files can be let go
        ),
        (V2, {"memory.max": "100\n", "memory.current": "300\n", "memory.stat": "inactive_file 0\n"}, 0),
        (
            V1,
            {
                "memory/a/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/a/memory.usage_in_bytes": "10\n",
                "memory/a/memory.stat": "total_inactive_file 0\n",
                "memory/memory.limit_in_bytes": "800\n",
                "memory/memory.usage_in_bytes": "100\n",
                "memory/memory.stat": "total_inactive_file 50\n",
            },
            750,
        ),
        ({}, {}, None),
    ],
)
def test_the_least_counts(tmp_path: Path, proc: dict[str, str], groups: dict[str, str], expected: int | None) -> None:
    found = room(told(tmp_path / "proc", proc), told(tmp_path / "groups", groups))
    assert found == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc says it")
def test_a_limit_of_the_process_counts() -> None:
    most = 2**30
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({most}, {most}))\n"
        "from riskloop.data.room import room; print(room())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < most
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] != most
