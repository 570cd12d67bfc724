"""The way in of a dashboard that runs by itself: a link with a token, or a password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, RedirectResponse, Response

from routeq_mqtt.dashboard.http.body import TooLarge, read_body
from routeq_mqtt.dashboard.http.refusal import refusal
from routeq_mqtt.dashboard.http.sessions import Sessions, set_cookie
from routeq_mqtt.dashboard.http.static import STATIC

if TYPE_CHECKING:
    from starlette.requests import Request

_OPEN = frozenset({"/static/login.css", "/static/icon.svg"})
"""What the login page itself needs."""

_MOST = 4_096
"""Bytes of a form."""

_WORDS = {
    "": "Enter the password of this dashboard.",
    "wrong": "That password is wrong.",
    "often": "Too many wrong passwords. Wait a minute, then try again.",
    "used": "This link has been used or is out of date. "
    "The terminal where the dashboard runs shows the next one.",
    "token": "Open the link that the terminal shows where the dashboard runs. Each works once.",
}


class Login:
    """Answers what is asked before somebody is logged in.

    Args:
        sessions: who is.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def answer(self, request: Request, path: str) -> Response | None:
        """The answer to a request that is about logging in or out; None: it is not."""
        if path == "/" and "token" in request.query_params:
            return self._by_token(request)
        if path == "/login" and request.method == "POST":
            return await self._by_password(request)
        if path == "/logout" and request.method == "POST":
            self._sessions.end(request)
            response = RedirectResponse("./", 303)
            set_cookie(response, request, "")
            return response
        return None

    def _by_token(self, request: Request) -> Response:
        if "prefetch" in request.headers.get("sec-purpose", ""):
            return refusal(403, "a token is not to be used before somebody clicks")
        session_id = self._sessions.by_token(request.query_params["token"])
        if session_id is None:
            if self._sessions.user(request) is not None:  # the page was reloaded
                return RedirectResponse("./", 303)
            return self._page(401, "used")
        return _in(request, session_id)

    async def _by_password(self, request: Request) -> Response:
        if self._sessions.too_many_wrong:
            return self._page(429, "often")
        try:
            body = await read_body(request, _MOST)
        except TooLarge:
            return refusal(413, f"a form of more than {_MOST} bytes")
        given = parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]
        session_id = self._sessions.by_password(given)
        return self._page(401, "wrong") if session_id is None else _in(request, session_id)

    def page(self, request: Request, path: str) -> Response | None:
        """What a stranger gets; None: what the login page needs is served."""
        if path in _OPEN:
            return None
        if path != "/":
            return refusal(401, "the session has ended; log in again")
        return self._page(401, "" if self._sessions.takes_passwords else "token")

    def _page(self, status: int, words: str) -> Response:
        page = (STATIC / "login.html").read_text()
        page = page.replace("<!-- form -->", _FORM if self._sessions.takes_passwords else "")
        return HTMLResponse(page.replace("<!-- words -->", _WORDS[words]), status)


_FORM = """<form method="post" action="login">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required
 autofocus>
<button>Log in</button>
</form>"""


def _in(request: Request, session_id: str) -> Response:
    response = RedirectResponse("./", 303)
    set_cookie(response, request, session_id)
    return response
