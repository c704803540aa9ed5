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
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, Final, TypeVar

log = logging.getLogger("riskloop.tracing")
log.addHandler(logging.NullHandler())

TRACED: Final = frozenset(("/predict", "/predict/batch"))
_ADDRESSES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_CARRIED: Final = frozenset((b"traceparent", b"tracestate"))
_FAILED: Final = 500  # from this status on an answer is the server's failure
_PORTFOLIO: Final = "riskloop.portfolio"  # attribute of what makes the spans: several portfolios may share a process

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


def tracer(portfolio: str = "") -> Any:
    """What makes a portfolio's spans; None where nobody asked for them, or the extra is missing, which the log says.

    A program that has set up OpenTelemetry keeps its provider. Otherwise one is made that sends by OTLP over HTTP, in
    a thread of its own: address, headers, sampling and limits are those of the `OTEL_*` variables.
    """
    if not wanted():
        return None
    try:
        from opentelemetry import trace

        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _own.append(_provider())
            trace.set_tracer_provider(_own[-1])
    except ImportError as error:
        _say_missing(str(error))
        return None
    return trace.get_tracer("riskloop", attributes={_PORTFOLIO: portfolio})


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
    inner = ConsoleSpanExporter() if console else OTLPSpanExporter()
    provider.add_span_processor(CountedSpans(BatchSpanProcessor(CountedExporter(inner))))
    return provider


# --------------------------------------------------------------------------- what became of them


@dataclass(slots=True)
class SpanCount:
    """Recorded spans of one portfolio in this process. What was neither sent nor failed waits, or was dropped.

    The SDK drops what ends while too many wait, and says so to nobody who could count it.
    """

    ended: int = 0
    sent: int = 0  # the collector took them
    failed: int = 0  # it did not


class SpanCounts:
    """The counts of every portfolio, and a sentence in the log when spans begin to be lost, or arrive again."""

    def __init__(self) -> None:
        self.counts: dict[str, SpanCount] = {}
        self._lock = Lock()
        self._failing = False

    def of(self, portfolio: str) -> SpanCount | None:
        """What became of a portfolio's spans; None where riskloop itself sends none."""
        return self.counts.get(portfolio)

    def ended(self, span: Any) -> None:
        """A recorded span is over and waits to be sent."""
        with self._lock:
            self._of(span).ended += 1

    def delivered(self, spans: Iterable[Any], problem: str) -> None:
        """The collector took these, or why it did not."""
        with self._lock:
            for each in spans:
                count = self._of(each)
                count.failed += bool(problem)
                count.sent += not problem
            changed, self._failing = bool(problem) != self._failing, bool(problem)
        if changed and problem:
            log.warning("Traces are not delivered, and are lost: %s", problem, extra={"action": "tracing_failed"})
        elif changed:
            log.info("Traces are delivered again", extra={"action": "tracing_recovered"})

    def _of(self, span: Any) -> SpanCount:
        scope = span.instrumentation_scope
        name = "" if scope is None or not scope.attributes else str(scope.attributes.get(_PORTFOLIO, ""))
        return self.counts.setdefault(name, SpanCount())


class CountedSpans:
    """A processor of the SDK whose spans are counted when they end."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def on_end(self, span: Any) -> None:
        """One is over."""
        _counted.ended(span)
        self._inner.on_end(span)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class CountedExporter:
    """An exporter of the SDK whose deliveries are counted."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.shutdown = inner.shutdown
        self.force_flush = inner.force_flush

    def export(self, spans: Any) -> Any:
        """Deliver a batch."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = self._inner.export(spans)
        except Exception as error:  # noqa: BLE001 - the SDK would log it with its traceback, after every batch
            _counted.delivered(spans, type(error).__name__)
            return SpanExportResult.FAILURE
        _counted.delivered(spans, "" if result is SpanExportResult.SUCCESS else "the collector did not take them")
        return result


_own: Final[list[Any]] = []  # the provider that was made here, where the program has none
_counted: Final = SpanCounts()
span_count: Final = _counted.of


# --------------------------------------------------------------------------- spans of the loop


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
        from opentelemetry.trace import format_trace_id, get_tracer_provider, set_span_in_context

        self._tracer = made
        self._root = root
        self._own = get_tracer_provider() in _own
        self._inside = None if self._own else set_span_in_context(root)
        self.id: str = format_trace_id(root.get_span_context().trace_id)

    def part(self, name: str, started: int, ended: int, **attributes: Attribute) -> None:
        """A span below the request's, from and to nanoseconds since 1970."""
        if self._own:
            self._tracer.span_processor.on_end(self._finished(name, started, ended, _named(attributes)))
            return
        made = self._tracer.start_span(name, self._inside, attributes=_named(attributes), start_time=started)
        made.end(ended)

    def _finished(self, name: str, started: int, ended: int, attributes: dict[str, Attribute]) -> Any:
        """A span that is over already: a third of the work of one that could still change, and the same when sent."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext

        parent = self._root.get_span_context()
        return ReadableSpan(
            name,
            context=SpanContext(
                parent.trace_id,
                self._tracer.id_generator.generate_span_id(),
                is_remote=False,
                trace_flags=parent.trace_flags,
                trace_state=parent.trace_state,
            ),
            parent=parent,
            resource=self._root.resource,
            attributes=attributes,
            instrumentation_scope=self._root.instrumentation_scope,
            start_time=started,
            end_time=ended,
        )

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
        from opentelemetry.trace import SpanKind, use_span
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = made
        self._inner = inner
        self._server = SpanKind.SERVER
        self._use_span = use_span
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """Answer one request. What is not sampled pays for the sampler's decision, and for nothing else."""
        if scope["type"] != "http" or scope["path"] not in TRACED or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        carried = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}
        root = self._tracer.start_span(
            f"POST {scope['path']}",
            self._propagator.extract(carried) if carried else None,
            kind=self._server,
            attributes={"http.request.method": "POST", "http.route": scope["path"]},
        )
        if root.is_recording():
            await self._recorded(root, scope, receive, send)
        elif carried:  # lines of the log name the trace that the caller may have recorded
            with self._use_span(root):
                await self._inner(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _recorded(self, root: Any, scope: Scope, receive: Any, send: Send) -> None:
        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                root.set_attribute("http.response.status_code", message["status"])
                if message["status"] >= _FAILED:
                    _fail(root, str(message["status"]))
            await send(message)

        scope["riskloop.trace"] = Trace(self._tracer, root)
        with self._use_span(root, end_on_exit=True, record_exception=False):
            await self._inner(scope, receive, noted)


def trace_of(scope: Scope) -> Trace | None:
    """The trace that a request is recorded in; None where it is not."""
    found: Trace | None = scope.get("riskloop.trace")
    return found
