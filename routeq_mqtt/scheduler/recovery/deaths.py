"""Charges jobs for the death of the worker that ran them, where its session does not bring them.

Some brokers (NATS) deliver unacknowledged messages again only after a while, behind new ones: they
are not yet there when an adoption has drained the session. Where the scheduler deals, each of them
has a row, and the worker's last report says which of them ran.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.store.incoming import returned_row
from routeq_mqtt.wire.envelopes.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.rows import NewRow

log: logging.Logger = logging.getLogger(__name__)


async def charge_deaths(context: Context, running: Mapping[str, int]) -> int:
    """Take back the rows that are still released at the attempt that ran; how many.

    Args:
        context: what the roles share.
        running: jobs that a dead worker ran, each with its attempt; its sessions are drained.

    Raises:
        StoreUnavailable: the database cannot be used.
    """
    rows: list[NewRow] = []
    now, tokens = context.clock.now(), context.tokens
    for key, attempt in running.items():
        row = await context.store.get(key)
        if row is None or row.state != "released" or row.attempt > attempt:
            continue
        try:
            envelope = Envelope.decode(row.envelope)
        except UnreadableMessage:
            continue  # a damaged row: the census parks it, and a worker says so
        rows.append(
            returned_row(envelope, envelope.id or key, row.queue, tokens, now=now, died=True)
        )
    taken = await context.store.restore(rows) if rows else 0
    if taken:
        log.info("took back %d jobs that ran in a lost worker and were not delivered again", taken)
        context.limited = context.expiring = True
        context.parked.notify()
    return taken
