"""The one door to OpenTelemetry: sends spans by OTLP over HTTP, in batches, on a thread of its own.

A collector that is away costs spans and log lines, never a run. Importing this takes a while, so that only a process
that has somewhere to send spans does (see `services.core.traced`).
"""

from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from services.core.appended import Appended
from services.core.spans import Span, span_id, spans_of, trace_id

_TIMEOUT_SECONDS = 10.0
_PAUSE_MILLISECONDS = 2_000
_QUEUE = 8_192
_CLOSE_MILLISECONDS = 5_000
_NANOSECONDS = 1_000_000_000
_ALL = 2**64
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
_SCOPE = InstrumentationScope("cohort")


class Tracing:
    """Where the spans of one process go. Threads may share it."""

    def __init__(self, url: str, headers: dict[str, str], service: str, ratio: float) -> None:
        """`ratio` of all runs are traced, whole, and by all processes alike."""
        self._service = service
        self._instance = uuid4().hex
        self._limit = int(ratio * _ALL)
        exporter = OTLPSpanExporter(
            endpoint=url, headers=headers, timeout=_TIMEOUT_SECONDS, compression=Compression.Gzip
        )
        self._batches = BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_PAUSE_MILLISECONDS)
        self._resources: dict[str, Resource] = {}

    def watch(self, appended: Appended) -> None:
        """An onlooker of a run store: send the spans that end with this."""
        for span in spans_of(appended):
            self.send(span)

    def send(self, span: Span) -> None:
        """Send the span, some time soon."""
        trace = trace_id(span.trace)
        if trace % _ALL >= self._limit:
            return
        self._batches.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(trace, span_id(span.key)),
                parent=_context(trace, span_id(span.parent)) if span.parent else None,
                resource=self._resource(span.service or self._service),
                attributes=dict(span.attributes),
                links=[Link(_linked(span.link))] if span.link else (),
                kind=_KINDS[span.kind],
                status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
                start_time=int(span.start * _NANOSECONDS),
                end_time=int(max(span.start, span.end) * _NANOSECONDS),
                instrumentation_scope=_SCOPE,
            )
        )

    def close(self) -> None:
        """Send what is left, within a few seconds."""
        self._batches.force_flush(_CLOSE_MILLISECONDS)
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def _resource(self, service: str) -> Resource:
        if service not in self._resources:
            named = {"service.namespace": "cohort", "service.name": service, "service.instance.id": self._instance}
            self._resources[service] = Resource.create(named)
        return self._resources[service]


def _context(trace: int, span: int, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, is_remote=is_remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _linked(traceparent: str) -> SpanContext:
    _, trace, span, _ = traceparent.split("-")
    return _context(int(trace, 16), int(span, 16), is_remote=True)
