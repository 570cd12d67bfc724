"""What the command takes, what it reads again, and what it counts."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from pathlib import Path

import pytest

from routeq_broker import Users, hashed_line
from routeq_broker.__main__ import main
from routeq_mqtt.doctor import broker as doctor
from routeq_mqtt.embedded import Access, make_broker
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.wire.messages.broker import BrokerStatus
from tests.broker.conftest import Start
from tests.broker.wire import DISCONNECT, Wire, connect, publish
from tests.cluster.cluster import free_port
from tests.cluster.process import Process
from tests.secure.certificates import Authority


def written(path: Path, *users: str) -> Path:
    path.write_text("\n".join(hashed_line(name, name, iterations=1_000) for name in users))
    return path


RULES = "user anna\ntopic readwrite a/#\ntopic readwrite both/#\nuser bert\ntopic readwrite #\n"


async def test_users_and_rules_are_read_again_and_no_connection_ends(tmp_path: Path) -> None:
    users, acl = written(tmp_path / "users", "anna", "bert"), tmp_path / "acl"
    acl.write_text(RULES)
    access = Access(users=(users,), acl=(acl,))
    broker = make_broker("127.0.0.1:0", None, access=access)
    async with broker:
        anna = await Wire.login(broker.port, "anna", user="anna", password="anna")
        await anna.subscribe(("a/x", 1), ("both/x", 1))
        bert = await Wire.login(broker.port, "bert", user="bert", password="bert")
        written(users, "bert", "carl")
        acl.write_text(RULES.replace("topic readwrite a/#\n", ""))
        broker.reload_access()
        await bert.publish("a/x", b"hidden")
        await bert.publish("both/x", b"seen")
        assert [got.payload for got in await anna.barrier()] == [b"seen"]
        gone = await Wire.open(broker.port)
        gone.send(connect("late", user="anna", password="anna"))
        assert (await gone.get(2)).code == 4
        await Wire.login(broker.port, "carl", user="carl", password="carl")
        acl.write_text("nonsense\n")
        broker.reload_access()
        await bert.publish("both/x", b"as before")
        assert [got.payload for got in await anna.barrier()] == [b"as before"]


async def test_a_new_certificate_is_shown(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.sign("first"), authority.sign("second")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def use(pair: tuple[Path, Path]) -> None:
        cert.write_bytes(pair[0].read_bytes())
        key.write_bytes(pair[1].read_bytes())

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    async def shown(port: int) -> bytes | None:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return certificate  # type: ignore[no-any-return]

    use(first)
    broker = make_broker("127.0.0.1:0", None, access=Access(tls_cert=cert, tls_key=key))
    async with broker:
        before = await shown(broker.port)
        use(second)
        broker.reload_access()
        after = await shown(broker.port)
        cert.write_text("broken")
        broker.reload_access()
        assert await shown(broker.port) == after
    assert before != after


@pytest.mark.slow
async def test_the_command_listens_in_many_places_and_reloads_on_sighup(tmp_path: Path) -> None:
    users = written(tmp_path / "users", "anna")
    port, ws_port, path = free_port(), free_port(), tmp_path / "socket"
    process = await Process.cli(
        "broker", "broker", "--bind", f"127.0.0.1:{port}", "--bind", f"unix:{path}",
        "--ws-bind", f"127.0.0.1:{ws_port}", "--users", str(users), "--limit", "packet_size=2000",
        env={"COLUMNS": "200"},
    )  # fmt: skip
    await process.says("broker listens")
    wire = Wire(*await asyncio.open_unix_connection(path), level=5)
    wire.send(connect("c", level=5, user="anna", password="anna"))
    got = await wire.get(2)
    assert (got.code, got.props[39]) == (0, [2_000])
    (await asyncio.open_connection("127.0.0.1", ws_port))[1].close()
    written(users, "anna", "bert")
    process.send(signal.SIGHUP)
    await process.says("are read again")
    await Wire.login(port, "b", user="bert", password="bert")
    await wire.barrier()
    process.send(signal.SIGTERM)
    assert await wire.ended() == 0x8B
    assert await process.ended() == 0


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"conections": "5"}, "--limit conections=5 is not known; there are connections, "),
        ({"connections": "many"}, "--limit connections=many is not a number"),
        ({"connections": "0"}, "--limit connections=0 must be more than 0"),
    ],
)
def test_a_limit_that_is_wrong_is_named(limits: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make_broker("127.0.0.1:0", None, limits=limits)


async def test_the_broker_counts(start: Start) -> None:
    broker = await start(sys_interval=0.05)
    wire = await Wire.login(broker.port, "c", 5)
    away = await Wire.login(broker.port, "away", clean=False)
    await away.subscribe(("t", 1))
    away.send(DISCONNECT)
    await away.ended()
    await wire.publish("t", b"x" * 10)
    await wire.publish("r", b"x" * 10, retain=True)
    await wire.publish("$queue/q", b"x" * 10)
    async with asyncio.timeout(10):
        while True:
            seen = {}
            reader = await Wire.login(broker.port, "reader")
            await reader.subscribe(("$SYS/#", 0))
            for got in await reader.barrier():
                seen[got.topic.removeprefix("$SYS/broker/")] = got.payload.decode()
            reader.close()
            if seen.get("publish/messages/received") == "3":
                break
            await asyncio.sleep(0.05)
    assert seen["version"].startswith("routeq-broker version ")
    assert seen["uptime"].endswith(" seconds")
    assert int(seen["clients/disconnected"]) == 1
    assert int(seen["clients/maximum"]) >= 2
    assert int(seen["bytes/received"]) > 60
    assert int(seen["messages/received"]) >= 6
    assert int(seen["subscriptions/count"]) >= 1
    assert int(seen["retained messages/count"]) > 20
    assert int(seen["store/messages/bytes"]) > 400
    assert seen["store/failing"] == "0"


@pytest.mark.parametrize("level", [4, 5])
async def test_nobody_writes_below_sys(start: Start, level: int) -> None:
    broker = await start()
    wire = await Wire.login(broker.port, "c", level)
    wire.send(publish("$SYS/broker/uptime", b"x", level=level, qos=1))
    if level == 5:
        assert (await wire.get(4)).code == 0x87
    else:
        assert await wire.next() is None
    late = await Wire.open(broker.port, level)
    late.send(connect("late", level=level, will=("$SYS/x", b"x")))
    assert (await late.get(2)).code == (0x87 if level == 5 else 5)


async def test_the_limits_are_reported(start: Start) -> None:
    broker = await start()
    wire = await Wire.login(broker.port, "c")
    await wire.subscribe(("routeq/broker", 1))
    status = BrokerStatus.decode((await wire.get(3)).payload)
    assert status.shares_queue
    assert status.limits["queued_messages"] == 100_000

    class Patient:
        class bus:  # noqa: N801
            class sender:  # noqa: N801
                surroundings = status

    [check] = doctor.limits(Patient)  # type: ignore[arg-type]
    assert "retained_messages=100000" in check.found


def test_new_entries_take_as_many_rounds_as_advised(tmp_path: Path) -> None:
    line = hashed_line("anna", "x")
    assert line.startswith("anna:$7$210000$")
    (tmp_path / "users").write_text(line)
    assert Users.read(tmp_path / "users").check("anna", b"x")


def test_a_limit_of_the_program_without_a_value_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["routeq_broker", "--limit", "connections"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "--limit: connections= is not a number; write connections=1000" in said
