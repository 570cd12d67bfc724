"""RabbitMQ's MQTT plugin, of what is installed: one node, or several that are a cluster.

Every node has a folder, ports and a name of its own and listens on the loopback only. All share one
epmd that is ours, in the foreground: the one that Erlang starts itself outlives everything.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cluster.cluster import free_port
from tests.cluster.foreign import rabbitmq
from tests.cluster.process import Process, until_listening


class RabbitNodes:
    """The nodes of one RabbitMQ.

    Args:
        folder: for everything that they keep.
        ports: where each of them speaks MQTT; so many nodes there are.
    """

    name = "rabbitmq"

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.ports = ports
        self._folder = folder
        self._epmd_port = free_port()
        self._distribution = [free_port() for _ in ports]
        self._epmd: Process | None = None

    async def start(self, at: int) -> Process:
        """Start a node; it has joined the others once it listens."""
        folder = self._folder / f"rabbitmq-{at}"
        folder.mkdir(exist_ok=True)
        (folder / "rabbitmq.conf").write_text("\n".join(self.conf(at)) + "\n")
        (folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        env = self._env(at, folder)
        if self._epmd is None or not self._epmd.running:
            self._epmd = await Process.start("epmd", str(shutil.which("epmd")), env=env)
        return await Process.start(f"rabbitmq {at}", str(rabbitmq()), env=env)

    async def ready(self, at: int, process: Process) -> None:
        """Wait until it is a member that takes clients: it listens no sooner."""
        await until_listening(self.ports[at], process)

    async def close(self) -> None:
        """End what is beside the nodes."""
        if self._epmd is not None and self._epmd.running:
            await self._epmd.kill()

    def _node(self, at: int) -> str:
        return f"routeq-{self.ports[at]}@localhost"

    def conf(self, at: int) -> list[str]:
        """The lines of a node's configuration."""
        lines = [
            "listeners.tcp = none",
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.ports[at]}",
            "mqtt.allow_anonymous = true",
            "mqtt.prefetch = 1000",
            "mqtt.subscription_ttl = 604800000",
            "distribution.listener.interface = 127.0.0.1",
        ]
        if len(self.ports) > 1:
            lines += [
                "cluster_partition_handling = pause_minority",
                "cluster_formation.peer_discovery_backend = classic_config",
                *(
                    f"cluster_formation.classic_config.nodes.{number + 1} = {self._node(number)}"
                    for number in range(len(self.ports))
                ),
                "mqtt.durable_queue_type = quorum",
            ]
        return lines

    def _env(self, at: int, folder: Path) -> dict[str, str]:
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        cookie = home / ".erlang.cookie"
        if not cookie.exists():  # the nodes know each other by it
            cookie.touch(0o600)
            cookie.write_text("ROUTEQTESTS")
            cookie.chmod(0o400)
        return {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node(at),
            "RABBITMQ_DIST_PORT": str(self._distribution[at]),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # By `exec`: a signal meets the server, and not a shell in front of it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
