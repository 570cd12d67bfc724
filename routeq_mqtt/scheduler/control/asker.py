"""Who asks, and what: as the audit log shows it."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import RefusedJob
from routeq_mqtt.security.requests import signing_key_of
from routeq_mqtt.wire.display import readable, tame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.security.signing import Signer
    from routeq_mqtt.wire.messages.asking import RawRequest

log: logging.Logger = logging.getLogger(__name__)

_LONGEST = 200

CLAIMED = "claimed"

ASKER: ContextVar[str] = ContextVar("asker", default="")
"""Who asks for what is being answered, as the request says; each answer is a task of its own."""


def asker_of(request: RawRequest) -> str:
    """The request's field `by`, or else the topic that it wants its reply on."""
    by = request.more.get("by")
    text = by if isinstance(by, str) and by else request.reply.topic or "?"
    return tame(readable(text))[:_LONGEST]


def how_known(request: RawRequest, method: str, signer: Signer | None, now: float) -> str:
    """How it was established who asks: "signed", with the key's name, or "claimed".

    A signature that is wrong proves nothing, and is worth a line in the log.
    """
    if signer is not None and request.more.get("signed") is not None:
        try:
            return f"signed {signing_key_of(signer, method, request.args, request.more, now)}"
        except RefusedJob as error:
            asker = asker_of(request)
            log.warning("method=%s by=%r is not who it claims to be: %s", method, asker, error)
    return CLAIMED


def shown_args(args: Mapping[str, Any]) -> str:
    """Arguments as JSON; bytes by their length: they may be a job with its data."""
    given = {name: part for name, part in args.items() if part is not None}
    return json.dumps(given, ensure_ascii=False, default=_shown)


def shown_outcome(result: object) -> str:
    """A reply as JSON, of lists only how long they are."""
    if isinstance(result, dict):
        result = {
            name: len(part) if isinstance(part, list | dict) else part
            for name, part in result.items()
        }
    return json.dumps(result, ensure_ascii=False, default=_shown)


def _shown(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    return type(value).__name__
