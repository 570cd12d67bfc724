"""Checks of refusals, on brokers with users and access rules."""

from __future__ import annotations

from typing import Any

from tests.broker.wire import PUBACK, PUBCOMP, PUBREC, PUBREL, ack, connect, publish
from tests.conformance.registry import Site, states

ANNA: dict[str, Any] = {"user": "anna", "password": "anna"}
"""May use topics below `open/`, and client identifiers of one level."""


@states("3.1.4-2", "3.2.2-4 3.2.2-5", users=True)
async def a_wrong_login_ends_the_connection(site: Site) -> None:
    logins: list[dict[str, Any]] = [{**ANNA, "password": "bad"}, {**ANNA, "user": "nobody"}, {}]
    for login in logins:
        one = await site.open()
        one.send(connect(site.id(), level=site.level, **login))
        got = await one.get(2)
        assert got.code in ({4, 5} if site.level == 4 else {0x86, 0x87})
        assert got.body[0] == 0
        assert await one.next() is None


@states("3.1.3-8", users=True)
async def a_client_identifier_that_is_refused(site: Site) -> None:
    one = await site.open()
    one.send(connect(f"other/{site.id()}", level=5, **ANNA))
    got = await one.next()
    assert got is None or (got.kind == 2 and got.code in {0x85, 0x87})
    assert await one.next() is None


@states("3.1.4-2", "3.3.5-2", users=True)
async def a_publish_that_is_not_allowed_goes_nowhere(site: Site) -> None:
    reader = await site.login("reader", **ANNA)
    await reader.subscribe(("#", 1))
    writer = await site.login("writer", **ANNA)
    writer.send(publish("closed/x", b"x", level=site.level, qos=1, mid=7))
    got = await writer.next()
    if got is not None:  # 3.1.1 allows a PUBACK, which says nothing
        assert (got.kind, got.mid) == (PUBACK, 7)
        assert got.code == (0x87 if site.level == 5 else 0)
    assert await reader.barrier() == []


@states("4.3.3-9 3.5.2-1", users=True)
async def a_refused_qos_2_message_is_forgotten(site: Site) -> None:
    reader = await site.login("reader", **ANNA)
    await reader.subscribe((f"open/{site.name}", 0))
    writer = await site.login("writer", **ANNA)
    writer.send(publish("closed/x", b"no", level=5, qos=2, mid=7))
    assert (await writer.get(PUBREC)).code == 0x87
    writer.send(publish(f"open/{site.name}", b"new", level=5, qos=2, mid=7, dup=True))
    assert (await writer.get(PUBREC)).code == 0
    writer.send(ack(PUBREL, 7))
    assert (await writer.get(PUBCOMP)).code == 0
    assert (await reader.get(3)).payload == b"new"
