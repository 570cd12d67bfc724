"""The embedded broker's database: made by an older version, and by a later one."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from routeq_broker import Acl, Broker, Doorkeeper, StoreBroken, Users, hashed_line
from routeq_broker.storage import sql
from routeq_mqtt import ConnectionFailed
from routeq_mqtt.transport.address import BrokerAddress
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions, Message
from tests.cluster.cluster import free_port
from tests.cluster.process import Process

VERSION_1 = """
BEGIN;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    share TEXT,
    queue TEXT,
    owner TEXT,
    mid INTEGER NOT NULL,
    dup INTEGER NOT NULL
);
CREATE TABLE sessions (client_id TEXT PRIMARY KEY, window INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE subscriptions (
    client_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    qos INTEGER NOT NULL,
    PRIMARY KEY (client_id, filter)
) WITHOUT ROWID;
CREATE TABLE retained (topic TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO entries VALUES (1, '$queue/q', x'31', 'routeq', 'q', NULL, 0, 0);
INSERT INTO entries VALUES (2, '$queue/q', x'32', 'routeq', 'q', 'old', 7, 0);
INSERT INTO entries VALUES (3, 'routeq/schedule', x'33', NULL, NULL, 'old', 0, 0);
INSERT INTO sessions VALUES ('old', 5);
INSERT INTO subscriptions VALUES ('old', 'routeq/schedule', 1);
INSERT INTO subscriptions VALUES ('old', '$share/routeq/$queue/q', 1);
INSERT INTO retained VALUES ('routeq/scheduler', x'34');
COMMIT;
"""
"""As the first release made it: a session has no user; with a job, one in flight, and a message."""


def made(folder: Path, script: str) -> Path:
    path = folder / "broker.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(script)
    return path


@asynccontextmanager
async def running(path: Path, doorkeeper: Doorkeeper | None = None) -> AsyncIterator[Broker]:
    broker = Broker("127.0.0.1:0", db=path, doorkeeper=doorkeeper)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


async def taken(broker: Broker, number: int, *filters: str, user: str | None = None) -> set[bytes]:
    """What the old session brings, so many messages; acknowledged."""
    came: asyncio.Queue[Message] = asyncio.Queue()
    address = BrokerAddress(port=broker.port, username=user, password=user, protocol="3.1.1")
    options = ConnectOptions("old", persistent=True)
    connection = await AioTransport(address).connect(options, came.put_nowait)
    try:
        if filters:
            await connection.subscribe(*filters)
        async with asyncio.timeout(10):
            messages = [await came.get() for _ in range(number)]
        for message in messages:
            connection.acknowledge(message)
        await connection.publish("routeq/barrier", b"")  # the acknowledgements have arrived by now
    finally:
        await connection.close()
    return {message.payload for message in messages}


async def test_a_database_of_the_first_version_keeps_all_that_it_had(tmp_path: Path) -> None:
    path = made(tmp_path, VERSION_1)
    async with running(path) as broker:
        assert await taken(broker, 4, "routeq/scheduler") == {b"1", b"2", b"3", b"4"}
    async with running(path) as broker:  # now of this version
        assert await taken(broker, 1, "routeq/scheduler") == {b"4"}
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (sql.VERSION,)
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (0,)


async def test_a_session_of_before_there_were_users_goes_to_who_comes_first(tmp_path: Path) -> None:
    path = made(tmp_path, VERSION_1)
    (tmp_path / "users").write_text("\n".join(hashed_line(name, name) for name in ("anna", "bert")))
    keeper = Doorkeeper(Users.read(tmp_path / "users"))
    async with running(path, keeper) as broker:
        assert await taken(broker, 3, user="anna") == {b"1", b"2", b"3"}
    async with running(path, keeper) as broker:
        with pytest.raises(ConnectionFailed):
            await taken(broker, 0, user="bert")
        assert await taken(broker, 0, user="anna") == set()


RULES = """
user anna
topic readwrite routeq/#
topic readwrite $queue/#
user bert
topic write routeq/#
topic write $queue/#
"""


def keeper_with_rules(folder: Path) -> Doorkeeper:
    (folder / "users").write_text("\n".join(hashed_line(name, name) for name in ("anna", "bert")))
    (folder / "acl").write_text(RULES)
    return Doorkeeper(Users.read(folder / "users"), Acl.read(folder / "acl"))


async def published(broker: Broker, *messages: tuple[str, bytes]) -> None:
    address = BrokerAddress(port=broker.port, username="bert", password="bert", protocol="3.1.1")
    connection = await AioTransport(address).connect(ConnectOptions("producer"), lambda _: None)
    for topic, payload in messages:
        await connection.publish(topic, payload)
    await connection.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_comes_before_the_clients_are_back_waits_when_rules_are_introduced(
    tmp_path: Path, restarted: bool
) -> None:
    """It was subscribed to; whose that session is, and what they may read, shows when they come."""
    more = "INSERT INTO subscriptions VALUES ('old', 'routeq/store/+', 1);"
    path = made(tmp_path, VERSION_1 + more)
    keeper = keeper_with_rules(tmp_path)
    messages = [("routeq/schedule", b"5"), ("routeq/store/q", b"6"), ("$queue/q", b"7")]
    async with running(path, keeper) as broker:
        await published(broker, *messages)
        if not restarted:
            assert await taken(broker, 6, user="anna") == {b"1", b"2", b"3", b"5", b"6", b"7"}
            await published(broker, ("routeq/schedule", b"8"))
    async with running(path, keeper) as broker:
        rest = {b"8"} if not restarted else {b"1", b"2", b"3", b"5", b"6", b"7"}
        assert await taken(broker, len(rest), user="anna") == rest


async def test_who_may_not_read_gets_nothing_of_before_there_were_rules(tmp_path: Path) -> None:
    """And the jobs among it stay for others."""
    path = made(tmp_path, VERSION_1)
    keeper = keeper_with_rules(tmp_path)
    async with running(path, keeper) as broker:
        await published(broker, ("routeq/schedule", b"5"))
        assert await taken(broker, 0, user="bert") == set()
        await published(broker, ("routeq/schedule", b"6"))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM subscriptions").fetchone() == (0,)
        waiting = db.execute("SELECT payload, owner FROM entries ORDER BY number").fetchall()
        assert waiting == [(b"1", None), (b"2", None)]


async def test_a_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = made(tmp_path, f"{VERSION_1} PRAGMA user_version = 99;")
    before = path.read_bytes()
    with pytest.raises(StoreBroken, match=r"broker\.db is of schema version 99.*upgrade.*--db"):
        await Broker("127.0.0.1:0", db=path).start()
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["broker", "up"])
async def test_the_commands_say_so_in_one_line(tmp_path: Path, command: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = made(folder, f"{VERSION_1} PRAGMA user_version = 99;")
    place = ("--db", str(path)) if command == "broker" else ("--db-folder", str(folder))
    process = await Process.cli(
        command, command, "--bind", f"127.0.0.1:{free_port()}", *place, env={"COLUMNS": "200"}
    )
    assert await process.ended() == 4
    assert "Traceback" not in process.output
    [line] = [line for line in process.lines if line.startswith("error: ")]
    assert "schema version 99" in line


@pytest.mark.slow
@pytest.mark.parametrize("command", ["broker", "up"])
async def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, command: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        place = ("--db-folder", str(tmp_path)) if command == "up" else ()
        process = await Process.cli(
            command, command, "--bind", f"127.0.0.1:{port}", *place, env={"COLUMNS": "200"}
        )
        assert await process.ended() == 4
    assert "Traceback" not in process.output
    [line] = [line for line in process.lines if line.startswith("error: ")]
    assert f"cannot listen on 127.0.0.1:{port}" in line
