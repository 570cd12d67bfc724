"""Last Wills: when one is published, and as what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from routeq_broker.storage.entry import Message

if TYPE_CHECKING:
    from routeq_broker.protocol.connect import Will
    from routeq_broker.routing.router import Router
    from routeq_broker.routing.session import Session


class Wills:
    """Publishes Last Wills when they are due.

    Args:
        router: where they are published.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def fall_due(self, session: Session) -> None:
        """A connection was lost: its will is published now, or after its delay.

        A session that ends before that ends the wait as well [MQTT-3.1.2-8].
        """
        will = session.will
        if will is None:
            return
        delay = min(will.delay, session.expiry)
        if delay <= 0:
            self.publish(session)
        else:
            loop = asyncio.get_running_loop()
            session.will_timer = loop.call_later(delay, self.publish, session)

    def publish(self, session: Session) -> None:
        """A will that waits is due: its delay, or its session, is over."""
        will, session.will = session.will, None
        if session.will_timer is not None:
            session.will_timer.cancel()
            session.will_timer = None
        if will is not None:
            self._router.publish(self._message(will))

    def _message(self, will: Will) -> Message:
        now = self._router.context.clock.monotonic()
        expires = None if will.expiry is None else now + will.expiry
        return Message(will.topic, will.payload, will.qos, will.retain, will.properties, expires)
