"""OpenTelemetry: a span where a job is dispatched, one for each attempt, and the metrics of both.

Optional: ``pip install routeq-mqtt[otel]`` brings the API; the program chooses SDK and exporter.
Nothing of it is imported before this module is.

    from routeq_mqtt import otel

    otel.instrument()

Names and attributes are those of the semantic conventions for messaging.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import metrics, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from routeq_mqtt.boundary import described, is_a
from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.workflows import Batch, Chain
from routeq_mqtt.errors import ConfigurationError, Fail, JobControl
from routeq_mqtt.jobs.context import propagate, traceparent, tracestate
from routeq_mqtt.jobs.keywords import name_of, options_of
from routeq_mqtt.jobs.middleware import middleware, remove_middleware
from routeq_mqtt.version import VERSION
from routeq_mqtt.wire.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.jobs.middleware import Handler

    _Call = Callable[..., Awaitable[Any]]

_NAME = "routeq_mqtt"
_SYSTEM = "routeq"
_PREVIOUS = "routeq-previous-attempt"
"""Header in which an attempt that is tried again leaves its own trace context to the next one."""

_destination: ContextVar[str | None] = ContextVar("routeq-destination", default=None)
_conversation: ContextVar[str | None] = ContextVar("routeq-conversation", default=None)
"""Travel with a job: where it was sent, and the chain that it is part of."""

_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


Propagation = Literal["link", "child"]

_w3c = TraceContextTextMapPropagator()
_installed: _Instruments | None = None


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    propagation: Propagation = "link",
) -> None:
    """Trace the jobs that this process dispatches and runs, from now on.

    Args:
        tracer_provider: default: the global one.
        meter_provider: default: the global one.
        propagation: "link" (default): each attempt is a trace of its own, with links to the
            dispatch and to the attempt before it: a job may run hours later, and be tried often.
            "child": it is a child of the dispatch, with a link to the attempt before it.

    Raises:
        ConfigurationError: it was called before without `uninstrument`, or `propagation` is
            neither of these.
    """
    global _installed  # noqa: PLW0603 - of the process, as the global providers are
    if propagation not in {"link", "child"}:
        raise ConfigurationError(f"otel: propagation={propagation!r} must be 'link' or 'child'")
    if _installed is not None:
        raise ConfigurationError("otel: instrument() was called before; call uninstrument() first")
    _installed = _Instruments(tracer_provider, meter_provider, propagation)
    _installed.install()


def uninstrument() -> None:
    """Trace nothing any more; without `instrument` before it this changes nothing."""
    global _installed  # noqa: PLW0603 - as above
    if _installed is not None:
        _installed.remove()
        _installed = None


class _Instruments:
    """What `instrument` puts in place, and `uninstrument` takes away."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        propagation: Propagation,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, VERSION, tracer_provider)
        meter = metrics.get_meter(_NAME, VERSION, meter_provider)
        self._propagation = propagation
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Jobs that were dispatched."
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Attempts that were started."
        )
        self._sending = meter.create_histogram(
            "messaging.client.operation.duration", "s", "Time of a dispatch.",
            explicit_bucket_boundaries_advisory=_DURATIONS,
        )  # fmt: skip
        self._processing = meter.create_histogram(
            "messaging.process.duration", "s", "Time of an attempt.",
            explicit_bucket_boundaries_advisory=_DURATIONS,
        )  # fmt: skip
        self._originals: list[tuple[type, str, Callable[..., Any]]] = []

    def install(self) -> None:
        propagate(_destination)
        propagate(_conversation)
        self._wrap(Bus, "dispatch", self._dispatch)
        self._wrap(Bus, "dispatch_named", self._dispatch_named)
        self._wrap(Bus, "bulk", self._bulk)
        self._wrap(Chain, "dispatch", self._flow("chain"))
        self._wrap(Batch, "dispatch", self._flow("batch"))
        middleware(self._attempt)

    def remove(self) -> None:
        remove_middleware(self._attempt)
        for owner, name, original in self._originals:
            setattr(owner, name, original)

    def _wrap(self, owner: type, name: str, around: _Call) -> None:
        original = vars(owner)[name]

        @wraps(original)
        async def wrapped(one: object, *args: object, **options: object) -> Any:  # noqa: ANN401
            return await around(original, one, *args, **options)

        self._originals.append((owner, name, original))
        setattr(owner, name, wrapped)

    # -- dispatch ------------------------------------------------------------------------------

    async def _dispatch(
        self,
        original: _Call,
        bus: Bus,
        job: Job,
        *args: object,
        **options: object,
    ) -> Any:  # noqa: ANN401 - a handle
        queue = _queue_of(job, options)
        with self._producer(queue) as span:
            _set(span, "routeq.job.name", _name_of(job))
            handle = await original(bus, job, *args, **options)
            _set(span, "messaging.message.id", str(handle))
            return handle

    async def _dispatch_named(
        self, original: _Call, bus: Bus, name: str, *args: object, **more: object
    ) -> Any:  # noqa: ANN401 - a handle
        with self._producer(str(more.get("queue") or more.get("to") or "default")) as span:
            _set(span, "routeq.job.name", name)
            handle = await original(bus, name, *args, **more)
            _set(span, "messaging.message.id", str(handle))
            return handle

    async def _bulk(
        self, original: _Call, bus: Bus, jobs: object, *args: object, **more: object
    ) -> Any:  # noqa: ANN401 - ids
        queue = args[0] if args else more.get("queue")
        with self._producer(str(queue or "many"), of_one_queue=bool(queue)) as span:
            ids = await original(bus, jobs, *args, **more)
            _set(span, "messaging.batch.message_count", len(ids))
            return ids

    def _flow(self, kind: str) -> _Call:
        async def dispatch(
            original: _Call, flow: Chain | Batch, *args: object, **more: object
        ) -> Any:  # noqa: ANN401 - ids, or a handle
            conversation = new_id() if kind == "chain" else None
            token = _conversation.set(conversation)
            try:
                with self._producer(kind, of_one_queue=False) as span:
                    found = await original(flow, *args, **more)
                    _set(span, "messaging.message.conversation_id", conversation or found.id)
                    return found
            finally:
                _conversation.reset(token)

        return dispatch

    @contextmanager
    def _producer(self, queue: str, *, of_one_queue: bool = True) -> Iterator[Span]:
        """A span around a dispatch; the jobs that it sends carry its context."""
        destination = _destination.set(queue if of_one_queue else None)
        about = _about(queue, "send")
        began = time.perf_counter()
        failed: dict[str, str] = {}
        with self._tracer.start_as_current_span(
            f"send {queue}", kind=SpanKind.PRODUCER, attributes=about
        ) as span:
            carrier: dict[str, str] = {}
            _w3c.inject(carrier)
            tokens = (
                traceparent.set(carrier.get("traceparent")),
                tracestate.set(carrier.get("tracestate")),
            )
            try:
                yield span
            except BaseException as error:
                failed = {"error.type": type(error).__qualname__}
                span.set_attributes(failed)
                raise
            finally:
                traceparent.reset(tokens[0])
                tracestate.reset(tokens[1])
                _destination.reset(destination)
                about = about | failed
                self._sending.record(time.perf_counter() - began, about)
                self._sent.add(1, about)

    # -- attempts ------------------------------------------------------------------------------

    async def _attempt(self, job: Job, call_next: Handler) -> Any:  # noqa: ANN401 - what it returns
        headers = {} if job.headers is None else job.headers
        queue = str(headers.get(_destination.name) or options_of(type(job)).queue)
        about = _about(queue, "process")
        began = time.perf_counter()
        failed: dict[str, str] = {}
        self._consumed.add(1, about)
        parent, links = self._origin(headers)
        with self._tracer.start_as_current_span(
            f"process {queue}",
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=about | _of_job(job, headers),
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            carrier: dict[str, str] = {}
            _w3c.inject(carrier)
            try:
                return await call_next(job)
            except BaseException as error:
                if _is_error(error):
                    raised = described(error)
                    failed = {"error.type": raised.kind}
                    span.set_attributes(failed)
                    span.set_status(Status(StatusCode.ERROR))
                    span.add_event(
                        "exception",
                        {
                            "exception.type": raised.kind,
                            "exception.message": raised.text,
                            "exception.stacktrace": raised.traceback,
                        },
                    )
                raise
            finally:
                headers[_PREVIOUS] = carrier.get("traceparent")
                self._processing.record(time.perf_counter() - began, about | failed)

    def _origin(self, headers: Mapping[str, Any]) -> tuple[Context, list[Link]]:
        """The parent of an attempt, and its links: to its dispatch, to the attempt before it."""
        dispatched = _context_of(headers.get("traceparent"), headers.get("tracestate"))
        before = _context_of(headers.get(_PREVIOUS), None)
        links = [] if before is None else [_link(before, "previous attempt")]
        root = trace.set_span_in_context(trace.INVALID_SPAN)
        if dispatched is None:
            return root, links
        if self._propagation == "child":
            return dispatched, links
        return root, [_link(dispatched, "dispatch"), *links]


def _about(queue: str, operation: str) -> dict[str, Any]:
    return {
        "messaging.system": _SYSTEM,
        "messaging.destination.name": queue,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }


def _of_job(job: Job, headers: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "messaging.message.id": str(job.job_id),
        "routeq.job.name": _name_of(job),
        "routeq.job.attempt": job.attempts,
    }
    conversation = job.batch_id or headers.get(_conversation.name)
    if isinstance(conversation, str):
        found["messaging.message.conversation_id"] = conversation
    return found


def _name_of(job: Job) -> str:
    return name_of(type(job))


def _queue_of(job: Job, options: Mapping[str, Any]) -> str:
    return str(options.get("queue") or options.get("to") or options_of(type(job)).queue)


def _set(span: Span, name: str, value: str | int) -> None:
    if span.is_recording():
        span.set_attribute(name, value)


def _is_error(error: BaseException) -> bool:
    """Not where a job asks for another attempt or a release; a failure on purpose is an error."""
    return is_a(error, Fail) or not is_a(error, JobControl)


def _context_of(parent: object, state: object) -> Context | None:
    """From headers, which anybody may have written; None: they hold no trace context."""
    if not isinstance(parent, str):
        return None
    carrier = {"traceparent": parent} | ({"tracestate": state} if isinstance(state, str) else {})
    context = _w3c.extract(carrier)
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def _link(context: Context, relation: str) -> Link:
    return Link(trace.get_current_span(context).get_span_context(), {"routeq.link": relation})
