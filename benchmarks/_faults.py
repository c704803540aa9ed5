"""What `benchmarks.storm` does to a running portfolio, and the proxy that its clients go through."""

import asyncio
import os
import random
import resource
import signal
import socket
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

STOPPED: Final = 20.0  # seconds of a SIGSTOP
FULL: Final = 15.0  # seconds without room on the disk
HELD: Final = 12.0  # seconds that somebody else holds the write lock
DAMAGED: Final = 12.0  # seconds that a file of the champion is cut off
HOUR: Final = 3600.0
CLOCK: Final = "storm_clock"  # file with the seconds that the processes' clock is ahead

# Python runs this in each process that finds it on its path: it moves the clock of decisions, leases and sessions.
SITE: Final = f'''
import os, time
_file = os.path.join(os.environ["STORM_FOLDER"], "{CLOCK}")
_time, _time_ns, _look, _ahead = time.time, time.time_ns, [0.0], [0.0]
def _offset():
    now = time.monotonic()
    if now > _look[0]:
        _look[0] = now + 0.2
        try:
            _ahead[0] = float(open(_file).read() or 0)
        except (OSError, ValueError):
            pass
    return _ahead[0]
time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + int(_offset() * 1e9)
'''


def family(pid: int) -> dict[int, str]:
    """A process and all below it that have not ended: what kind each is."""
    parents, words = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
                words[int(folder.name)] = (folder / "cmdline").read_bytes().decode().replace("\0", " ")
    found: dict[int, str] = {}
    rest = [pid]
    while rest:
        one = rest.pop()
        if one in parents:
            spawned = "spawn_main" in words[one]
            found[one] = "loop" if " watch " in words[one] else "api" if spawned else "parent"
            rest += [child for child, parent in parents.items() if parent == one]
    return {one: kind for one, kind in found.items() if "resource_tracker" not in words[one]}


def memory(pid: int) -> dict[str, float]:
    """MiB of a process and all below it, by kind; pages that several share count once, in parts."""
    found: dict[str, float] = {}
    for one, kind in family(pid).items():
        with suppress(OSError):
            lines = (Path("/proc") / str(one) / "smaps_rollup").read_text().splitlines()
            size = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
            found[kind] = found.get(kind, 0.0) + size / 1024
    return found


class Faults:
    """Each method does one thing to the processes below ``pid()`` or to files of a folder, and undoes what it can."""

    def __init__(self, folder: Path, pid: Callable[[], int], proxy: "Proxy", chance: random.Random) -> None:
        self._folder, self._pid, self._proxy, self._chance = folder, pid, proxy, chance
        (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")

    def names(self) -> list[str]:
        """Every fault, in an order that nobody chose."""
        found = [name for name in vars(Faults) if not name.startswith("_") and name != "names"]
        self._chance.shuffle(found)
        return found

    def kill_an_api_process(self) -> None:
        self._signal("api", signal.SIGKILL)

    def kill_the_loop(self) -> None:
        self._signal("loop", signal.SIGKILL)

    def kill_everything(self) -> None:
        for pid in family(self._pid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop_an_api_process(self) -> None:
        self._stopped("api")

    def stop_the_loop(self) -> None:
        self._stopped("loop")

    def disk_full(self) -> None:
        """No file of these processes may grow; SQLite sees what it sees on a full disk."""
        limits = {}
        for pid in family(self._pid()):
            with suppress(OSError):
                limits[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[pid][1]))
        time.sleep(FULL)
        for pid, limit in limits.items():
            with suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)

    def lock_held(self) -> None:
        with closing(sqlite3.connect(self._folder / "riskloop.db", isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(HELD)
            other.execute("ROLLBACK")

    def clock_jumps_an_hour(self) -> None:
        """Forwards, and back after a while."""
        (self._folder / CLOCK).write_text(str(HOUR), encoding="utf-8")
        time.sleep(STOPPED)
        (self._folder / CLOCK).write_text("0", encoding="utf-8")

    def model_damaged(self) -> None:
        """A file of every model is cut off."""
        files = [p for p in (self._folder / "models").rglob("*") if p.is_file() and p.suffix == ".txt"]
        sound = {path: path.read_bytes() for path in files}
        for path, content in sound.items():
            path.chmod(0o600)
            path.write_bytes(content[: len(content) // 2])
        time.sleep(DAMAGED)
        for path, content in sound.items():
            path.write_bytes(content)

    def log_deleted(self) -> None:
        (self._folder / "riskloop.db-wal").unlink(missing_ok=True)

    def network_reset(self) -> None:
        until = time.monotonic() + 5.0
        while time.monotonic() < until:
            self._proxy.reset()
            time.sleep(0.1)

    def _signal(self, kind: str, number: signal.Signals) -> int | None:
        pids = [pid for pid, what in family(self._pid()).items() if what == kind]
        if not pids:
            return None
        pid = self._chance.choice(pids)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def _stopped(self, kind: str) -> None:
        pid = self._signal(kind, signal.SIGSTOP)
        time.sleep(STOPPED)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class Proxy:
    """Passes bytes on between clients and the server, and can cut every connection with a TCP reset."""

    def __init__(self, port: int) -> None:
        self.target, self._writers = port, set[asyncio.StreamWriter]()
        self._loop = asyncio.new_event_loop()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        Thread(target=self._run, daemon=True).start()

    def reset(self) -> None:
        """Cut everything that is open."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in list(self._writers):
            with suppress(OSError, AttributeError):
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", self.port))
        self._loop.run_forever()

    async def _client(self, reader: Any, writer: Any) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        finally:
            self._writers -= {writer, back}

    async def _pass(self, reader: Any, writer: Any) -> None:
        with suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()


if sys.platform != "linux":  # prlimit and /proc
    raise SystemExit("The storm needs Linux.")
