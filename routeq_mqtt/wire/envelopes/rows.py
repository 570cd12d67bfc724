"""The field `row` of an envelope: which row of the scheduler it is of, and a proof of that.

A text: a token that only the scheduler can make, and behind ``~`` the row's key where that is not
the job's id. Who can publish to a queue and not read from it cannot know a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_mqtt.wire.envelopes.envelope import Envelope


def row_text(token: str, key: str, job_id: str) -> str:
    """The field `row` for the row `key` of the job `job_id`."""
    return token if key == job_id else f"{token}~{key}"


def token_of(row: str) -> str:
    """The token in a field `row`."""
    return row.partition("~")[0]


def row_key(envelope: Envelope, job_id: str) -> str:
    """The key of a job's row: what outcomes, orders and reports name it by.

    Args:
        envelope: of the job.
        job_id: its id, or the one that it gets now.
    """
    if envelope.row is None:
        return job_id
    return envelope.row.partition("~")[2] or job_id
