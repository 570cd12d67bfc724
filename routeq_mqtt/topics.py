"""Every topic of the bus, spelled once. `docs/design.md` says who publishes and who reads each.

`docs/namespaces.md` says what a namespace puts in front of them, and of client identifiers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from routeq_mqtt.errors import ConfigurationError

SCHEDULER_CLIENT_ID = "routeq-scheduler"
"""One scheduler per bus, so one client identifier; its session collects while it is away.

The transport puts the namespace in front of it, as of every client identifier.
"""

DOCTOR = b"routeq-doctor: no job, drop me"
"""What `doctor` publishes where jobs go; every reader drops it."""

GROUP = "routeq"
"""The share group of all workers of a queue; in a namespace ``<namespace>-routeq``."""

_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_TAKEN = frozenset(
    ("routeq", "queue", "homeassistant", "share", "oshare", "sys", "control", "client", "aws")
)
"""First levels, some of them behind a dollar sign, that mean something else already."""


def check_namespace(value: str, where: str) -> str:
    """Return `value` if it may be a namespace; empty: the default bus.

    Args:
        value: to check.
        where: what the error names: the variable or the flag.

    Raises:
        ConfigurationError: it may not; says which characters it may have.
    """
    if value and _NAMESPACE.fullmatch(value) is None:
        raise ConfigurationError(
            f"{where}={value!r} cannot be a namespace: use 1 to 32 letters, digits, - and _ "
            "(no slash, no dot), beginning with a letter or digit, for example staging"
        )
    if value.lower() in _TAKEN:
        raise ConfigurationError(
            f"{where}={value!r} is the first level of other topics; choose another name, for "
            f"example {value}-2"
        )
    return value


def below(namespace: str, topic: str) -> str:
    """A topic of the bus without a namespace, as it is in one: `a/b`, or `$a/b` for `$b`.

    A leading dollar sign stays in front: mosquitto serves no shared subscription to such a topic,
    which its scheduler reads.
    """
    dollar = "$" if topic.startswith("$") else ""
    return f"{dollar}{namespace}/{topic.removeprefix(dollar)}"


Sharing = Literal["auto", "broker", "scheduler"]
"""Who gives the jobs of a queue to its workers; see `Topics.sharing`."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one bus.

    Attributes:
        intake_prefix: in front of a queue's name: the address that is safe for every producer.
        delivery_prefix: in front of a queue's name: where workers listen on mosquitto.
        control: in front of all control topics, without the last slash.
        namespace: the first level of all of these, or empty: see `within`.
        sharing: who gives a queue's jobs to its workers: the broker, by shared subscriptions, or
            the scheduler, which deals them to single sessions. A scheduler has its way; the others
            follow its status, and this counts until they have seen one.
    """

    intake_prefix: str = "$queue/"
    delivery_prefix: str = "queue/"
    control: str = "routeq"
    namespace: str = ""
    sharing: Sharing = "auto"

    def within(self, namespace: str) -> Topics:
        """The same topics for the bus of a namespace; empty: these.

        Raises:
            ConfigurationError: it cannot be a namespace.
        """
        if not check_namespace(namespace, "namespace"):
            return self
        return replace(
            self,
            intake_prefix=below(namespace, self.intake_prefix),
            delivery_prefix=below(namespace, self.delivery_prefix),
            control=below(namespace, self.control),
            namespace=namespace,
        )

    @property
    def client_prefix(self) -> str:
        """In front of every client identifier of the bus; the transport puts it there."""
        return f"{self.namespace}/" if self.namespace else ""

    @property
    def group(self) -> str:
        """The share group of all workers of a queue."""
        return f"{self.namespace}-{GROUP}" if self.namespace else GROUP

    def intake(self, queue: str) -> str:
        """Where anybody may publish a job: ``$queue/<name>``."""
        return self.intake_prefix + queue

    def delivery(self, queue: str) -> str:
        """Where workers of a broker that does not share ``$queue`` listen: ``queue/<name>``."""
        return self.delivery_prefix + queue

    def shared(self, queue: str) -> tuple[str, str]:
        """Both shared filters of a queue; the one that the broker does not serve costs nothing."""
        group = self.group
        return f"$share/{group}/{self.delivery(queue)}", f"$share/{group}/{self.intake(queue)}"

    def alone(self, client_id: str, topic: str) -> str:
        """A shared filter whose group has one member."""
        group = f"{self.namespace}-{client_id}" if self.namespace else client_id
        return f"$share/{group}/{topic}"

    @property
    def dealt_prefix(self) -> str:
        """In front of a queue's name where the scheduler deals: the intake, without a ``$``.

        Brokers drop or refuse what clients publish to ``$…``, or give it a meaning of their own.
        """
        own = self.intake_prefix
        return f"{self.control}/intake/" if own.startswith("$") else own

    def dealt_intake(self, queue: str) -> str:
        """Where anybody may publish a job if the scheduler deals: ``routeq/intake/<name>``."""
        return self.dealt_prefix + queue

    @property
    def all_dealt_intake(self) -> str:
        """The subscription of a scheduler that deals to all that is published to its intake."""
        return f"{self.dealt_prefix}#"

    def deal(self, client_id: str) -> str:
        """What the scheduler deals to one session of a worker: ``routeq/deal/<session>``."""
        return f"{self.control}/deal/{client_id}"

    def queue_of(self, topic: str) -> str | None:
        """The queue that a delivery, intake or store topic belongs to, or None."""
        for prefix in (
            self.delivery_prefix, self.intake_prefix, self.dealt_prefix, f"{self.control}/store/",
        ):  # fmt: skip
            if topic.startswith(prefix):
                return topic[len(prefix) :]
        return None

    def is_foreign(self, topic: str) -> bool:
        """Whether a topic is not one of the bus's own: a device's, that a trigger may be for."""
        return self.queue_of(topic) is None and not topic.startswith(f"{self.control}/")

    @property
    def all_intake(self) -> str:
        """The scheduler's plain subscription to everything that is published to an intake."""
        return f"{self.intake_prefix}#"

    @property
    def broker(self) -> str:
        """Retained: the embedded broker says that it shares ``$queue`` itself."""
        return f"{self.control}/broker"

    @property
    def broker_queues(self) -> str:
        """Retained: what waits in the embedded broker, for each queue."""
        return f"{self.control}/broker/queues"

    @property
    def broker_window(self) -> str:
        """A session tells the embedded broker how many messages it may hold at once."""
        return f"{self.control}/broker/window"

    @property
    def broker_back(self) -> str:
        """A session gives messages back to the embedded broker: packet ids, two bytes each."""
        return f"{self.control}/broker/back"

    @property
    def broker_census(self) -> str:
        """The scheduler asks the embedded broker which jobs it has; the answer is a session's."""
        return f"{self.control}/broker/census"

    @property
    def scheduler(self) -> str:
        """Retained, Last Will: scheduler status."""
        return f"{self.control}/scheduler"

    def epoch(self, lineage: str) -> str:
        """Retained: how new the newest copy of a scheduler's database is."""
        return f"{self.control}/epochs/{lineage}"

    def lineage_of(self, topic: str) -> str | None:
        """The lineage of databases that an epoch is of, or None."""
        prefix = self.epoch("")
        return topic[len(prefix) :] if topic.startswith(prefix) else None

    def standby(self, instance: str) -> str:
        """Retained, Last Will: a scheduler waits to take over. Empty: it does not any more."""
        return f"{self.control}/standbys/{instance}"

    def worker(self, worker_id: str) -> str:
        """Retained, Last Will: worker status."""
        return f"{self.control}/workers/{worker_id}"

    def fence(self, worker_id: str) -> str:
        """Retained: the worker's sessions were adopted. Apart, so that no Last Will wipes it."""
        return f"{self.control}/fences/{worker_id}"

    def running(self, worker_id: str) -> str:
        """Retained: what the worker runs and holds now. Apart, so that the Last Will keeps it."""
        return f"{self.control}/running/{worker_id}"

    def stats(self, worker_id: str) -> str:
        """Retained: what the worker has counted since its start."""
        return f"{self.control}/stats/{worker_id}"

    def stats_of(self, topic: str) -> str | None:
        """The worker that a topic of statistics belongs to, or None."""
        prefix = f"{self.control}/stats/"
        return topic[len(prefix) :] if topic.startswith(prefix) else None

    def outbox(self, name: str) -> str:
        """Retained: what waits in an outbox of a producer."""
        return f"{self.control}/outbox/{name}"

    def numbers(self, queue: str) -> str:
        """Retained: the scheduler's numbers of a queue."""
        return f"{self.control}/queues/{queue}"

    @property
    def alerts(self) -> str:
        """Retained: what is wrong, as the scheduler sees it."""
        return f"{self.control}/alerts"

    def worker_of(self, topic: str) -> str | None:
        """The worker that a status or running topic belongs to, or None."""
        for prefix in (f"{self.control}/workers/", f"{self.control}/running/"):
            if topic.startswith(prefix):
                return topic[len(prefix) :]
        return None

    def session(self, client_id: str) -> str:
        """A session's own topic: markers and the scheduler's questions, behind all that waits."""
        return f"{self.control}/session/{self.client_prefix}{client_id}"

    @property
    def schedule(self) -> str:
        """Envelopes with `run_at` or `delay`: delayed dispatch. Adds jobs, changes none."""
        return f"{self.control}/schedule"

    @property
    def retry(self) -> str:
        """Jobs that come back from a worker: for their next attempt, or for a decision."""
        return f"{self.control}/retry"

    @property
    def failed(self) -> str:
        """Failed records, worker to scheduler."""
        return f"{self.control}/failed"

    @property
    def result(self) -> str:
        """What jobs returned, worker to scheduler."""
        return f"{self.control}/result"

    @property
    def done(self) -> str:
        """Outcomes of jobs that have a row, many in one message, worker to scheduler."""
        return f"{self.control}/done"

    def store(self, queue: str) -> str:
        """Durable dispatch: envelopes that the scheduler commits before it replies."""
        return f"{self.control}/store/{queue}"

    @property
    def back(self) -> str:
        """Jobs that a worker gives back unstarted, many in one message, worker to scheduler."""
        return f"{self.control}/back"

    def share(self, worker_id: str) -> str:
        """The scheduler's balancer asks a worker to share what waits there."""
        return f"{self.control}/share/{worker_id}"

    def ask(self, worker_id: str) -> str:
        """The scheduler asks a worker, or ``all``, whether it holds a job."""
        return f"{self.control}/ask/{worker_id}"

    def held(self, worker_id: str) -> str:
        """The answer of a worker that holds it."""
        return f"{self.control}/held/{worker_id}"

    def rpc(self, method: str) -> str:
        """A request to the scheduler."""
        return f"{self.control}/rpc/{method}"

    def reply(self, client_id: str) -> str:
        """Where a client reads the scheduler's replies."""
        return f"{self.control}/reply/{self.client_prefix}{client_id}"

    def probe(self, client_id: str) -> str:
        """A client's own topic, to see whether the broker tells the truth about 0x10."""
        return f"{self.control}/probe/{self.client_prefix}{client_id}"

    def order(self, kind: str, name: str) -> str:
        """An order of the scheduler's to all workers; retained for as long as it holds."""
        return f"{self.control}/orders/{kind}/{name}"

    @property
    def all_orders(self) -> str:
        """Every order."""
        return f"{self.control}/orders/#"

    def order_of(self, topic: str) -> tuple[str, str] | None:
        """Kind and name of an order, or None."""
        prefix = f"{self.control}/orders/"
        if not topic.startswith(prefix):
            return None
        kind, _, name = topic[len(prefix) :].partition("/")
        return kind, name

    @staticmethod
    def all_buses() -> tuple[str, ...]:
        """Filters of the statuses of schedulers and workers of every bus on a broker."""
        plain = Topics()
        own = (plain.scheduler, plain.worker("+"))
        return (*own, *(f"+/{one}" for one in own))

    @staticmethod
    def bus_of(topic: str) -> Topics | None:
        """The bus whose scheduler or worker has this topic for its status, or None."""
        plain = Topics()
        if _is_status(topic, plain):
            return plain
        namespace, _, rest = topic.partition("/")
        if not namespace or not _is_status(rest, plain):
            return None
        try:
            return plain.within(namespace)
        except ConfigurationError:
            return None  # somebody else's topics that look alike

    def events(self, queue: str) -> str:
        """Events of jobs, for subscribers."""
        return f"{self.control}/events/{queue}"


def _is_status(topic: str, bus: Topics) -> bool:
    """Whether a topic has the status of a bus's scheduler, or the status or load of its worker."""
    return topic == bus.scheduler or bus.worker_of(topic) is not None
