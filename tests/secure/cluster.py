"""A bus with TLS, users and the shipped access rules; each process has the role of its user."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from routeq_broker import hashed_line
from routeq_mqtt import Bus
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.aio import AioTransport
from routeq_mqtt.transport.base import Connection, ConnectOptions, Message
from tests.cluster.cluster import Cluster, Kind, free_port, mosquitto
from tests.cluster.process import ROOT, Process
from tests.cluster.recorder import Recorder
from tests.secure.certificates import Authority

SERVICES = ("producer", "worker", "scheduler", "operator", "viewer")
DEVICE = "pump-7"
ACL = ROOT / "deploy" / "acl"


def password(user: str) -> str:
    return f"hunter2-{user}-Zq8"


class SecureCluster(Cluster):
    """A cluster with TLS, users and access rules.

    On mosquitto devices have a listener of their own.
    """

    def __init__(self, kind: Kind, folder: Path, recorder: Recorder) -> None:
        super().__init__(kind, folder, recorder)
        self.url = f"mqtts://localhost:{self.port}"
        self.devices_port = free_port() if kind == "mosquitto" else self.port
        self.authority = Authority(folder)
        self.certificate, self.key = self.authority.sign("broker")
        self.role = "operator"
        self.shipped, self.etc, self.certs = ROOT / "mosquitto.secure.conf", folder, folder
        for name, users in (("services", SERVICES), ("devices", (DEVICE, "pump-8"))):
            lines = [hashed_line(user, password(user)) for user in users]
            (folder / f"{name}.passwd").write_text("\n".join(lines) + "\n")
            (folder / f"{name}.acl").write_text((ACL / f"{name}.acl").read_text())
        with (folder / "devices.acl").open("a") as file:
            file.write(f"user {DEVICE}\ntopic write $queue/telemetry\n")

    def settings_of(self, user: str, **more: Any) -> Settings:
        values = {"url": self.url, "username": user, "password": password(user)}
        return Settings(**{**values, "ca_file": str(self.authority.pem), **more})

    @property
    def env(self) -> dict[str, str]:
        return super().env | {
            "ROUTEQ_USERNAME": self.role,
            "ROUTEQ_PASSWORD": password(self.role),
            "ROUTEQ_CA_FILE": str(self.authority.pem),
        }

    async def start_broker(self) -> None:
        if self.kind == "mosquitto":
            self.broker = await Process.start("broker", str(mosquitto()), "-c", self._conf())
        else:
            files = {"--tls-cert": self.certificate, "--tls-key": self.key}
            flags = [str(part) for pair in files.items() for part in pair]
            for name in ("services", "devices"):
                flags += ["--users", str(self.folder / f"{name}.passwd")]
                flags += ["--acl", str(self.folder / f"{name}.acl")]
            bind = ("--bind", f"127.0.0.1:{self.port}", "--db", str(self.folder / "broker.db"))
            env = {"COLUMNS": "200"}
            self.broker = await Process.cli("broker", "broker", *bind, *flags, env=env)
        await self.listening(self.port)

    def _conf(self) -> str:
        text = self.shipped.read_text()
        for old, new in (
            ("listener 8883", f"listener {self.port} 127.0.0.1"),
            ("listener 8884", f"listener {self.devices_port} 127.0.0.1"),
            ("/etc/mosquitto/certs/", f"{self.certs}/"),
            ("/etc/mosquitto/", f"{self.etc}/"),
            ("/var/lib/mosquitto/", f"{self.folder}/"),
        ):
            assert old in text
            text = text.replace(old, new)
        path = self.folder / "mosquitto.secure.conf"
        path.write_text(f"{text}\nuser root\n")
        return str(path)

    async def scheduler(self, *flags: str, **env: str) -> Process:
        with self.as_role("scheduler"):
            return await super().scheduler(*flags, **env)

    async def worker(self, queues: str = "default", *flags: str, **env: str) -> Process:
        with self.as_role("worker"):
            return await super().worker(queues, *flags, **env)

    @contextlib.contextmanager
    def as_role(self, role: str) -> Any:
        before, self.role = self.role, role
        try:
            yield
        finally:
            self.role = before

    @contextlib.asynccontextmanager
    async def bus(self, role: str = "producer", **settings: Any) -> AsyncIterator[Bus]:
        async with Bus(settings=self.settings_of(role, **settings)) as bus:
            yield bus

    async def broker_says(self, text: str) -> None:
        assert self.broker is not None
        await self.broker.says(text)

    # -- clients that do what they want ----------------------------------------------------------

    def device_topic(self, queue: str) -> str:
        """What a device publishes to; mosquitto's mount point puts `$queue/` before it."""
        return queue if self.kind == "mosquitto" else f"$queue/{queue}"

    @contextlib.asynccontextmanager
    async def client(
        self, user: str, client_id: str | None = None, *, persistent: bool = False
    ) -> AsyncIterator[Client]:
        """A plain MQTT client of a user; devices come through their own door."""
        port = self.port if user in SERVICES else self.devices_port
        settings = self.settings_of(user, url=f"mqtts://localhost:{port}")
        client = Client()
        options = ConnectOptions(
            client_id or user, persistent=persistent, session_expiry=60 if persistent else 0
        )
        client.connection = await AioTransport(settings.address()).connect(options, client.take)
        try:
            yield client
        finally:
            await client.connection.close()


class Client:
    """A plain MQTT client: what came, and ways to try things."""

    connection: Connection

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def take(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def topics(self) -> set[str]:
        return {message.topic for message in self.messages}
