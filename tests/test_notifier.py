"""`Notifier`: wakes whoever waits, keeps no memory."""

from __future__ import annotations

import asyncio

from routeq_mqtt.notifier import Notifier


async def test_everybody_who_waits_now_is_woken() -> None:
    signal = Notifier()
    waiting = [asyncio.create_task(signal.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    signal.notify()
    assert await asyncio.gather(*waiting) == [True, True, True]


async def test_a_fire_before_is_forgotten() -> None:
    signal = Notifier()
    signal.notify()
    assert await signal.wait(0) is False


async def test_one_who_gives_up_leaves_the_others_waiting() -> None:
    signal = Notifier()
    one, other = (asyncio.create_task(signal.wait()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait({one})
    signal.notify()
    assert await other
    assert one.cancelled()
    signal.notify()
