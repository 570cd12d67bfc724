"""The files of the page: read once, and sent again only where they have changed."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from routeq_mqtt.dashboard.http.refusal import refusal

if TYPE_CHECKING:
    from starlette.requests import Request

STATIC = Path(__file__).parents[1] / "static"

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


async def page(request: Request) -> Response:
    """The one page."""
    return _answer(request, "index.html")


async def file(request: Request) -> Response:
    """A file of the page."""
    return _answer(request, request.path_params["name"])


def _answer(request: Request, name: str) -> Response:
    found = _files().get(name)
    if found is None:
        return refusal(404, f"there is no file {name[:100]!r}")
    headers = {"etag": found.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(found.packed, media_type=found.kind, headers=headers)
    return Response(found.content, media_type=found.kind, headers=headers)


class _File(NamedTuple):
    content: bytes
    packed: bytes
    kind: str
    tag: str


@lru_cache(maxsize=1)
def _files() -> dict[str, _File]:
    """Each file by its name: a name that is not here reaches no file of this machine."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            found[path.relative_to(STATIC).as_posix()] = _File(
                content, gzip.compress(content, mtime=0), kind, tag
            )
    return found
