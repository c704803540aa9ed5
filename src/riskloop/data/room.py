"""How much memory a process may still take. When it takes more, the kernel ends it without a word."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

PROC: Final = Path("/proc")
GROUPS: Final = Path("/sys/fs/cgroup")
# Of a group of processes by the two versions of cgroups: its limit, what it holds, and what of that can be let go.
_FILES: Final = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def room(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """Bytes that this process may still take, by the machine, its container and its own limits; None: nobody says."""
    found = [*_of_machine(proc), *_of_groups(proc, groups), *_of_limits(proc)]
    return max(0, min(found)) if found else None


def _of_machine(proc: Path) -> Iterator[int]:
    with suppress(OSError, KeyError):
        yield _sizes(proc / "meminfo")["MemAvailable"]


def _of_groups(proc: Path, groups: Path) -> Iterator[int]:
    """Of the process's control group and all above it, down to what a container sees of them."""
    with suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            root = groups / controllers
            for level in (PurePosixPath(path), *PurePosixPath(path).parents):
                yield from _of_group(root / str(level).lstrip("/"))


def _of_group(folder: Path) -> Iterator[int]:
    for limit, usage, kind in _FILES:
        with suppress(OSError, ValueError):
            most, held = int((folder / limit).read_text()), int((folder / usage).read_text())
            said = dict(line.split(" ", 1) for line in (folder / "memory.stat").read_text().splitlines())
            yield most - held + int(said.get(kind, 0))


def _of_limits(proc: Path) -> Iterator[int]:
    """What `ulimit` allows beyond what the process has."""
    if sys.platform == "win32":
        return
    import resource

    with suppress(OSError, KeyError, ValueError):
        held = _sizes(proc / "self" / "status")
        for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            most = resource.getrlimit(limit)[0]
            if most != resource.RLIM_INFINITY:
                yield most - held[name]


def _sizes(path: Path) -> dict[str, int]:
    """The sizes in a file of lines such as `VmData:  1234 kB`, in bytes."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if words[-1:] == ["kB"]}
