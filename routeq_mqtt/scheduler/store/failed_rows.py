"""Keeps failed records, within a transaction: none takes the place of another job's."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.store.identity import is_same, owners
from routeq_mqtt.scheduler.store.sql import jobs as sql
from routeq_mqtt.wire.envelopes.record import REFUSED, FailedRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.scheduler.store.database import Transaction
    from routeq_mqtt.scheduler.store.identity import Owner
    from routeq_mqtt.scheduler.store.rows import NewFailed
    from routeq_mqtt.scheduler.store.tokens import Tokens


async def keep_failed(
    work: Transaction, records: Sequence[NewFailed], at: float, tokens: Tokens
) -> None:
    """Keep failed records, and make tombstones of their rows.

    A record without its row's token touches no row but that of the very same job, and where its id
    is taken it gets one of its own; so does whatever was refused. One with the token has its id:
    what another job left under it moves to an id of its own.
    """
    if not records:
        return
    ids = [record.id for record in records]
    known = _Known(
        await owners(work, ids),
        {
            str(i): content
            for i, content in await work.read(sql.FAILED_CONTENTS, (json.dumps(ids),))
        },
        tokens,
    )
    placed = [known.placed(record) for record in records]
    for record in placed:
        if known.is_in_the_way(record):
            await _move_aside(work, record.id, tokens)
    await work.many(
        sql.FAIL,
        [
            (
                r.id, r.queue, r.job, r.reason, r.error, r.worker, r.failed_at, r.record,
                r.attempt, r.deliveries, r.content, known.origin(r), r.exception,
            )
            for r in {record.id: record for record in placed}.values()
        ],
    )  # fmt: skip
    await work.many(sql.TOMBSTONE, [(at, r.id, r.attempt, r.deliveries) for r in placed])


@dataclass(frozen=True, slots=True)
class _Known:
    """Rows and failed records that there are under the ids of some records."""

    rows: dict[str, Owner]
    contents: dict[str, bytes | None]
    tokens: Tokens

    def placed(self, record: NewFailed) -> NewFailed:
        """A record under the id that it gets."""
        if record.proven:
            return record
        taken = self._is_taken(record)
        if not taken:
            self.contents.setdefault(record.id, record.content)
            return record
        key = self.tokens.other_key(record.id, record.queue, record.content)
        return replace(record, id=key, record=_renamed(record.record, key))

    def _is_taken(self, record: NewFailed) -> bool:
        if record.reason == REFUSED:
            return True
        row = self.rows.get(record.id)
        if row is not None and not is_same(row, record.queue, record.content):
            return True
        return self._differs(record)

    def _differs(self, record: NewFailed) -> bool:
        """Whether there is a record of another job; one of an earlier version says nothing."""
        other = self.contents.get(record.id)
        return other is not None and other != record.content

    def is_in_the_way(self, record: NewFailed) -> bool:
        """Whether another job's record has the id of a record that bears its row's token."""
        return record.proven and self._differs(record)

    def origin(self, record: NewFailed) -> bytes | None:
        """Of the row that the record is of."""
        row = self.rows.get(record.id)
        if row is not None:
            return row[1]
        return None if record.proven else record.content


async def _move_aside(work: Transaction, job_id: str, tokens: Tokens) -> None:
    for queue, content, record in await work.read(sql.FAILED_CONTENT, (job_id,)):
        key = tokens.other_key(job_id, str(queue), content)
        await work.run(sql.FAILED_RENAME, (key, _renamed(bytes(record), key), job_id))


def _renamed(record: bytes, key: str) -> bytes:
    try:
        return replace(FailedRecord.decode(record), id=key).encode()
    except UnreadableMessage:
        return record  # of an earlier version, or a test's: shown under its id all the same
