"""Signed requests: who asks for an action has a key, so that the name is that of one of ours.

``signed: {key, body, mac}`` stands beside `args`. The signed bytes are a map of `method`, `by`,
`at` and `args`, which must be those of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import RefusedJob, UnreadableMessage
from routeq_mqtt.wire.maps import read_map
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.security.signing import Signer

_DOMAIN = b"routeq-request-1\n"

WINDOW = 300.0
"""Seconds for which a signature holds, and by which two clocks may differ."""


def sign_request(
    signer: Signer, method: str, args: object, by: str, now: float
) -> dict[str, object]:
    """What a request carries in `signed`."""
    body = pack({"method": method, "by": by, "at": now, "args": args})
    return signer.sign_bytes(body, _DOMAIN)


def signing_key_of(
    signer: Signer, method: str, args: object, more: Mapping[Any, Any], now: float
) -> str:
    """The name of the key with which a request was signed.

    Args:
        signer: has the keys.
        method: that was asked for.
        args: as they came.
        more: what stands beside them: `by` and `signed`.
        now: UTC epoch seconds.

    Raises:
        RefusedJob: it is not signed with a key of ours, was changed, or is too old; says why.
    """
    key, body = signer.open_bytes(more.get("signed"), _DOMAIN)
    try:
        inside = read_map(body, "a signed request")
    except UnreadableMessage as error:
        raise RefusedJob(f"signature: {error}") from None
    wanted = {"method": method, "by": more.get("by"), "args": args}
    wrong = [name for name, value in wanted.items() if inside.get(name) != value]
    if wrong:
        raise RefusedJob(f"signature: it is of another request, whose `{wrong[0]}` differs")
    at = inside.get("at")
    if not isinstance(at, int | float) or not abs(now - at) <= WINDOW:
        raise RefusedJob(f"signature: `at` is not within {WINDOW:.0f} s of the scheduler's clock")
    return key
