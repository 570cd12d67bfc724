"""Answers requests: sizes. Other roles answer theirs; what changes something is written down."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from routeq_mqtt.errors import RouteqError, UnreadableMessage
from routeq_mqtt.scheduler.control.asker import (
    ASKER,
    asker_of,
    how_known,
    shown_args,
    shown_outcome,
)
from routeq_mqtt.scheduler.store.rows import Counts, StoreUnavailable
from routeq_mqtt.wire.messages import requests
from routeq_mqtt.wire.messages.asking import read_request
from routeq_mqtt.wire.messages.complaints import Complaints
from routeq_mqtt.wire.observe import catalogue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from routeq_mqtt.presence.status import SchedulerStatus
    from routeq_mqtt.scheduler.context import Context
    from routeq_mqtt.scheduler.store.observe.audit import AuditLog
    from routeq_mqtt.transport.base import Message
    from routeq_mqtt.wire.messages.asking import RawRequest
    from routeq_mqtt.wire.messages.request import Request

log: logging.Logger = logging.getLogger(__name__)

_MOST_LISTED = 1_000


async def _at_once() -> None:
    """There is nothing to wait for."""


class RpcServer:
    """Requests over ``routeq/rpc/<method>``.

    Args:
        context: what the roles share.
        status: of this scheduler.
        others: methods of other roles, by the requests that they answer.
        audit: keeps a line of each request that changes something.
    """

    def __init__(
        self,
        context: Context,
        status: SchedulerStatus,
        others: requests.Methods,
        audit: AuditLog,
    ) -> None:
        self._audit = audit
        self._context = context
        self._status = status
        self._complaints = Complaints(log)
        self._methods: requests.Methods = {
            requests.Ping: self._ping,
            requests.Sizes: self._sizes,
            **others,
        }

    async def answer(
        self, message: Message, behind: Callable[[], Awaitable[None]] = _at_once
    ) -> None:
        """Answer one request; a request that makes no sense gets an error, and stops nothing.

        Args:
            message: the request.
            behind: waits until the jobs that came before it are rows: who dispatches a job and then
                asks for it does not get the answer "unknown".
        """
        name = message.topic.removeprefix(self._context.topics.rpc(""))
        asked: Request[Any] | None = None
        try:
            request = read_request(message.payload)
        except UnreadableMessage as error:
            self._complaints.note(message.topic, error)
            return
        try:
            ASKER.set(asker_of(request))
            asked = catalogue.read(name, request.args)
            if asked.ABOUT_JOBS:
                await behind()
            result = await self._methods[type(asked)](asked)
            await self._keep(request, asked, shown_outcome(result))
            self._context.reply(request.reply, result=result)
        except Exception as error:
            if not isinstance(error, RouteqError | LookupError | ValueError):
                log.exception("cannot answer topic=%s", message.topic)
            elif request.reply.topic is None:
                self._complaints.note(message.topic, error)
            await self._keep(request, asked, f"error: {error}")
            self._context.reply(request.reply, error=f"{name[:80]}: {error}")

    async def _keep(self, request: RawRequest, asked: Request[Any] | None, outcome: str) -> None:
        """A line in the audit log; an action is not undone where it cannot be written."""
        if asked is None or not asked.ACTS:
            return
        now, by, method = self._context.clock.now(), ASKER.get(), asked.METHOD
        how = how_known(request, method, self._context.guard.signer, self._context.clock.wall())
        try:
            await self._audit.add(now, by, how, method, shown_args(asked.args()), outcome)
        except StoreUnavailable as error:
            log.warning("no audit line of method=%s by=%r: %s", asked.METHOD, by, error)

    async def _ping(self, asked: requests.Ping) -> object:
        context = self._context
        sessions = [one for worker in context.sessions.unowned() for one in worker.sessions]
        more = {"now": context.clock.now(), "unowned": sessions[:_MOST_LISTED]}
        return asdict(self._status) | more

    async def _sizes(self, asked: requests.Sizes) -> object:
        sizes: dict[str, dict[str, Any]] = {
            queue: asdict(count) for queue, count in (await self._context.store.counts()).items()
        }
        for kind, queue in self._context.orders.all():
            if kind == "paused":
                sizes.setdefault(queue, asdict(Counts()))["paused"] = True
        for queue, rate in self._context.orders.rates.items():
            sizes.setdefault(queue, asdict(Counts()))["rate"] = list(rate)
        return sizes
