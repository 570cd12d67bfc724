"""`aio.py` reaches into aiomqtt and paho: a version without one of these names is told here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import aiomqtt
import paho.mqtt.client
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from routeq_mqtt.transport import aio

SOURCE = ast.parse(Path(str(aio.__file__)).read_text())
[CLIENT] = [n for n in SOURCE.body if isinstance(n, ast.ClassDef) and n.name == "_Client"]


def private(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
    )


def names_on(owner: str, within: ast.AST = SOURCE) -> set[str]:
    """Private attributes that aio.py takes from an expression, as it is written there."""
    return {
        node.attr
        for node in ast.walk(within)
        if isinstance(node, ast.Attribute) and private(node) and ast.unparse(node.value) == owner
    }


def own_names() -> set[str]:
    """What `_Client` defines itself."""
    return set(_methods(CLIENT)) | set(_assigned(CLIENT))


def _methods(client: ast.ClassDef) -> Iterator[str]:
    for node in client.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def _assigned(client: ast.ClassDef) -> Iterator[str]:
    """Attributes that `__init__` makes."""
    for node in ast.walk(client):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                yield target.attr


OVERRIDDEN = {"_on_connect", "_on_disconnect", "_on_socket_open", "_on_socket_register_write",
              "_on_subscribe", "_on_unsubscribe", "_misc_loop"}  # fmt: skip
OF_PAHO = names_on("client") | names_on("self._client") | names_on("client._client")
OF_AIOMQTT = OVERRIDDEN | names_on("self", CLIENT) - own_names()


async def test_aiomqtt_has_every_name_that_is_used() -> None:
    client = aiomqtt.Client("localhost")
    missing = sorted(name for name in OF_AIOMQTT | {"_client"} if not hasattr(client, name))
    assert not missing, f"aiomqtt {version('aiomqtt')} lacks {missing}: fix transport/aio.py"


@pytest.mark.parametrize("api", [CallbackAPIVersion.VERSION2])
async def test_paho_has_every_name_that_is_used(api: CallbackAPIVersion) -> None:
    client = paho.mqtt.client.Client(api)
    known = OF_PAHO - {"_client"}
    assert {"_sock_recv", "_packet_handle", "_out_packet", "_mid_generate"} <= known
    missing = sorted(name for name in known if not hasattr(client, name))
    assert not missing, f"paho-mqtt {version('paho-mqtt')} lacks {missing}: fix transport/aio.py"


def test_what_is_overridden_is_called_by_aiomqtt() -> None:
    """A renamed method would make an override that nobody calls."""
    called = Path(str(aiomqtt.client.__file__)).read_text()
    unused = sorted(name for name in OVERRIDDEN if f"self.{name}" not in called)
    assert not unused, f"aiomqtt {version('aiomqtt')} no longer calls {unused}"
    assert own_names() >= OVERRIDDEN


def test_the_docstring_lists_every_private_name() -> None:
    text = ast.get_docstring(SOURCE) or ""
    listed = {name for name in OF_PAHO | OF_AIOMQTT if f"`{name}`" in text}
    patterns = {name for name in OF_AIOMQTT if name.startswith("_on_") or name == "_misc_loop"}
    missing = sorted((OF_PAHO | OF_AIOMQTT) - listed - patterns - {"_client"})
    assert not missing, f"the docstring of transport/aio.py does not name {missing}"
