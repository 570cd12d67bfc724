"""Where messages go: to queues, to subscribers and to what is retained."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from routeq_broker.protocol import reasons
from routeq_broker.routing.feed import Feed
from routeq_broker.routing.filters import is_valid_filter, split_share
from routeq_broker.routing.queues import Queues
from routeq_broker.routing.retained import Retained
from routeq_broker.routing.subscribers import Subscribers
from routeq_broker.routing.tree import has_wildcard
from routeq_broker.storage import sql
from routeq_broker.storage.entry import Entry, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from routeq_broker.protocol.subscribe import Options
    from routeq_broker.routing.context import Context
    from routeq_broker.routing.namespaces import Namespaces
    from routeq_broker.routing.session import Session
    from routeq_broker.routing.subscribers import Route

_NEW, _NEVER = 1, 2
"""Retain handling: only with a new subscription, never (MQTT 5, 3.8.3.1)."""


class Router:
    """Routes a published message to queues, subscribers and the retained messages.

    Args:
        context: journal, policy, limits and clock.
        namespaces: know which topics are queues.
        changed: called when what waits in the queues has changed.
    """

    def __init__(
        self, context: Context, namespaces: Namespaces, changed: Callable[[], None]
    ) -> None:
        self.context = context
        self.queues = Queues(context, namespaces, changed)
        self.retained = Retained(context.journal, context.limits, context.clock)
        self.subscriptions = 0
        self._subscribers = Subscribers()

    def load(self, entries: Sequence[Entry], sessions: Mapping[str, Session]) -> None:
        """Take up messages that the database had, in order."""
        for entry in entries:
            session = sessions.get(entry.owner) if entry.owner is not None else None
            if entry.group is not None:
                self.queues.load(entry, entry.group, session if entry.mid else None)
            elif session is not None and entry.mid:
                session.adopt(entry)
            elif session is not None:
                session.pending.append(entry)
            else:
                self.context.journal.forget(entry)
        first = entries[-1].number + 1 if entries else 1
        self.context.numbers = itertools.count(first)

    # -- subscriptions -------------------------------------------------------------------------

    def subscribe(
        self, session: Session, wanted: Sequence[tuple[str, Options]]
    ) -> tuple[list[int], list[tuple[str, Options]]]:
        """Add subscriptions.

        Returns:
            Of each the granted QoS or why it was refused; and those whose retained messages the
            session is to get from `greet`, behind that answer.
        """
        codes = []
        news = []
        for name, options in wanted:
            code = self._verdict(session, name) or options.qos
            codes.append(code)
            if code >= reasons.REFUSED:
                continue
            if split_share(name) is None and self._greets(session, name, options):
                news.append((name, options))
            self.add_subscription(session, name, options)
            if session.persistent:
                self.save_subscription(session, name, options)
        return codes, news

    def _greets(self, session: Session, name: str, options: Options) -> bool:
        """Whether retained messages come with a subscription (MQTT 5, 3.8.3.1)."""
        if options.retain_handling == _NEW:
            return name not in session.subscriptions
        return options.retain_handling != _NEVER

    def greet(self, session: Session, news: Sequence[tuple[str, Options]]) -> None:
        """Give a session what its new subscriptions bring: retained messages, then jobs."""
        if news and session.feed is None:
            session.feed = Feed(self.retained, session, self.context)
        for name, options in news:
            if session.feed is not None:
                session.feed.want(name, options)
        self.room_in(session)

    def _verdict(self, session: Session, name: str) -> int:
        """Why a filter is refused; 0: it is not."""
        share = split_share(name)
        if not is_valid_filter(name) or (share is not None and not all(share)):
            return reasons.TOPIC_FILTER_INVALID
        if has_wildcard(name) and self.queues.key_of(name) is not None:
            return reasons.TOPIC_FILTER_INVALID  # a queue is shared by its name only
        if not session.may_subscribe(name):
            return reasons.NOT_AUTHORIZED
        known = session.subscriptions
        if name not in known and len(known) >= self.context.limits.subscriptions:
            return reasons.QUOTA_EXCEEDED
        return reasons.SUCCESS

    def save_subscription(self, session: Session, name: str, options: Options) -> None:
        """Write a subscription to the database."""
        values = (session.client_id, name, options.encoded, options.identifier)
        self.context.journal.write(sql.SAVE_SUBSCRIPTION, *values)

    def add_subscription(self, session: Session, name: str, options: Options) -> None:
        """A session gets what matches a filter, from now on."""
        self.subscriptions += name not in session.subscriptions
        session.subscriptions[name] = options
        key = self.queues.key_of(name)
        if key is not None:
            self.queues.join(key, session, options)
        else:
            self._subscribers.add(session, name, options)

    def unsubscribe(self, session: Session, names: Sequence[str]) -> list[int]:
        """Remove subscriptions; what the session holds stays with it.

        Returns:
            Of each whether it existed, as the codes of an UNSUBACK.
        """
        codes = []
        for name in names:
            known = name in session.subscriptions
            codes.append(reasons.SUCCESS if known else reasons.NO_SUBSCRIPTION_EXISTED)
            if known:
                self.remove_subscription(session, name)
                if session.persistent:
                    self.context.journal.write(sql.DELETE_SUBSCRIPTION, session.client_id, name)
        return codes

    def remove_subscription(self, session: Session, name: str) -> None:
        """A session does not any more."""
        self.subscriptions -= session.subscriptions.pop(name, None) is not None
        key = self.queues.key_of(name)
        if key is not None:
            self.queues.leave(key, session)
        else:
            self._subscribers.remove(session, name)

    def room_in(self, session: Session) -> None:
        """A session may have got room."""
        session.pump()
        self.queues.room_in(session)

    # -- messages ------------------------------------------------------------------------------

    def publish(
        self, message: Message, publisher: Session | None = None, *, volatile: bool = False
    ) -> int:
        """Take a message in; safe once the journal says so.

        Args:
            message: to deliver.
            publisher: the session that it comes from.
            volatile: the broker's own word on itself: retained in memory only.

        Returns:
            A reason as the PUBACK has it: Success, no matching subscribers, or quota exceeded.
        """
        topic = message.topic
        queue = self.queues.named(topic)
        reason = reasons.SUCCESS
        if queue is not None:
            if self.context.journal.failing:
                return reasons.QUOTA_EXCEEDED
            self.queues.put(queue, message)
        elif message.retain and not self.retained.keep(message, volatile=volatile):
            reason = reasons.QUOTA_EXCEEDED
        routes = self._subscribers.of(topic, publisher)
        if not routes:
            return reason or (reasons.NO_MATCHING_SUBSCRIBERS if queue is None else reason)
        taken = [self._give(route, message) for route in routes]
        return reason if queue is not None or any(taken) else reasons.QUOTA_EXCEEDED

    def _give(self, route: Route, message: Message) -> bool:
        entry = Entry(
            next(self.context.numbers),
            message.topic,
            message.payload,
            qos=min(message.qos, route.qos),
            retain=message.retain and route.as_published,
            properties=message.properties,
            expires=message.expires,
            ids=route.ids,
            owner=route.session.client_id,
        )
        return route.session.offer(entry)

    def answer(self, question: bytes, prefix: str) -> None:
        """Somebody asks what the queues of a namespace have."""
        answer = self.context.policy.answer(question, self.queues.keys(prefix))
        if answer is not None:
            topic, payload = answer
            self.publish(Message(prefix + topic, payload, qos=1))

    def acknowledged(self, session: Session, mid: int) -> bool:
        """A PUBACK or PUBCOMP; whether the session held it."""
        had_room = session.has_room
        entry = session.drop(mid)
        if entry is None:
            return False
        self.forget(entry)
        if had_room:
            session.pump()
        else:
            self.room_in(session)  # the window is over all its queues
        return True

    def forget(self, entry: Entry) -> None:
        """A message is over: acknowledged, or its session has ended."""
        self.context.journal.forget(entry)
        if entry.group is not None:
            self.queues.over(entry)

    def expire(self) -> None:
        """Drop what is of no use any more, wherever it waits."""
        self.retained.expire()
        self.queues.expire()
