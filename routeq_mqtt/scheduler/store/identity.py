"""Which job a message is of, and whether its sender may speak for it.

| it comes from | and bears | it is | what it may do |
|---|---|---|---|
| a producer, a device | an id | the job of that id in its queue | add itself, once |
| a worker | a token | the row that the scheduler gave it | all that ends or renews that row |
| a worker | no token | the job of that id, queue and content, past the scheduler | the same |
| the scheduler | an id of a schedule | the scheduler's own | add itself, once |

Two jobs that claim one id are two rows: the later one gets a key of its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.security.sealing import SEALED
from routeq_mqtt.security.signing import SIGNED
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.rows import row_key
from routeq_mqtt.wire.packing import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from routeq_mqtt.scheduler.store.database import Transaction
    from routeq_mqtt.scheduler.store.rows import NewRow
    from routeq_mqtt.scheduler.store.tokens import Tokens


class Identity(NamedTuple):
    """Of a job that a message brings.

    Attributes:
        key: of its row, unless another job has it.
        proven: it bears that row's token.
        origin: tells jobs of one id and queue apart; None: as its producer sent it.
    """

    key: str
    proven: bool
    origin: bytes | None


def from_worker(tokens: Tokens, envelope: Envelope, job_id: str, queue: str) -> Identity:
    """Of a job that a worker gives back, or that its session held."""
    key = row_key(envelope, job_id)
    if tokens.fits(key, envelope.row):
        return Identity(key, proven=True, origin=None)
    return Identity(job_id, proven=False, origin=content_of(envelope, job_id, queue))


def content_of(envelope: Envelope, job_id: str, queue: str) -> bytes:
    """A digest of what no attempt changes. A signature, and what is sealed, may be renewed."""
    hidden = SIGNED in envelope.extra or SEALED in envelope.extra
    parts = [
        job_id, queue, envelope.job, envelope.dispatched_at, envelope.max_tries, envelope.timeout,
        envelope.retry_after, envelope.backoff, envelope.expires_at, envelope.headers,
        None if hidden else envelope.data,
    ]  # fmt: skip
    return hashlib.blake2b(pack(parts), digest_size=16).digest()


def under_key(row: NewRow, key: str, tokens: Tokens) -> NewRow:
    """A row under another key."""
    envelope = Envelope.decode(row.envelope)
    marked = envelope.evolve(row=tokens.row(key, envelope.id or row.id))
    return replace(row, id=key, envelope=marked.encode())


async def told_apart(work: Transaction, rows: Sequence[NewRow], tokens: Tokens) -> list[NewRow]:
    """Rows whose keys no other job has: those of other jobs get keys of their own.

    Args:
        work: the transaction that takes them in.
        rows: to be taken in.
        tokens: of this database.
    """
    known = await owners(work, (row.id for row in rows if not row.proven))
    return [row if row.proven else _apart(row, known, tokens) for row in rows]


Owner = tuple[str, bytes | None, bool]
"""Queue and origin of a row, and whether it was made by this version."""


async def owners(work: Transaction, keys: Iterable[str]) -> dict[str, Owner]:
    """Whose rows there are under some keys."""
    found = await work.read(sql.OWNERS, (json.dumps(list(keys)),))
    return {str(key): (str(queue), origin, bool(marked)) for key, queue, origin, marked in found}


def is_same(owner: Owner, queue: str, origin: bytes | None) -> bool:
    """Whether a job is the one that a row is of.

    A row of an earlier version has no origin. The tombstone of a job that was cancelled before it
    had a row has no queue.
    """
    return owner[0] in {queue, ""} and (origin == owner[1] or not owner[2])


def _apart(row: NewRow, known: dict[str, Owner], tokens: Tokens) -> NewRow:
    owner = known.setdefault(row.id, (row.queue, row.origin, True))
    if is_same(owner, row.queue, row.origin):
        return row
    return under_key(row, tokens.other_key(row.id, row.queue, row.origin), tokens)
