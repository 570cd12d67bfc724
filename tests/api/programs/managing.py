"""Everything the command line can do, from Python: each answer has a type."""

from typing import assert_type

from routeq_mqtt import (
    Bus,
    DeviceInfo,
    FailedShort,
    FailedShown,
    QueueSize,
    Retried,
    ScheduleShown,
    SyncBus,
    TriggerShown,
    WorkerInfo,
)
from tests.api.programs.jobs import SendEmail


async def right(bus: Bus) -> None:
    page = await bus.failed.list("mail", job="SendEmail", limit=10)
    assert_type(page, list[FailedShort])
    assert_type(await bus.failed.list(after=page[-1]), list[FailedShort])
    async for record in bus.failed.all(job="SendEmail"):
        assert_type(record, FailedShort)
    handle = await bus.dispatch(SendEmail(to="a"))
    assert_type(await bus.failed.show(handle), FailedShown)
    assert_type(await bus.failed.retry(handle, page[0].id), Retried)
    assert_type(await bus.failed.retry(all=True, queue="mail"), Retried)
    assert_type(await bus.failed.forget(handle.id), int)
    assert_type(await bus.failed.flush("mail"), int)
    assert_type(await bus.schedules.list(), list[ScheduleShown])
    assert_type(await bus.schedules.run("Sweep"), str)
    assert_type(await bus.schedules.resume("Sweep"), float)
    assert_type(await bus.triggers.list(), list[TriggerShown])
    assert_type(await bus.queues["mail"].size(), QueueSize)
    assert_type(await bus.queues["mail"].purge(), int)
    await bus.queues["mail"].limit((10, 60))
    await bus.queues["mail"].limit(None)
    assert_type(await bus.workers(), list[WorkerInfo])
    assert_type(await bus.devices.list(), list[DeviceInfo])


def blocking(bus: SyncBus) -> None:
    assert_type(bus.failed.list("mail", limit=10), list[FailedShort])
    assert_type(bus.failed.show("id"), FailedShown)
    assert_type(bus.failed.retry("id", all=False), Retried)
    assert_type(bus.schedules.list(), list[ScheduleShown])
    assert_type(bus.queues["mail"].size(), QueueSize)
    bus.queues["mail"].pause()
    assert_type(bus.workers(), list[WorkerInfo])
    assert_type(bus.devices.list(), list[DeviceInfo])


async def wrong(bus: Bus, sync: SyncBus) -> None:
    await bus.failed.list(queu="mail")  # mypy: call-arg; pyright: reportCallIssue
    await bus.failed.list(limit="10")  # mypy: arg-type; pyright: reportArgumentType
    await bus.failed.list(after="id")  # mypy: arg-type; pyright: reportArgumentType
    await bus.failed.show()  # mypy: call-arg; pyright: reportCallIssue
    await bus.failed.retry(3)  # mypy: arg-type; pyright: reportArgumentType
    (await bus.failed.show("id")).nothing  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    await bus.queues["mail"].limit(10)  # mypy: arg-type; pyright: reportArgumentType
    await bus.queues[3].size()  # mypy: index; pyright: reportArgumentType
    await bus.schedules.run()  # mypy: call-arg; pyright: reportCallIssue
    (await bus.workers())[0].nothing  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    sync.failed.list(limit="10")  # mypy: arg-type; pyright: reportArgumentType
    sync.queues["mail"].limit(10)  # mypy: arg-type; pyright: reportArgumentType
    sync.failed.retry(3)  # mypy: arg-type; pyright: reportArgumentType
