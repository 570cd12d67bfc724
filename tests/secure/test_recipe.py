"""The commands of docs/security.md make what `mosquitto.secure.conf` wants, as they stand there."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
from pathlib import Path

import pytest

from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import ConnectOptions, Message
from tests.cluster.process import ROOT, Process
from tests.cluster.recorder import TIMEOUT, Recorder
from tests.conftest import missing, need_mosquitto
from tests.secure.cluster import DEVICE, SecureCluster, password

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "security.md").read_text()

TYPES_PASSWORDS = f"""
set -e
mosquitto_passwd() {{
    for user; do :; done
    printf '%s\\n%s\\n' "{password("$user")}" "{password("$user")}" | command mosquitto_passwd "$@"
}}
"""
"""Somebody at the keyboard."""

CANNOT_GIVE_AWAY = "chown() { :; }\n"
"""Where the test does not run as root, or mosquitto has no user of its own."""


def block(first: str) -> str:
    """The commands of the page that begin like this."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if block.startswith(first)]
    return str(found)


def can_give_away() -> bool:
    return os.getuid() == 0 and "mosquitto" in {user.pw_name for user in pwd.getpwall()}


async def shell(script: str) -> None:
    done = await Process.start("shell", "sh", "-c", script, env={"REPO": str(ROOT)})
    assert await done.ended() == 0, done.output


def of_the_device(cluster: SecureCluster) -> str:
    """The page's command, with the addresses and the password of this test."""
    command = block("mosquitto_pub")
    for old, new in (
        ("broker.example.org -p 8884", f"localhost -p {cluster.devices_port}"),
        ("ca.pem", str(cluster.authority.pem)),
        ("…", password(DEVICE)),
    ):
        assert old in command
        command = command.replace(old, new)
    return command


async def test_files_of_the_page_start_mosquitto_and_let_in_who_is_named(
    tmp_path: Path, recorder: Recorder
) -> None:
    need_mosquitto()
    if not all(map(shutil.which, ("openssl", "mosquitto_passwd", "mosquitto_pub"))):
        missing()
    cluster = SecureCluster("mosquitto", tmp_path, recorder)
    cluster.etc = tmp_path / "etc"
    cluster.certs = cluster.etc / "certs"
    cluster.etc.mkdir()
    commands = block("cd /etc/mosquitto").replace("/etc/mosquitto", str(cluster.etc))
    await shell(TYPES_PASSWORDS + ("" if can_give_away() else CANNOT_GIVE_AWAY) + commands)
    assert oct((cluster.certs / "ca.key").stat().st_mode)[-3:] == "600"

    cluster.shipped = cluster.etc / "mosquitto.conf"
    cluster.authority.pem = cluster.certs / "ca.pem"
    await cluster.start_broker()
    try:
        came: asyncio.Queue[Message] = asyncio.Queue()
        transport = AioTransport(cluster.settings_of("scheduler").address())
        options = ConnectOptions("reader", persistent=False)
        scheduler = await transport.connect(options, came.put_nowait)
        await scheduler.subscribe("$queue/#")
        await shell(of_the_device(cluster))
        async with asyncio.timeout(TIMEOUT):
            assert (await came.get()).topic == f"$queue/{DEVICE}"
        await scheduler.close()
        worker = await cluster.worker()
        await worker.says("online")
    finally:
        await cluster.close()
