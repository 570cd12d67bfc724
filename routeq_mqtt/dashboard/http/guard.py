"""In front of every request: its host, who sends it, and whether our own page made it."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from routeq_mqtt.boundary import described
from routeq_mqtt.dashboard.http.headers import with_headers
from routeq_mqtt.dashboard.http.origin import host_trouble, origin_trouble
from routeq_mqtt.dashboard.http.refusal import refusal
from routeq_mqtt.dashboard.options import User
from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from routeq_mqtt.dashboard.http.login import Login
    from routeq_mqtt.dashboard.options import Access, Options

log: logging.Logger = logging.getLogger(__name__)


class Guard:
    """Lets through who may look, and of those who may act what our own page sends.

    Args:
        app: what is behind.
        options: allowed hosts.
        access: says who sends a request.
        login: the page where people log in; None: `access` alone decides.
    """

    def __init__(self, app: ASGIApp, options: Options, access: Access, login: Login | None) -> None:
        self._app = app
        self._options = options
        self._access = access
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, send = Request(scope, receive), with_headers(send)
        answer = await self._checked(request)
        await (answer or self._app)(scope, receive, send)

    async def _checked(self, request: Request) -> Response | None:
        """What refuses a request; None: nothing does."""
        trouble = host_trouble(request, self._options.hosts)
        if trouble:
            return refusal(421, trouble)
        if trouble := origin_trouble(request):
            return refusal(403, trouble)
        path = path_of(request)
        if path == "" and request.method in {"GET", "HEAD"}:
            # Relative URLs of the page need the slash, whatever prefix we are mounted under.
            return RedirectResponse(f"{request.url.path.rpartition('/')[2]}/", 307)
        if self._login is not None and (page := await self._login.answer(request, path)):
            return page
        user = await self._user(request)
        if user is None:
            if self._login is not None:
                return self._login.page(request, path)
            return refusal(401, "you may not look at this dashboard; log in first")
        if request.method == "POST" and not user.may_act:
            return refusal(403, f"{user.name} may look, and not act")
        request.state.user = user
        return None

    async def _user(self, request: Request) -> User | None:
        try:
            user = self._access(request)
            if inspect.isawaitable(user):
                user = await user
            if user is not None and not isinstance(user, User):
                raise ConfigurationError(
                    f"dashboard: access returned {type(user).__name__}; return a User or None"
                )
        except Exception as error:  # noqa: BLE001 - the application's own code: access is refused
            log.error("access of the dashboard raised: %s", described(error).for_log)
            return None
        return user


def path_of(request: Request) -> str:
    """The path below the prefix that the app is mounted under."""
    root = request.scope.get("root_path", "")
    path: str = request.scope["path"]
    return path.removeprefix(root)
