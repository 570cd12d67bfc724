"""A session's answer to the scheduler, which asks what became of the jobs it has released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routeq_mqtt.wire.messages.census import CensusAnswer

if TYPE_CHECKING:
    from routeq_mqtt.wire.messages.census import CensusQuestion
    from routeq_mqtt.worker.consume.session import QueueSession


def answer_of(session: QueueSession, asked: CensusQuestion) -> CensusAnswer:
    """Which of the jobs that are asked for this session holds, and which were done in it.

    Args:
        session: that the question came to.
        asked: the question.
    """
    held = [one for one in session.holdings.held.values() if one.job_id in asked.jobs]
    lately = session.holdings.done_lately()
    never = 1 << 60
    done = [row for row, attempt in lately.items() if asked.jobs.get(row[0], never) <= attempt]
    return CensusAnswer(
        census=asked.census,
        session=session.client_id,
        held=[one.job_id for one in held],
        held_rows=[one.row for one in held],
        done=[job_id for job_id, _ in done],
        done_rows=[row or None for _, row in done],
    )
