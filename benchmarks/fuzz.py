"""Does any request bring a 5xx, an answer that is not documented, or another content type?

    python -m benchmarks.fuzz [--quick] [--requests N] [--seed N] [--folder DIR]

Schemathesis reads /openapi.json of a real server and asks every operation, with values that fit and values that
do not, and follows the links from answer to answer; once for each role, and without a key. Exit code 1 when something
was found.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import requests

from benchmarks.serving import prepare, running
from riskloop.portfolio import Portfolio
from riskloop.store.keys import Role

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "ignored_auth",
    "unsupported_method",
    "use_after_free",
    "ensure_resource_availability",
)
SEED: Final = 20_251
EXAMPLES: Final = 12  # for each operation and way, in one round
PHASES: Final = "coverage,fuzzing,stateful"
NOBODY: Final = "nobody"
_HOOKS: Final = """
import schemathesis
for kind in ("application/x-ndjson", "application/vnd.apache.arrow.stream"):
    @schemathesis.serializer(kind)
    def as_it_is(context, value):
        return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
"""


@dataclass
class Fuzzed:
    """What was asked and found."""

    requests: Counter[str] = field(default_factory=Counter)  # by role
    statuses: Counter[int] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)


def keys(portfolio: Portfolio) -> dict[str, str | None]:
    """A new key for each role, and none."""
    made: dict[str, str | None] = {role.value: portfolio.create_key(f"fuzz-{role}", [role.value]) for role in Role}
    return {**made, NOBODY: None}


def fuzz(
    url: str, key: str | None, role: str, folder: Path, done: Fuzzed, *, seed: int, examples: int, phases: str
) -> None:
    """One round of one role against a server that runs; ``done`` is added to."""
    hooks, report = folder / "fuzz_hooks.py", folder / f"{role}-{seed}.ndjson"
    hooks.write_text(_HOOKS, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("st")), "run", "openapi.json", "--url", url, "--no-color"]
    command += ["--checks", ",".join(CHECKS), "--phases", phases, "--mode", "all", "--seed", str(seed)]
    command += ["--max-examples", str(examples), "--continue-on-failure", "--suppress-health-check", "all"]
    command += ["--request-timeout", "60", "--report", "har", "--report-har-path", str(report)]
    if key is not None:
        command += ["--header", f"X-API-Key: {key}"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzz_hooks", "PYTHONPATH": str(folder)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    for entry in json.loads(report.read_text(encoding="utf-8"))["log"]["entries"]:
        done.requests[role] += 1
        done.statuses[int(entry["response"]["status"])] += 1
    if ended.returncode != 0:
        said = re.split(r"={5,} (?:ERRORS|FAILURES) ={5,}", ended.stdout, maxsplit=1)[-1]
        done.found.append(f"{role}, seed {seed}: {said.strip()[-6000:] or ended.stderr[-2000:]}")


def main() -> None:
    """Fuzz until enough requests were made, then say what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    wanted = 1000 if given.quick else given.requests
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        done = run(folder, wanted, given.seed)
    for role, count in done.requests.items():
        print(f"{role:<10} {count:>7,} requests")
    print("answers: " + ", ".join(f"{status}: {count:,}" for status, count in sorted(done.statuses.items())))
    print(f"{done.requests.total():,} requests, {len(done.found)} rounds with findings")
    if done.found:
        sys.exit("\n\n".join(done.found))


def run(folder: Path, wanted: int, seed: int) -> Fuzzed:
    """Rounds over all roles on one portfolio until ``wanted`` requests were made."""
    done = Fuzzed()
    home = prepare(folder, usual=False)
    with running("riskloop", folder) as server:
        known = keys(Portfolio(home))
        describe(server.url, known[Role.OPERATE], folder)
        while done.requests.total() < wanted:
            for role, key in known.items():
                sys.stderr.write(f"{done.requests.total():,} requests, {role}, seed {seed}\n")
                fuzz(server.url, key, role, folder, done, seed=seed, examples=EXAMPLES, phases=PHASES)
            seed += 1
    home.close()
    return done


def describe(url: str, key: str | None, folder: Path) -> None:
    """Keep the server's document, which not every role may read; the server knows the new keys by then."""
    until = time.monotonic() + 60
    while True:
        answer = requests.get(f"{url}/openapi.json", headers={"X-API-Key": key or ""}, timeout=10)
        open_to_all = requests.get(f"{url}/model", timeout=10).status_code == 200
        if answer.status_code == 200 and not open_to_all:
            (folder / "openapi.json").write_bytes(answer.content)
            return
        if time.monotonic() > until:
            raise TimeoutError(f"The server does not know its keys: {answer.text}")


if __name__ == "__main__":
    main()
