"""Who has shown a one-time token or a password: sessions in memory, named by a cookie."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.dashboard.options import User

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from routeq_mqtt.clock import Clock

_LASTS = 24 * 3600.0
"""Seconds of a session."""

_MOST = 1_000
"""Sessions; the oldest one ends for a new one."""

_WRONG_AT_MOST, _WRONG_WITHIN = 10, 60.0
"""At most this many wrong passwords in these seconds, of all visitors together; then none is looked
at."""


@dataclass(frozen=True, slots=True)
class _Session:
    user: User
    ends_at: float


class Sessions:
    """Lets people in by a one-time token or by a password.

    Args:
        clock: ends sessions.
        password: of who may act; None: only a token lets in.
        viewer_password: of who may only look; None: there is no such password.
        read_only: who has a token or the password may only look, too.
        new_token: called with each token once it can be used.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        password: str | None = None,
        viewer_password: str | None = None,
        read_only: bool = False,
        new_token: Callable[[str], None] | None = None,
    ) -> None:
        self._clock = clock
        self._passwords = [
            (password, User("operator", may_act=not read_only)),
            (viewer_password, User("viewer", may_act=False)),
        ]
        self._owner = User("local", may_act=not read_only)
        self._new_token = new_token
        self._sessions: dict[str, _Session] = {}
        self._wrong: list[float] = []
        self._token = ""
        if new_token is not None:
            self._issue(new_token)

    def _issue(self, new_token: Callable[[str], None]) -> None:
        self._token = secrets.token_urlsafe(24)
        new_token(self._token)

    @property
    def takes_passwords(self) -> bool:
        """Whether there is a password at all."""
        return any(password is not None for password, _ in self._passwords)

    def by_token(self, token: str) -> str | None:
        """The session of who shows the token, which is of no use any more; None: it is wrong."""
        if not self._token or not _same(token, self._token):
            return None
        if self._new_token is not None:
            self._issue(self._new_token)
        return self._begin(self._owner)

    def by_password(self, given: str) -> str | None:
        """The session of who knows a password; None: it is wrong."""
        user = self._knows(given)
        return None if user is None else self._begin(user)

    def _knows(self, given: str) -> User | None:
        found = None
        for password, user in self._passwords:  # always all: time says nothing
            if password is not None and _same(given, password):
                found = found or user
        if found is None:
            self._wrong.append(self._clock.monotonic())
        return found

    @property
    def too_many_wrong(self) -> bool:
        """Whether passwords are being guessed."""
        since = self._clock.monotonic() - _WRONG_WITHIN
        self._wrong = [at for at in self._wrong if at > since]
        return len(self._wrong) >= _WRONG_AT_MOST

    def _begin(self, user: User) -> str:
        while len(self._sessions) >= _MOST:
            del self._sessions[next(iter(self._sessions))]
        session_id = secrets.token_urlsafe(32)
        self._sessions[session_id] = _Session(user, self._clock.monotonic() + _LASTS)
        return session_id

    def user(self, request: Request) -> User | None:
        """Who sends a request; an `Access`. A program sends its password with each request."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return None if self.too_many_wrong else self._knows(given.strip())
        session_id = request.cookies.get(cookie_name(request), "")
        session = self._sessions.get(session_id)
        if session is None:
            return None
        if session.ends_at < self._clock.monotonic():
            del self._sessions[session_id]
            return None
        return session.user

    def end(self, request: Request) -> None:
        """Forget the session of a request."""
        self._sessions.pop(request.cookies.get(cookie_name(request), ""), None)


def cookie_name(request: Request) -> str:
    """Cookies belong to a host, not to a port: two dashboards on one machine need two names."""
    port = request.url.port or (443 if request.url.scheme == "https" else 80)
    return f"routeq_dashboard_{port}"


def set_cookie(response: Response, request: Request, session_id: str) -> None:
    """Give a browser its session, or with an empty text take it away."""
    response.set_cookie(
        cookie_name(request),
        session_id,
        max_age=int(_LASTS) if session_id else 0,
        path=f"{request.scope.get('root_path', '')}/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))
