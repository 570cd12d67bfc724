"""A session's answer to the scheduler, which asks what became of the jobs it has released."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire.packing import pack, unpack

if TYPE_CHECKING:
    from routeq_mqtt.worker.session import QueueSession

log = logging.getLogger(__name__)


def answer_of(session: QueueSession, question: bytes) -> bytes | None:
    """Which of the jobs that are asked for this session holds, and which were done in it.

    Args:
        session: that the question came to.
        question: a map of the number of the census and `jobs`, pairs of an id and an attempt.

    Returns:
        The payload of the request `census`; None: this was no question.
    """
    try:
        asked = unpack(question)
        attempts = {str(job_id): int(attempt) for job_id, attempt in asked["jobs"]}
        number = asked["census"]
    except (UnreadableMessage, KeyError, TypeError, ValueError):
        log.warning("a message to session=%s is no census", session.client_id)
        return None
    done = session.holdings.done_lately()
    answer = {
        "census": number,
        "session": session.client_id,
        "held": [held.job_id for held in session.holdings.held.values() if held.job_id in attempts],
        "done": [job for job, attempt in attempts.items() if done.get(job, 0) >= attempt],
    }
    return pack({"args": answer})
