"""Fixtures for tests of programs that dispatch jobs; pytest finds them by itself.

A module of its own beside the package, since pytest imports it at each of its starts, whether or
not a test needs it: it imports nothing but pytest before a fixture is asked for.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from routeq_mqtt import SyncBus
    from routeq_mqtt.testing import FakeBus

_STARTS_WITHIN = 30.0
_MARK = "routeq_fake"


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest the mark."""
    config.addinivalue_line(
        "markers", "routeq_fake(run=False): what the fixture of this name is made with"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a test that is marked its fake, also where it does not name the fixture."""
    names = getattr(item, "fixturenames", None)
    if names is not None and item.get_closest_marker(_MARK) and _MARK not in names:
        names.insert(0, _MARK)


@pytest.fixture
def routeq_fake(request: pytest.FixtureRequest) -> Iterator[FakeBus]:
    """A fake bus in place of the real one; ``@pytest.mark.routeq_fake(run=True)`` runs its jobs."""
    from routeq_mqtt.testing import fake

    mark = request.node.get_closest_marker(_MARK)
    how = mark.kwargs if mark else {}
    if mark and (mark.args or how.keys() - {"run", "settings"}):
        said = ", ".join([*map(repr, mark.args), *(f"{name}={how[name]!r}" for name in how)])
        pytest.fail(
            f"@pytest.mark.routeq_fake({said}) takes run=True or settings=Settings(…)",
            pytrace=False,
        )
    with fake(**how) as bus:
        yield bus


@pytest.fixture
def routeq_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an embedded broker of this test alone, on a free loopback port.

    It lives in a thread, keeps jobs in memory, and is ``ROUTEQ_URL`` while the test runs.
    """
    pytest.importorskip(
        "routeq_broker",
        reason="the embedded broker is not installed: pip install 'routeq-mqtt[broker]'",
    )
    broker = _Broker()
    broker.start()
    try:
        monkeypatch.setenv("ROUTEQ_URL", broker.url)
        yield broker.url
    finally:
        broker.stop()


@pytest.fixture
def routeq_bus(routeq_broker: str) -> Iterator[SyncBus]:
    """A blocking bus on `routeq_broker`, closed after the test."""
    from routeq_mqtt import SyncBus

    with SyncBus(routeq_broker) as bus:
        yield bus


class _Broker:
    """The embedded broker, in a thread with an event loop of its own."""

    def __init__(self) -> None:
        self.url = ""
        self._error: BaseException | None = None
        self._known = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._live, name="routeq-broker", daemon=True)

    def start(self) -> None:
        """Start it; returns when it listens."""
        self._thread.start()
        known = self._known.wait(_STARTS_WITHIN)
        if self._error is not None:
            raise self._error
        if not known:
            raise TimeoutError(f"the embedded broker did not start within {_STARTS_WITHIN} s")

    def stop(self) -> None:
        """Stop it; returns when its thread has ended."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to the test
            self._error = error
        finally:
            self._known.set()

    async def _serve(self) -> None:
        from routeq_mqtt.embedded import make_broker

        async with make_broker("127.0.0.1:0", None) as broker:
            self.url = f"mqtt://127.0.0.1:{broker.port}"
            self._known.set()
            await self._end.wait()
