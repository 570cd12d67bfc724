"""What proves to a worker that the scheduler has decided on a job: its limits, its unique key.

Who may publish where workers listen could claim that. So the scheduler marks such a job with a
keyed hash, and publishes the key as an order, which access rules show to workers alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.maps import read_json_map
from routeq_mqtt.wire.packing import pack

ORDER = "admission"
"""The kind of order; its name is the lineage of the scheduler's database."""

MARK = "admission"
"""The option of an envelope, beside `admitted`."""

_SIZE = 16


def key_of(secret: bytes) -> bytes:
    """The key of a database: who has it cannot make tokens of rows."""
    return hashlib.blake2b(b"admission", key=secret, digest_size=_SIZE).digest()


def mark(key: bytes, job_id: str, queue: str) -> str:
    """Says that a job was admitted."""
    return hashlib.blake2b(pack([job_id, queue]), key=key, digest_size=_SIZE).hexdigest()


def fits(key: bytes, said: object, job_id: str, queue: str) -> bool:
    """Whether a mark was made with a key."""
    if not isinstance(said, str):
        return False
    return hmac.compare_digest(said.encode(), mark(key, job_id, queue).encode())


def encode_key(key: bytes, at: float) -> bytes:
    """The payload of the order, given at UTC epoch seconds."""
    return json.dumps({"at": at, "key": key.hex()}).encode()


def read_key(payload: bytes) -> bytes:
    """The key in the payload of an order.

    Raises:
        UnreadableMessage: the payload holds no key; says what is wrong.
    """
    said = _key(read_json_map(payload, "an order").get("key"))
    try:
        key = bytes.fromhex(said)
    except ValueError:
        key = b""
    if len(key) != _SIZE:
        raise UnreadableMessage(f"key must be {2 * _SIZE} hexadecimal digits")
    return key


_key = checks.text("key", 200)
