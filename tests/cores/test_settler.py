"""How outcomes of rows are reported: in few messages, each acknowledged after its report."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from routeq_mqtt.clock import SystemClock
from routeq_mqtt.transport.base import Message
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.messages.outcomes import decode_outcomes
from routeq_mqtt.worker.consume.settler import Settler
from routeq_mqtt.worker.delivery import Delivery
from routeq_mqtt.worker.execute.outcome import DONE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.bus.send.sender import Sender
    from routeq_mqtt.transport.base import Connection
    from routeq_mqtt.worker.consume.pool import Pool


class _Holder:
    def __init__(self) -> None:
        self.settled: list[str] = []

    def settle(self, held: Delivery) -> None:
        self.settled.append(held.job_id)

    def owns(self, held: Delivery) -> bool:
        return True

    async def until_owned(self, held: Delivery) -> None: ...


class _Scheduler:
    """A sender, and the scheduler that takes its reports one by one."""

    class topics:  # noqa: N801 - an attribute of a sender
        done = "routeq/done"

    def __init__(self) -> None:
        self.hand_over = self
        self.reports: asyncio.Queue[tuple[list[str], asyncio.Future[None]]] = asyncio.Queue()

    async def to_scheduler(self, topic: str, payload: bytes) -> None:
        assert topic == "routeq/done"
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reports.put_nowait(([outcome[0] for outcome in decode_outcomes(payload)], taken))
        await taken

    async def until_taken(self, send: Callable[[], Awaitable[Any]], size: int, what: str) -> None:
        await send()


def _held(holder: _Holder, job_id: str) -> Delivery:
    envelope = Envelope(job="Noop", id=job_id, stored=True, row="token")
    message = Message("queue/q", b"")
    return Delivery(holder, "q", cast("Connection", None), message, envelope, None, job_id)


async def test_what_ends_while_a_report_is_on_its_way_goes_with_the_next_one() -> None:
    holder, scheduler = _Holder(), _Scheduler()
    settler = Settler(cast("Sender", scheduler), cast("Pool", None), SystemClock(), "worker")
    settler.settle(_held(holder, "a"), DONE)
    settler.settle(_held(holder, "b"), DONE)
    ids, taken = await scheduler.reports.get()
    assert ids == ["a", "b"]
    late = [str(number) for number in range(1_200)]
    for job_id in late:
        settler.settle(_held(holder, job_id), DONE)
        if len(job_id) == 3:
            await asyncio.sleep(0)
    assert scheduler.reports.empty()  # one at a time
    assert holder.settled == []  # nothing is acknowledged before its report has arrived
    taken.set_result(None)
    sizes = []
    for _ in range(3):
        ids, taken = await scheduler.reports.get()
        sizes.append(len(ids))
        assert scheduler.reports.empty()
        taken.set_result(None)
    await settler.finish(5.0)
    assert sizes == [500, 500, 200]
    assert holder.settled == ["a", "b", *late]


async def test_leaving_reports_what_waits_behind_the_one_on_its_way() -> None:
    holder, scheduler = _Holder(), _Scheduler()
    settler = Settler(cast("Sender", scheduler), cast("Pool", None), SystemClock(), "worker")
    settler.settle(_held(holder, "a"), DONE)
    _, first = await scheduler.reports.get()
    settler.settle(_held(holder, "b"), DONE)
    leaving = asyncio.ensure_future(settler.finish(5.0))
    await asyncio.sleep(0)
    first.set_result(None)
    ids, second = await scheduler.reports.get()
    assert ids == ["b"]
    second.set_result(None)
    await leaving
    assert holder.settled == ["a", "b"]
