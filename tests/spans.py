"""The spans that a test made, kept in the memory of OpenTelemetry's SDK."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Spans:
    """What has ended."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter

    def all(self) -> list[Any]:
        """In the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: int(span.start_time))

    def named(self, name: str) -> list[Any]:
        """Those of one name."""
        return [span for span in self.all() if span.name == name]

    def below(self, parent: Any) -> list[Any]:
        """The children of one."""
        return [s for s in self.all() if s.parent is not None and s.parent.span_id == parent.context.span_id]


@contextmanager
def kept_spans() -> Iterator[Spans]:
    """As in a program that has set up OpenTelemetry by itself; skipped, loudly, without its SDK."""
    reason = "OpenTelemetry's SDK is not installed: pip install 'riskloop[otel]'"
    pytest.importorskip("opentelemetry.sdk.trace", reason=reason)
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_TRACES_EXPORTER", "otlp")
        patch.setattr(trace, "get_tracer_provider", lambda: provider)  # the global one can be set once a process
        patch.setattr(trace, "get_tracer", provider.get_tracer)
        yield Spans(exporter)
    provider.shutdown()
