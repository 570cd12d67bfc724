"""Hooks and travelling context variables, without a bus."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from routeq_mqtt import ConfigurationError, Job, JobEvent, on, propagate, remove_hook, traceparent
from routeq_mqtt.jobs.codec import pack_job, to_envelope
from routeq_mqtt.jobs.context import carried, restored
from routeq_mqtt.jobs.hooks import EVENTS, fire, wanted
from routeq_mqtt.wire.envelopes.envelope import Envelope

seen: list[str] = []
tenant: ContextVar[str] = ContextVar("test_tenant")
propagate(tenant)


def note(event: JobEvent) -> None:
    seen.append(event.event)


def raises(event: JobEvent) -> None:
    raise RuntimeError("somebody else's bug")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    seen.clear()
    yield
    for function in (note, raises):
        remove_hook(function)


def event(name: str) -> JobEvent:
    return JobEvent(event=name, id="1", job="J", queue="q", by="me", at=0.0)


def test_a_hook_hears_the_events_that_it_named() -> None:
    assert not wanted("done")
    on("done", "failed")(note)
    on("done")(note)  # twice is once
    for name in EVENTS:
        fire(event(name))
    assert seen == ["failed", "done"]
    remove_hook(note)
    assert not wanted("done")


def test_without_a_name_it_hears_all() -> None:
    on()(note)
    for name in EVENTS:
        fire(event(name))
    assert seen == list(EVENTS)


def test_what_a_hook_raises_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    on("done")(raises)
    on("done")(note)
    fire(event("done"))
    assert seen == ["done"]
    assert "a hook raised event=done id=1" in caplog.text


def test_a_hook_that_exits_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    @on("done")
    def leaves(event: JobEvent) -> None:
        raise SystemExit(3)

    fire(event("done"))
    remove_hook(leaves)
    assert "a hook raised event=done id=1" in caplog.text


def test_an_event_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no event 'finished'; use dispatched"):
        on("finished")


class Traced(Job):
    async def handle(self) -> None: ...


def test_what_is_set_travels_in_the_headers_and_is_set_again() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    reset = traceparent.set(parent), tenant.set("acme")
    try:
        assert carried() == {"traceparent": parent, "test_tenant": "acme"}
        envelope = to_envelope(Traced(), now=0.0, headers={"test_tenant": "other"})
        assert envelope.headers == {"traceparent": parent, "test_tenant": "other"}
        _, _, payload = pack_job(Traced(), now=0.0)
        assert Envelope.decode(payload).headers == carried()
    finally:
        traceparent.reset(reset[0])
        tenant.reset(reset[1])
    assert carried() == {}
    with restored(envelope.headers):
        assert (traceparent.get(), tenant.get()) == (parent, "other")
    assert traceparent.get() is None
    assert tenant.get("none") == "none"


def test_two_variables_cannot_share_a_header() -> None:
    propagate(tenant)  # twice is once
    with pytest.raises(ConfigurationError, match="header 'test_tenant' is taken"):
        propagate(ContextVar("another"), "test_tenant")
