"""All kinds of listeners at once, with real clients, while certificates and users are reloaded."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from routeq_broker import hashed_line
from tests.broker.programs import NODE, Paho, said
from tests.broker.wire import Wire, connect
from tests.cluster.cluster import free_port
from tests.cluster.process import Process
from tests.secure.certificates import Authority

PLAIN, TLS, WS, WSS = "mqtt", "mqtts", "ws", "wss"


class Site:
    """A broker command that listens everywhere, and the files that it reads again on SIGHUP."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.ports = {scheme: free_port() for scheme in (PLAIN, TLS, WS, WSS)}
        self.socket = folder / "socket"
        self.cert, self.key, self.users = folder / "cert", folder / "key", folder / "users"
        self.write("first", "anna")

    def write(self, certificate: str, *users: str) -> None:
        """Other certificates, and other users."""
        pem, key = self.authority.sign(certificate)
        self.cert.write_bytes(pem.read_bytes())
        self.key.write_bytes(key.read_bytes())
        self.users.write_text("\n".join(hashed_line(one, one, iterations=1_000) for one in users))

    async def start(self) -> Process:
        binds = [f"{scheme}://127.0.0.1:{self.ports[scheme]}" for scheme in (PLAIN, TLS)]
        websockets = [f"{scheme}://127.0.0.1:{self.ports[scheme]}" for scheme in (WS, WSS)]
        process = await Process.cli(
            "broker", "broker",
            *(part for bind in (*binds, f"unix:{self.socket}") for part in ("--bind", bind)),
            *(part for bind in websockets for part in ("--ws-bind", bind)),
            "--tls-cert", str(self.cert), "--tls-key", str(self.key), "--users", str(self.users),
            env={"COLUMNS": "300"},
        )  # fmt: skip
        await process.says("broker listens")
        return process

    def paho(self, version: MQTTProtocolVersion, scheme: str) -> Paho:
        """Connected through one of the listeners; it checks the certificate."""
        one = Paho(version, "websockets" if scheme in {WS, WSS} else "tcp", scheme)
        one.client.username_pw_set("anna", "anna")
        if scheme in {TLS, WSS}:
            one.client.tls_set(str(self.authority.pem))
        one.connect(self.ports[scheme])
        return one

    async def shown(self, scheme: str) -> bytes:
        """The certificate that a listener shows."""
        context = ssl.create_default_context(cafile=str(self.authority.pem))
        port = self.ports[scheme]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return certificate


@pytest.mark.slow
async def test_all_listeners_serve_while_everything_is_reloaded(tmp_path: Path) -> None:
    site = Site(tmp_path)
    process = await site.start()
    versions = (MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5)
    clients = []
    for number, scheme in enumerate(site.ports):
        version = versions[number % 2]
        clients.append(await asyncio.to_thread(site.paho, version, scheme))
    local = Wire(*await asyncio.open_unix_connection(site.socket), level=5)
    local.send(connect("local", level=5, user="anna", password="anna"))
    assert (await local.get(2)).code == 0
    for client in clients:
        await asyncio.to_thread(client.exchange)
    before = {await site.shown(TLS), await site.shown(WSS)}
    assert len(before) == 1
    site.write("second", "bert")
    process.send(signal.SIGHUP)
    await process.says("are read again")
    after = {await site.shown(TLS), await site.shown(WSS)}
    assert len(after) == 1
    assert after != before
    for client in clients:
        await asyncio.to_thread(client.exchange)
        client.stop()
    await local.barrier()
    late = await Wire.open(site.ports[PLAIN])
    late.send(connect("late", user="anna", password="anna"))
    assert (await late.get(2)).code == 4
    await Wire.login(site.ports[PLAIN], "late", user="bert", password="bert")
    process.send(signal.SIGTERM)
    assert await local.ended() == 0x8B
    assert await process.ended() == 0


@pytest.mark.slow
async def test_mqtt_js_over_an_encrypted_websocket(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (NODE / "mqtt").exists():
        pytest.skip("node or mqtt.js is not installed: make mqttjs")
    site = Site(tmp_path)
    process = await site.start()
    program = str(Path(__file__).parent / "client.mjs")
    url = f"wss://anna:anna@127.0.0.1:{site.ports[WSS]}"
    for level in ("4", "5"):
        env = {**os.environ, "NODE_EXTRA_CA_CERTS": str(site.authority.pem)}
        assert (await said(node, program, str(NODE), url, level, env=env)).strip() == "ok"
    process.send(signal.SIGTERM)
    assert await process.ended() == 0
