"""The policies of one back-test, side by side in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from riskloop.backtest.history import History
from riskloop.backtest.kept import kept
from riskloop.backtest.policies import Policy, do_nothing, policy_named
from riskloop.backtest.replay import played, replay
from riskloop.core.errors import RiskloopError

FIRST: Final = "first"
POLL: Final = 0.2  # seconds
# Parts of a run's time, by measurement: retraining every period is the longest, doing nothing takes none.
WEIGHTS: Final = {"never": 0.1, "manual": 1.0, "always": 4.0}
WEIGHT: Final = 3.0

Share = Callable[[float], None]


@dataclass
class _Running:
    policy: Policy
    process: subprocess.Popen[str]


def folder_of(folder: Path, policy: Policy) -> Path:
    """Where a policy's portfolio is."""
    return folder / policy.name.replace(":", "-")


def run_all(
    folder: Path, history: History, policies: Sequence[Policy], *, approve: bool, jobs: int, share: Share
) -> None:
    """Replay every policy to the end; ``share`` is told how much of all work is done."""
    longest_first = sorted(policies, key=lambda policy: -_weight(policy))
    # A process takes seconds to start, and doing nothing takes none.
    here = [policy for policy in longest_first if jobs == 1 or policy.step is do_nothing]
    waiting, running = [policy for policy in longest_first if policy not in here], list[_Running]()
    try:
        while waiting and len(running) < jobs:
            running.append(_start(folder, waiting.pop(0), approve))
        for policy in here:
            target = folder_of(folder, policy)
            replay(target, folder / FIRST, history, policy, lambda _done: share(_share(folder, history, policies)))
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(folder, waiting.pop(0), approve))
            time.sleep(POLL)
            for entry in [entry for entry in running if entry.process.poll() is not None]:
                running.remove(entry)
                _ended(entry)
            share(_share(folder, history, policies))
    finally:
        for entry in running:
            entry.process.terminate()
            entry.process.wait()


def _start(folder: Path, policy: Policy, approve: bool) -> _Running:
    command = [sys.executable, "-m", "riskloop.backtest.runs", str(folder), policy.name, "approve" if approve else ""]
    # One core each: threads of several runs would wait for one another.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)  # noqa: S603 - our own module
    return _Running(policy, process)


def _ended(entry: _Running) -> None:
    _, errors = entry.process.communicate()
    if entry.process.returncode:
        last = errors.strip().splitlines()[-1:] or [f"it ended with code {entry.process.returncode}"]
        raise RiskloopError(f"The replay of '{entry.policy.name}' stopped: {last[0]}")


def _share(folder: Path, history: History, policies: Sequence[Policy]) -> float:
    total = sum(_weight(policy) for policy in policies) * len(history.periods)
    return sum(_weight(policy) * played(folder_of(folder, policy)) for policy in policies) / total


def _weight(policy: Policy) -> float:
    return WEIGHTS.get(policy.name, WEIGHT)


def _stop(_number: int, _frame: object) -> None:
    """Leave by way of every `finally`, so that the loop's lease is given back and the next back-test can go on."""
    sys.exit("it was stopped")


def main() -> None:
    """One policy of one back-test: FOLDER POLICY [approve]."""
    folder, name, approve = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "approve"
    policy = policy_named(name, approve=approve)
    parent = os.getppid()
    signal.signal(signal.SIGTERM, _stop)

    def go_on(_done: int) -> None:
        if os.getppid() != parent:
            sys.exit("its parent is gone")  # the period is finished; the next back-test goes on after it

    try:
        replay(folder_of(folder, policy), folder / FIRST, kept(folder), policy, go_on)
    except RiskloopError as error:
        sys.exit(error.message)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
