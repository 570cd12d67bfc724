"""One job as a whole: its row or its failed record, its attempts, and what it waits for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.scheduler.store.observe.job_rows import (
    failed_row,
    job_row,
    message_row,
    read_envelope,
)
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.observe.answers import JobRow, JobWhole

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection
    from routeq_mqtt.wire.envelopes.envelope import Envelope
    from routeq_mqtt.wire.observe.held import HeldAnswer


def whole(db: SyncConnection, job_id: str) -> JobWhole | None:
    """All that the database knows of a job; None: nothing."""
    failed = db.execute(sql.FAILED_ONE, (job_id,)).fetchone()
    if failed is not None:
        return _failed(failed)
    columns = db.execute(sql.ONE, (job_id,)).fetchone()
    if columns is None:
        return None
    envelope = read_envelope(columns[11])
    row = job_row(columns, envelope, with_data=True)
    waits_for = _waits_for(db, row) if row.state in {"held", "limited"} else []
    locks = [
        f"{job}: {key}" + (f" (queue {place})" if place else "")
        for job, place, key in db.execute(sql.LOCKS_OF, (job_id,))
    ]
    history = [] if envelope is None else list(envelope.errors)
    return _whole(row, envelope, history=history, waits_for=waits_for, locks=locks)


def held(answer: HeldAnswer) -> JobWhole:
    """What a worker holds, of the message that it holds; sealed data stay sealed."""
    envelope = read_envelope(answer.message)
    row = message_row(answer, envelope)
    return _whole(row, envelope, history=[] if envelope is None else list(envelope.errors))


def _failed(columns: Any) -> JobWhole:  # noqa: ANN401 - a row
    try:
        record = FailedRecord.decode(columns[7])
    except UnreadableMessage:
        return _whole(failed_row(columns, None, with_data=True), None, history=[])
    envelope = read_envelope(record.envelope)
    row = failed_row(columns, envelope, with_data=True)
    return _whole(row, envelope, history=list(record.attempts))


def _whole(row: JobRow, envelope: Envelope | None, **more: Any) -> JobWhole:  # noqa: ANN401
    values = asdict(row) | more
    if envelope is None:
        return JobWhole(**values)
    values["data"] = None if row.sealed else envelope.data
    return JobWhole(
        **values,
        deliveries=envelope.deliveries,
        deaths=envelope.deaths,
        headers=envelope.headers,
        options=envelope.options,
    )


def _waits_for(db: SyncConnection, row: JobRow) -> list[str]:
    """What keeps a job that is held or limited."""
    if row.state == "limited":
        lane = db.execute(sql.LANE_OF, (row.id,)).fetchone()
        keys = _keys(None if lane is None else lane[0])
        return [f"limit {key}" for key in keys] or [f"the rate of queue {row.queue}"]
    before = db.execute(sql.STEP_BEFORE, (row.chain, row.step)).fetchone()
    if before is not None:
        return [f"job {before[0]}, which is {before[1]}"]
    if row.chain is not None:
        return [f"chain {row.chain}"]
    return [] if row.batch is None else [f"batch {row.batch}"]


def _keys(lane: Any) -> list[str]:  # noqa: ANN401 - whatever a column holds
    try:
        return [str(limit["key"]) for limit in json.loads(lane)]
    except (TypeError, ValueError, KeyError):
        return []
