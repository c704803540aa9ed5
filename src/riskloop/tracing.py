"""Traces by OpenTelemetry (the extra `otel`), where its environment variables ask for them.

Otherwise nothing of it is imported. Spans say what was done, how long it took and on how many rows. No value of a
customer is in them, nor the words of an error, which may repeat one.
"""

import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TypeVar

log = logging.getLogger("riskloop.tracing")
log.addHandler(logging.NullHandler())

TRACED: Final = frozenset(("/predict", "/predict/batch"))
_ADDRESSES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_CARRIED: Final = frozenset((b"traceparent", b"tracestate"))
_FAILED: Final = 500  # from this status on an answer is the server's failure

T = TypeVar("T")
Attribute = str | int | float | bool
Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Any, Send], Awaitable[None]]


def wanted() -> bool:
    """Whether the environment asks for traces: by an address to send them to, or by naming an exporter."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    named = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return named != "none" and (bool(named) or any(os.environ.get(name) for name in _ADDRESSES))


def tracer() -> Any:
    """What makes spans; None where nobody asked for them, or the extra is missing, which the log says.

    A program that has set up OpenTelemetry keeps its provider. Otherwise one is made that sends by OTLP over HTTP, in
    a thread of its own: address, headers, sampling and limits are those of the `OTEL_*` variables.
    """
    if not wanted():
        return None
    try:
        from opentelemetry import trace

        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(_provider())
    except ImportError as error:
        _say_missing(str(error))
        return None
    return trace.get_tracer("riskloop")


def flush() -> None:
    """Send what waits, before a process may be ended by a signal, which would skip the SDK's own tidying up."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None and wanted():
        getattr(trace.get_tracer_provider(), "force_flush", lambda: None)()


@cache
def _say_missing(problem: str) -> None:
    """Once, not at every span."""
    words = "OTEL_* variables ask for traces; none are sent: %s. Install the extra: pip install 'riskloop[otel]'"
    log.warning(words, problem, extra={"action": "tracing_missing"})


def _provider() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    name = os.environ.get("OTEL_SERVICE_NAME")
    provider = TracerProvider(resource=Resource.create({} if name else {SERVICE_NAME: "riskloop"}))
    console = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "console"
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter() if console else OTLPSpanExporter()))
    return provider


@contextmanager
def span(name: str, **attributes: Attribute) -> Iterator[None]:
    """A block, or a function, that is a span of its own under the one that is under way."""
    made = tracer()
    if made is None:
        yield
        return
    with made.start_as_current_span(
        name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            _fail(current, type(error).__name__)
            raise


def _named(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {f"riskloop.{name}": value for name, value in attributes.items()}


def _fail(current: Any, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    current.set_attribute("error.type", kind)
    current.set_status(Status(StatusCode.ERROR))


def trace_ids() -> dict[str, str]:
    """The trace and the span that are under way, for a line of the log; empty where there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


class Trace:
    """One request's span that is recorded. Its parts may be added in any thread, also after they are over."""

    def __init__(self, made: Any, root: Any) -> None:
        from opentelemetry.trace import format_trace_id, set_span_in_context

        self._tracer = made
        self._root = root
        self._inside = set_span_in_context(root)
        self.id: str = format_trace_id(root.get_span_context().trace_id)

    def part(self, name: str, started: int, ended: int, **attributes: Attribute) -> None:
        """A span below the request's, from and to nanoseconds since 1970."""
        made = self._tracer.start_span(name, self._inside, attributes=_named(attributes), start_time=started)
        made.end(ended)

    def each(self, name: str, items: Iterable[T], rows: Callable[[T], int]) -> Iterator[T]:
        """The items, with a part for the making of each one."""
        found, started = iter(items), time.time_ns()
        for item in found:
            self.part(name, started, time.time_ns(), rows=rows(item))
            yield item
            started = time.time_ns()

    def decided(self, first_id: int, rows: int, version: int) -> None:
        """Which decisions the request became: on its span, and in the log, which mostly is kept for longer."""
        about: dict[str, Attribute] = {"decision_id": str(first_id), "rows": rows, "model_version": version}
        self._root.set_attributes(_named(about))
        words = "Decision %d was logged" if rows == 1 else "Decisions from %d on were logged"
        log.info(words, first_id, extra={"action": "decision", **about, "trace_id": self.id})


class TracedRequests:
    """An application whose scoring requests are spans, within the trace that their `traceparent` names.

    What it calls finds its `Trace` in the scope; there is none for a request that is not sampled.
    """

    def __init__(self, made: Any, inner: Application) -> None:
        self._tracer = made
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] not in TRACED or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, use_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carried = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}
        path = scope["path"]
        root = self._tracer.start_span(
            f"POST {path}",
            TraceContextTextMapPropagator().extract(carried),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": "POST", "http.route": path},
        )

        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                root.set_attribute("http.response.status_code", message["status"])
                if message["status"] >= _FAILED:
                    _fail(root, str(message["status"]))
            await send(message)

        if root.is_recording():
            scope["riskloop.trace"] = Trace(self._tracer, root)
        with use_span(root, end_on_exit=True, record_exception=False):
            await self._inner(scope, receive, noted)


def trace_of(scope: Scope) -> Trace | None:
    """The trace that a request is recorded in; None where it is not."""
    found: Trace | None = scope.get("riskloop.trace")
    return found
