"""What traces cost a server: throughput and processor time of /predict without them, with all, with one in a hundred.

    python -m benchmarks.tracing [--quick] [--rounds N] [--seconds S] [--json] [--folder DIR]

Three servers take turns, a few seconds each, in every round. Spans go by OTLP to a collector on the same machine that
takes and forgets them. Ratios are medians over the rounds; processor time is the server's, by the kernel.

    python -m benchmarks.tracing --layer [--rounds N]

measures the layer alone, around an application that only answers: processor time that it adds to a request, with the
encoding and sending of what was recorded. That needs no quiet machine.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread
from time import process_time, time_ns
from typing import Any, Final

from benchmarks.serving import Measured, load, prepare, processor_time, running

CONNECTIONS: Final = 64
SAMPLED: Final = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
Measure = tuple[Measured, float]  # and the server's processor seconds for a million requests


class _Collector(BaseHTTPRequestHandler):
    received = 0  # bytes

    def do_POST(self) -> None:
        type(self).received += len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def collector() -> Iterator[str]:
    """Where spans may be sent."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


CALLER: Final = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
LAYERS: Final[dict[str, tuple[dict[str, str], list[tuple[bytes, bytes]]]]] = {
    "not sampled": ({**SAMPLED, "OTEL_TRACES_SAMPLER_ARG": "0"}, []),
    "not sampled by its caller": (SAMPLED, [CALLER]),
    "recorded": ({}, []),
}


def one_layer(headers: list[tuple[bytes, bytes]], requests: int) -> float:
    """Microseconds of the processor that the layer adds to a request, in this process."""
    from riskloop.tracing import TracedRequests, flush, trace_of, tracer

    async def inner(scope: Any, _receive: Any, send: Any) -> None:
        trace, now = trace_of(scope), time_ns()
        if trace is not None:
            for part in ("decode", "score", "commit"):
                trace.part(part, now, now + 1000, group_rows=8)
            trace.decided(1, 1, 1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nobody(_message: Any) -> None:
        """The answer is dropped."""

    async def asked(application: Any, count: int) -> float:
        before = process_time()
        for number in range(count):
            scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"host", b"a"), *headers]}
            await application(scope, None, nobody)
            if application is not inner and number % 200 == 0:
                await asyncio.to_thread(flush)  # or spans would be dropped, which costs less
        return process_time() - before

    async def both() -> float:
        layer = TracedRequests(tracer(), inner)
        await asked(layer, requests // 10)
        return await asked(layer, requests) - await asked(inner, requests)

    return 1e6 * asyncio.run(both()) / requests


def measure_layers(rounds: int) -> dict[str, list[float]]:
    """Each round in a process of its own, in turns."""
    found: dict[str, list[float]] = {name: [] for name in LAYERS}
    with collector() as address:
        for _ in range(rounds):
            for name, (variables, _headers) in LAYERS.items():
                environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": address, **variables}
                command = [sys.executable, "-m", "benchmarks.tracing", "--one-layer", name]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                found[name].append(float(done.stdout))
    return found


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, list[Measure]]:
    """Each server's rounds."""
    found: dict[str, list[Measure]] = {}
    with ExitStack() as stack:
        to = {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(collector())}
        kinds: dict[str, dict[str, str]] = {"without": {}, "all": to, "one in a hundred": {**to, **SAMPLED}}
        servers = {name: stack.enter_context(running("riskloop", folder, **kind)) for name, kind in kinds.items()}
        for number in range(rounds):
            for name in sorted(servers, key=list(servers).index, reverse=number % 2 == 1):
                before = processor_time(servers[name])
                got = load(servers[name].url, folder, CONNECTIONS, seconds)
                used = processor_time(servers[name]) - before
                found.setdefault(name, []).append((got, 1e6 * used / (got.rate * seconds)))
                sys.stderr.write(f"round {number + 1} {name}: {got.rate:,.0f}/s\n")
    assert _Collector.received > 0, "no span came"
    return found


def figures(found: dict[str, list[Measure]]) -> dict[str, dict[str, float]]:
    """Medians, and those of the ratios to the round without traces."""
    plain = found["without"]
    return {
        name: {
            "requests_per_second": median(one.rate for one, _ in rows),
            "throughput_ratio": median(one.rate / other.rate for (one, _), (other, _) in zip(rows, plain, strict=True)),
            "seconds_per_million": median(used for _, used in rows),
            "processor_ratio": median(used / other for (_, used), (_, other) in zip(rows, plain, strict=True)),
            "errors": sum(one.errors for one, _ in rows),
        }
        for name, rows in found.items()
    }


def _told(name: str, rows: list[float]) -> str:
    return f"{name:<28}{median(rows):>8.1f} µs a request ({min(rows):.1f} to {max(rows):.1f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds of two seconds each")
    parser.add_argument("--rounds", type=int, help="default 9, quick 2")
    parser.add_argument("--seconds", type=float, help="of each load; default 4, quick 2")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where the portfolio is made; must be on the disk to be measured.")
    parser.add_argument("--layer", action="store_true", help="the layer alone")
    parser.add_argument("--one-layer", choices=list(LAYERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_layer is not None:
        many = 2000 if options.one_layer == "recorded" else 20_000
        print(one_layer(LAYERS[options.one_layer][1], many), flush=True)
        os._exit(0)  # what waits was sent
    if options.layer:
        layers = measure_layers(options.rounds or 5)
        print(json.dumps(layers) if options.json else "\n".join(_told(name, rows) for name, rows in layers.items()))
        return
    if shutil.which("wrk") is None:
        sys.exit("The load comes from wrk, which is not installed: `apt-get update && apt-get install -y wrk`.")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        prepare(folder, usual=False).close()
        quick = options.quick
        rounds, seconds = options.rounds or (2 if quick else 9), options.seconds or (2 if quick else 4)
        found = figures(measure(folder, rounds, seconds))
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'traces':<18}{'requests/s':>12}{'ratio':>8}{'s/million':>11}{'ratio':>8}{'errors':>8}")
    for name, one in found.items():
        rate, ratio, used, more, errors = one.values()
        print(f"{name:<18}{rate:>12,.0f}{ratio:>8.2f}{used:>11,.0f}{more:>8.2f}{errors:>8.0f}")


if __name__ == "__main__":
    main()
