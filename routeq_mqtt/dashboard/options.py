"""What a dashboard is configured with, and who looks at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from routeq_mqtt.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class User:
    """Who looks at the dashboard.

    Attributes:
        name: appears in the audit log and in the page.
        may_act: may retry, cancel, pause and so on; False: may only look.
    """

    name: str
    may_act: bool = True


Access = Callable[[Any], User | Awaitable[User | None] | None]
"""Says who sends a request (a `starlette.requests.Request`); None: access is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """See `dashboard`."""

    hosts: tuple[str, ...] | None = None
    redact: tuple[str, ...] = ()
    hide_data: bool = False
    environment: str = ""
    trace_url: str = ""
    longest_stream: float = 30.0


def make_options(
    *,
    hosts: Iterable[str] | None,
    redact: Iterable[str],
    hide_data: bool,
    environment: str,
    trace_url: str,
    longest_stream: float = 30.0,
) -> Options:
    """Options, checked.

    Raises:
        ConfigurationError: one makes no sense; says which.
    """
    if isinstance(hosts, str) or isinstance(redact, str):
        raise ConfigurationError(
            f"dashboard: hosts={hosts!r} and redact={redact!r} must be lists of strings"
        )
    if len(environment) > 40:
        raise ConfigurationError(
            f"dashboard: environment={environment!r} is longer than 40 characters; shorten it"
        )
    if trace_url:
        parts = urlsplit(trace_url)
        if parts.scheme not in {"http", "https"} or "{trace_id}" not in trace_url:
            raise ConfigurationError(
                f"dashboard: trace_url={trace_url!r} must be an http or https URL with "
                "{trace_id} in it, for example https://traces.example/trace/{trace_id}"
            )
    return Options(
        hosts=None if hosts is None else tuple(host.lower() for host in hosts),
        redact=tuple(redact),
        hide_data=hide_data,
        environment=environment,
        trace_url=trace_url,
        longest_stream=longest_stream,
    )
