"""Functions as jobs, checked through their parameters."""

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, assert_type

from routeq_mqtt import (
    FunctionJob,
    Job,
    JobHandle,
    SyncBus,
    SyncJobHandle,
    chain,
    current_job,
    every,
    job,
    queue,
)
from routeq_mqtt.testing import fake


def address(to: str, subject: str) -> str:
    return to


@job(queue="mail", max_tries=5, unique_for=60, unique_key=address)
async def send_email(to: str, subject: str = "Hello") -> int:
    current_job().progress(1, 2)
    return len(to + subject)


@job
def resize(picture: bytes, *, width: int = 100) -> str:
    return f"{len(picture)} at {width}"


@every(minutes=5)
@job(queue="reports")
async def sweep() -> None:
    pass


async def right() -> None:
    assert_type(await send_email.dispatch(to="a"), JobHandle[int])
    assert_type(await (await send_email.dispatch("a", "Hi")).result(), int)
    assert_type(await send_email.options(delay=3, max_tries=9).dispatch("a"), JobHandle[int])
    assert_type(await send_email.options(queue="slow").later(5, to="a"), JobHandle[int])
    assert_type(await send_email.later(datetime.now(UTC), "a", subject="b"), JobHandle[int])
    assert_type(await resize.dispatch(b"", width=3), JobHandle[str])
    call: Coroutine[Any, Any, int] = send_email("a")
    await call
    assert_type(await send_email("a"), int)
    assert_type(resize(b""), str)
    assert_type(resize.job(b""), FunctionJob[str])
    assert_type(await queue.bulk([send_email.job("a"), resize.job(b"")]), list[str])
    await chain(send_email.job("a"), resize.job(b"")).dispatch()
    assert_type(current_job(), Job)
    await sweep.dispatch()


def blocking(bus: SyncBus) -> None:
    assert_type(bus.dispatch(resize.job(b"")), SyncJobHandle[str])
    assert_type(bus.dispatch(resize.job(b"")).result(), str)


def faked() -> None:
    with fake() as bus:
        bus.assert_dispatched(send_email, lambda call: call.to == "a", times=1)
        bus.assert_not_dispatched(send_email, lambda call: call.to == "b")
        bus.assert_dispatched(Job, lambda job: job.job_id is None)
        bus.assert_dispatched(Job, lambda job: job.no_id)  # mypy: attr-defined; pyright: reportAttributeAccessIssue, reportUnknownLambdaType


async def wrong() -> None:
    await send_email.dispatch()  # mypy: call-arg; pyright: reportCallIssue
    await send_email.dispatch(too="a")  # mypy: call-arg; pyright: reportCallIssue
    await send_email.dispatch(to=1)  # mypy: arg-type; pyright: reportArgumentType
    await send_email.options(dely=3).dispatch("a")  # mypy: call-arg; pyright: reportCallIssue
    await send_email.options(delay="3").dispatch("a")  # mypy: arg-type; pyright: reportArgumentType
    await send_email.options(delay=3).dispatch(1)  # mypy: arg-type; pyright: reportArgumentType
    await send_email.later("soon", "a")  # mypy: arg-type; pyright: reportArgumentType
    resize.job(b"", 3)  # mypy: call-arg; pyright: reportCallIssue
    (await (await resize.dispatch(b"")).result()).hex()  # mypy: attr-defined; pyright: reportAttributeAccessIssue

    @job(max_tries="5")  # mypy: call-overload, untyped-decorator; pyright: reportArgumentType
    async def one() -> None: ...

    @job(max_trys=5)  # mypy: call-overload, untyped-decorator; pyright: reportCallIssue, reportUntypedFunctionDecorator
    async def two() -> None: ...
