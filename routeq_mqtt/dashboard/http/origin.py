"""Where a request comes from: names that this server has, pages that it has served itself."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def host_trouble(request: Request, allowed: Collection[str] | None) -> str:
    """Why a request's Host is refused; empty: it is fine.

    A page of another site can make its own name point here (DNS rebinding), so only names that are
    ours count. An address is always fine: no name was needed to come here.
    """
    if allowed is None:
        return ""
    host = name_of(request.headers.get("host", ""))
    if host in allowed or host in {"localhost", socket.gethostname().lower()} or _is_address(host):
        return ""
    return f"host {host[:100]!r} is not allowed; start the dashboard with --allow-host {host[:100]}"


def name_of(host: str) -> str:
    """A Host header without its port."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def origin_trouble(request: Request) -> str:
    """Why a request that changes something is refused; empty: it is from our own page.

    Every browser says where a POST comes from: in `Sec-Fetch-Site`, or where the page came over
    plain HTTP, in `Origin`.
    """
    if request.method in _SAFE:
        return ""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return "" if site == "same-origin" else f"the request comes from another site ({site[:20]})"
    origin = request.headers.get("origin")
    if origin is None:
        return "the request has neither Sec-Fetch-Site nor Origin, which every browser sends"
    if urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower():
        return ""
    return f"the request comes from another origin ({origin[:100]!r})"
