"""A worker tells the scheduler of its triggers, until the scheduler has them."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConnectionFailed, NoScheduler, RequestFailed
from routeq_mqtt.transport.backoff import with_backoff
from routeq_mqtt.wire.messages.requests import TriggerAdd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.wire.messages.trigger import Trigger

log: logging.Logger = logging.getLogger(__name__)

_MAX_WAIT = 5.0


async def declare(requests: Requests, triggers: Sequence[Trigger]) -> None:
    """Declare triggers; returns when the scheduler has committed them and listens."""

    def note(error: BaseException, attempt: int) -> None:
        level = logging.WARNING if attempt in {1, 10, 100} else logging.DEBUG
        log.log(level, "triggers wait for a scheduler error=%s", error)

    for one in triggers:
        asked = TriggerAdd(**asdict(one))
        try:
            await with_backoff(
                lambda asked=asked: requests.ask(asked),  # type: ignore[misc]
                ConnectionFailed,
                NoScheduler,
                max_wait=_MAX_WAIT,
                note=note,
            )
        except RequestFailed as error:
            log.error("trigger=%s refused error=%s", one.pattern, error)
        else:
            log.info("trigger=%s job=%s declared", one.pattern, one.job)
