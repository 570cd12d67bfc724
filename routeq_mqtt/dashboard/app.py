"""The dashboard as an ASGI app that any other one can mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.clock import SystemClock
from routeq_mqtt.dashboard.api import act, doctor, live, read
from routeq_mqtt.dashboard.api.answers import answering
from routeq_mqtt.dashboard.audit import Audit
from routeq_mqtt.dashboard.board import Board
from routeq_mqtt.dashboard.doctor import Doctor
from routeq_mqtt.dashboard.http import static
from routeq_mqtt.dashboard.http.guard import Guard
from routeq_mqtt.dashboard.live.facts import Facts
from routeq_mqtt.dashboard.live.state import State
from routeq_mqtt.dashboard.live.streams import Streams
from routeq_mqtt.dashboard.options import make_options
from routeq_mqtt.dashboard.redaction import Redactor
from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Receive, Scope, Send

    from routeq_mqtt.clock import Clock
    from routeq_mqtt.dashboard.http.login import Login
    from routeq_mqtt.dashboard.options import Access, Options


class Dashboard:
    """The ASGI app that `dashboard` makes."""

    def __init__(
        self, bus: Bus, options: Options, access: Access, login: Login | None, clock: Clock
    ) -> None:
        redactor = Redactor(options.redact, hide_data=options.hide_data)
        self._state = state = State(Facts(bus, clock, redactor).collect, clock)
        self._streams = Streams(state, clock, longest=options.longest_stream)
        app = Starlette(routes=_routes())
        app.state.board = Board(
            bus, clock, options, redactor, Audit(clock), state, self._streams, Doctor(bus, clock)
        )
        self._app = Guard(app, options, access, login)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._app(scope, receive, send)

    async def look(self) -> None:
        """Connect to the bus and look at it once, so that the first visitor does not wait."""
        await self._state.now()

    def close(self) -> None:
        """End the open streams, so that the server can stop; the page polls from then on."""
        self._streams.close()


def dashboard(
    bus: Bus,
    *,
    access: Access,
    hosts: Iterable[str] | None = None,
    redact: Iterable[str] = (),
    hide_data: bool = False,
    environment: str = "",
    trace_url: str = "",
    clock: Clock | None = None,
) -> Dashboard:
    """Make an ASGI app that shows a bus in a browser, to be mounted into another app.

    Args:
        bus: what to look at; of the event loop in which the app runs. It connects on first use.
        access: called with each request (a `starlette.requests.Request`); returns the `User` who
            sent it, or None: then the answer is 401. May be async. What it raises is logged, and
            refuses access.
        hosts: names under which the page may be opened; addresses and localhost always may. None
            (default): the app around it checks that.
        redact: names of fields, beside `password`, `token` and the like, whose values are not
            shown.
        hide_data: show nothing of what jobs hold, return and report, nor what errors say.
        environment: a badge beside the name, for example "production"; at most 40 characters.
        trace_url: a link to a trace, with ``{trace_id}`` in it.
        clock: where time comes from.

    Raises:
        ConfigurationError: an argument makes no sense; says which.
    """
    options = make_options(
        hosts=hosts,
        redact=redact,
        hide_data=hide_data,
        environment=environment,
        trace_url=trace_url,
    )
    return make(bus, options, access, None, clock or SystemClock())


def make(
    bus: Bus, options: Options, access: Access, login: Login | None, clock: Clock
) -> Dashboard:
    """A dashboard of checked options.

    Raises:
        ConfigurationError: `bus` is no `Bus`, or `access` cannot be called.
    """
    if not isinstance(bus, Bus):
        raise ConfigurationError(
            f"dashboard: bus is a {type(bus).__name__}; give a routeq_mqtt.Bus: the dashboard "
            "runs in an event loop"
        )
    if not callable(access):
        raise ConfigurationError(
            f"dashboard: access={access!r} must be a function that takes a request and returns "
            "a User, or None"
        )
    return Dashboard(bus, options, access, login, clock)


def _routes() -> list[Route]:
    return [
        Route("/", static.page),
        Route("/static/{name:path}", static.file),
        Route("/api/state", live.state),
        Route("/api/stream", live.stream),
        Route("/metrics", answering(read.metrics)),
        Route("/api/about", answering(live.about)),
        Route("/api/audit", answering(read.audit)),
        Route("/api/doctor", answering(doctor.checks)),
        Route("/api/ask/{method}", answering(read.ask)),
        Route("/api/act/{method}", answering(act.act), methods=["POST"]),
    ]
