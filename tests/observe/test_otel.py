"""Spans, links and metrics of OpenTelemetry, as its own SDK exports them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from routeq_mqtt import Bus, ConfigurationError, Job, batch, chain, otel
from tests.observe.rig import Rig, Tallied, counted, rig, until

inner: list[trace.SpanContext] = []


class Stubborn(Job):
    """Works at its third attempt."""

    max_tries = 3

    key: str

    async def handle(self) -> None:
        inner.append(trace.get_current_span().get_span_context())
        if self.attempts < 3:
            raise ValueError("not yet")


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    inner.clear()
    yield InMemorySpanExporter()
    otel.uninstrument()


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[tuple[Rig, Bus]]:
    async with rig(tmp_path) as made:
        yield made


def instrument(exporter: InMemorySpanExporter, **options: Any) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    otel.instrument(tracer_provider=provider, **options)
    return provider


def spans(exporter: InMemorySpanExporter, kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.kind is kind]


def links(span: ReadableSpan) -> dict[str, int]:
    """Span ids that it links to, by relation."""
    return {str((one.attributes or {})["routeq.link"]): one.context.span_id for one in span.links}


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_job_with_two_retries_in_a_chain(
    bed: tuple[Rig, Bus], exporter: InMemorySpanExporter
) -> None:
    one, bus = bed
    instrument(exporter)
    await one.start_worker()
    ids = await chain(Tallied(key="first"), Stubborn(key="x")).dispatch(bus)
    await until(lambda: len(spans(exporter, SpanKind.CONSUMER)) == 4)
    [dispatch] = spans(exporter, SpanKind.PRODUCER)
    first, *tries = spans(exporter, SpanKind.CONSUMER)
    assert dispatch.name == "send chain"
    conversation = about(dispatch)["messaging.message.conversation_id"]
    assert dispatch.context is not None
    assert links(first) == {"dispatch": dispatch.context.span_id}
    previous = None
    for number, span in enumerate(tries, 1):
        assert span.context is not None
        assert span.name == "process default"
        assert span.parent is None
        assert span.context.trace_id != dispatch.context.trace_id
        wanted = {"dispatch": dispatch.context.span_id}
        assert links(span) == wanted | ({} if previous is None else {"previous attempt": previous})
        previous = span.context.span_id
        assert about(span) == {
            "messaging.system": "routeq", "messaging.destination.name": "default",
            "messaging.operation.name": "process", "messaging.operation.type": "process",
            "messaging.message.id": ids[1], "messaging.message.conversation_id": conversation,
            "routeq.job.name": "Stubborn", "routeq.job.attempt": number,
        } | ({"error.type": "ValueError"} if number < 3 else {})  # fmt: skip
        wanted_status = StatusCode.ERROR if number < 3 else StatusCode.UNSET
        assert span.status.status_code is wanted_status
    assert [one.span_id for one in inner] == [one.context.span_id for one in tries if one.context]


async def test_an_attempt_can_be_a_child_of_its_dispatch(
    bed: tuple[Rig, Bus], exporter: InMemorySpanExporter
) -> None:
    one, bus = bed
    provider = instrument(exporter, propagation="child")
    await one.start_worker("other")
    with provider.get_tracer("web").start_as_current_span("request") as request:
        job_id = await bus.dispatch(Tallied(key="a", outcome="once"), queue="other")
    await until(lambda: len(spans(exporter, SpanKind.CONSUMER)) == 2)
    [dispatch] = spans(exporter, SpanKind.PRODUCER)
    assert dispatch.context is not None
    assert dispatch.parent is not None
    assert dispatch.parent.span_id == request.get_span_context().span_id
    assert dispatch.name == "send other"
    assert about(dispatch)["messaging.message.id"] == str(job_id)
    for span in spans(exporter, SpanKind.CONSUMER):
        assert span.name == "process other"
        assert span.parent is not None
        assert span.parent.span_id == dispatch.context.span_id
        assert "dispatch" not in links(span)


async def test_jobs_of_a_batch_name_it(
    bed: tuple[Rig, Bus], exporter: InMemorySpanExporter
) -> None:
    one, bus = bed
    instrument(exporter)
    await one.start_worker()
    handle = await batch([Tallied(key="a"), Tallied(key="b")]).dispatch(bus)
    await until(lambda: len(spans(exporter, SpanKind.CONSUMER)) == 2)
    found = [*spans(exporter, SpanKind.PRODUCER), *spans(exporter, SpanKind.CONSUMER)]
    assert {about(span)["messaging.message.conversation_id"] for span in found} == {handle.id}


async def test_the_metrics_of_the_conventions(
    bed: tuple[Rig, Bus], exporter: InMemorySpanExporter
) -> None:
    one, bus = bed
    reader = InMemoryMetricReader()
    instrument(exporter, meter_provider=MeterProvider([reader]))
    await one.start_worker()
    await bus.dispatch(Tallied(key="a", outcome="fails"))
    await bus.dispatch(Tallied(key="b"))
    await until(lambda: len(counted) == 3)
    await until(lambda: len(spans(exporter, SpanKind.CONSUMER)) == 3)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    counts = {
        name: sum(getattr(point, "value", getattr(point, "count", 0)) for point in points)
        for name, points in found.items()
    }
    assert counts == {
        "messaging.client.sent.messages": 2, "messaging.client.operation.duration": 2,
        "messaging.client.consumed.messages": 3, "messaging.process.duration": 3,
    }  # fmt: skip
    points: list[Any] = found["messaging.process.duration"]
    errors = [(point.attributes or {}).get("error.type") for point in points]
    assert sorted(errors, key=str) == [None, "ValueError"]


async def test_a_dispatch_that_fails_is_an_error(exporter: InMemorySpanExporter) -> None:
    instrument(exporter)
    bus = Bus("mqtt://127.0.0.1:1")
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        await bus.dispatch(Tallied(key="a"), timeout=0.5)
    [span] = spans(exporter, SpanKind.PRODUCER)
    assert span.status.status_code is StatusCode.ERROR
    assert about(span)["error.type"] == "ConnectionFailed"
    await bus.close()


@pytest.mark.parametrize("header", [5, "", "evil", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
async def test_a_trace_context_that_is_none_is_left_out(
    bed: tuple[Rig, Bus], exporter: InMemorySpanExporter, header: object
) -> None:
    one, bus = bed
    await one.start_worker()
    instrument(exporter)
    original = vars(Bus)["dispatch"].__wrapped__
    headers = {"traceparent": header, "routeq-previous-attempt": header}
    await original(bus, Tallied(key="a"), headers=headers)
    await until(lambda: len(spans(exporter, SpanKind.CONSUMER)) == 1)
    [span] = spans(exporter, SpanKind.CONSUMER)
    assert not span.links
    assert span.parent is None


def test_everything_is_as_before_when_it_is_taken_away(exporter: InMemorySpanExporter) -> None:
    before = {name: vars(Bus)[name] for name in ("dispatch", "dispatch_named", "bulk")}
    instrument(exporter)
    with pytest.raises(ConfigurationError, match="called before"):
        otel.instrument()
    otel.uninstrument()
    otel.uninstrument()
    assert {name: vars(Bus)[name] for name in before} == before
    with pytest.raises(ConfigurationError, match="propagation='sibling'"):
        otel.instrument(propagation="sibling")  # type: ignore[arg-type]


def test_nothing_is_imported_where_it_is_off() -> None:
    program = (
        "import sys, routeq_mqtt, routeq_mqtt.worker.worker, routeq_mqtt.scheduler.scheduler\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
