"""Dispatch and handles: every call is checked, and a result has the type that `handle` returns."""

from datetime import UTC, datetime
from typing import assert_type

from routeq_mqtt import (
    Bus,
    JobHandle,
    JobStatus,
    SyncBus,
    SyncJobHandle,
    batch,
    chain,
    dispatch,
    queue,
)
from tests.api.programs.jobs import MakeReport, SendEmail


async def right(bus: Bus) -> None:
    handle = await dispatch(SendEmail(to="a"), delay=3, confirm="stored", result_ttl=60)
    assert_type(handle, JobHandle[int])
    assert_type(await handle.result(timeout=5), int)
    assert_type(await (await dispatch(SendEmail(to="a"))).result(), int)
    assert_type(await handle.wait(5), JobStatus)
    assert_type(handle.id, str)
    assert_type((await handle.status()).attempt, int | None)
    await handle.cancel()
    assert_type(await bus.dispatch(MakeReport(customer=1)), JobHandle[str])
    assert_type(await queue.push(MakeReport(customer=1)), JobHandle[str])
    assert_type(await queue.later(datetime.now(UTC), SendEmail(to="a")), JobHandle[int])
    assert_type(await bus.later(0.5, SendEmail(to="a"), queue="mail"), JobHandle[int])
    assert_type(await queue.bulk([SendEmail(to="a"), MakeReport(customer=1)]), list[str])
    assert_type(await chain(SendEmail(to="a"), MakeReport(customer=1)).dispatch(bus), list[str])
    assert_type((await batch([SendEmail(to="a")]).dispatch(bus)).id, str)
    assert_type(await bus.result(handle), int)


def blocking(bus: SyncBus) -> None:
    handle = bus.dispatch(SendEmail(to="a"), queue="mail")
    assert_type(handle, SyncJobHandle[int])
    assert_type(handle.result(5), int)
    assert_type(bus.push(MakeReport(customer=1)).result(), str)
    assert_type(bus.later(3, MakeReport(customer=1)).wait(), JobStatus)
    assert_type(bus.bulk([SendEmail(to="a")]), list[str])


async def wrong(bus: Bus, sync: SyncBus) -> None:
    await dispatch(SendEmail(to="a"), dely=3)  # mypy: call-overload; pyright: reportCallIssue
    await dispatch(SendEmail(to="a"), delay="3")  # mypy: call-overload; pyright: reportArgumentType, reportCallIssue
    await dispatch(SendEmail(to="a"), confirm="disk")  # mypy: call-overload; pyright: reportArgumentType, reportCallIssue
    await dispatch("SendEmail")  # mypy: call-overload; pyright: reportCallIssue, reportArgumentType
    await dispatch(SendEmail)  # mypy: call-overload; pyright: reportCallIssue, reportArgumentType
    await bus.dispatch(SendEmail(to="a"), dely=3)  # mypy: call-overload; pyright: reportCallIssue
    await queue.push(SendEmail(to="a"), delay=3)  # mypy: call-overload; pyright: reportCallIssue
    await queue.later("soon", SendEmail(to="a"))  # mypy: call-overload; pyright: reportArgumentType, reportCallIssue
    sync.dispatch(SendEmail(to="a"), dely=3)  # mypy: call-overload; pyright: reportCallIssue
    handle = await dispatch(SendEmail(to="a"))
    handle.upper()  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    (await handle.result()).upper()  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    await queue.bulk([1])  # mypy: list-item; pyright: reportArgumentType
