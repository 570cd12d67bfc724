"""What the embedded broker numbers for good: messages without an id, and packet ids."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from routeq_mqtt.embedded import make_broker
from routeq_mqtt.transport.address import BrokerAddress
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, Message
from routeq_mqtt.wire.envelopes.envelope import Envelope

INSERT = (
    "INSERT INTO entries (number, topic, payload, share, queue, owner, mid, dup) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
SHARED = "$share/routeq/$queue/q"
JOB = json.dumps({"job": "J", "data": {"a": [1, None]}, "mine": "kept"}).encode()


class Client:
    """One client identifier with a persistent session."""

    def __init__(self, port: int, name: str) -> None:
        self._transport = AioTransport(BrokerAddress(port=port, protocol="3.1.1"))
        self._name = name
        self.came: asyncio.Queue[Message] = asyncio.Queue()

    async def connect(self) -> Connection:
        options = ConnectOptions(self._name, persistent=True)
        return await self._transport.connect(options, self.came.put_nowait)

    async def take(self, number: int) -> list[Message]:
        async with asyncio.timeout(10.0):
            return [await self.came.get() for _ in range(number)]


@asynccontextmanager
async def running(db: Path | None) -> AsyncIterator[int]:
    broker = make_broker("127.0.0.1:0", db)
    async with broker:
        yield broker.port


@pytest.mark.parametrize("persistent", [False, True])
async def test_a_message_without_an_id_is_given_one_for_good(
    tmp_path: Path, *, persistent: bool
) -> None:
    db = tmp_path / "broker.db" if persistent else None
    async with running(db) as port:
        client = Client(port, "one")
        connection = await client.connect()
        await connection.subscribe(SHARED)
        for _ in range(3):
            await connection.publish("$queue/q", JOB)
        await connection.publish("$queue/q", b"\xc1 no envelope")
        came = await client.take(4)
        envelopes = [Envelope.decode(message.payload) for message in came[:3]]
        assert came[3].payload == b"\xc1 no envelope"
        assert len({envelope.id for envelope in envelopes} - {None}) == 3
        for envelope in envelopes:
            assert envelope.evolve(id=None) == Envelope.decode(JOB)
        await connection.publish("routeq/broker/back", came[0].packet_id.to_bytes(2, "big"))
        [again] = await client.take(1)
        assert again.payload == came[0].payload
        assert not again.dup  # [MQTT-3.3.1-1]: under this packet id it was never sent
        assert again.packet_id != came[0].packet_id
        await connection.close()


async def test_messages_of_an_older_version_are_given_ids_when_it_starts(tmp_path: Path) -> None:
    db = tmp_path / "broker.db"
    async with running(db):
        pass
    with closing(sqlite3.connect(db)) as old:
        for number in (1, 2):
            values = (number, "$queue/q", JOB, "routeq", "q", None, 0, 0)
            old.execute(INSERT, values)
        old.commit()
    ids = []
    for _ in range(2):
        async with running(db) as port:
            client = Client(port, "one")
            connection = await client.connect()
            await connection.subscribe(SHARED)
            ids.append([Envelope.decode(message.payload).id for message in await client.take(2)])
            await connection.close()
    assert ids[0] == ids[1]
    assert len(set(ids[0]) - {None}) == 2


async def test_packet_ids_go_on_over_a_restart(tmp_path: Path) -> None:
    """Else what a receiver knows of the last ones would hold for other messages."""
    db = tmp_path / "broker.db"
    used: list[int] = []
    async with running(db) as port:
        client = Client(port, "one")
        connection = await client.connect()
        await connection.subscribe("t")
        for _ in range(5):
            await connection.publish("t", b"same")
        came = await client.take(5)
        used += [message.packet_id for message in came]
        for message in came[:4]:
            connection.acknowledge(message)
        await connection.publish("elsewhere", b"")  # its PUBACK: ours have arrived
        await connection.close()
    async with running(db) as port:
        client = Client(port, "one")
        connection = await client.connect()
        assert connection.session_present
        for _ in range(5):
            await connection.publish("t", b"same")
        again, *new = await client.take(6)
        assert (again.packet_id, again.dup) == (used[-1], True)
        assert not {message.packet_id for message in new} & set(used)
        assert not any(message.dup for message in new)
        await connection.close()


async def test_packet_ids_come_again_after_the_last_one(tmp_path: Path) -> None:
    """Also where a restart falls close to the end of them."""
    db = tmp_path / "broker.db"
    async with running(db) as port:
        connection = await Client(port, "one").connect()
        await connection.subscribe("t")
        await connection.close()
    with closing(sqlite3.connect(db)) as stored:
        stored.execute("UPDATE sessions SET mid = 65000")
        stored.commit()
    async with running(db) as port:
        client = Client(port, "one")
        connection = await client.connect()
        for _ in range(3):
            await connection.publish("t", b"same")
        came = await client.take(3)
        assert len({message.packet_id for message in came}) == 3
        assert all(1 <= message.packet_id <= 0xFFFF for message in came)
        await connection.close()
