"""Every topic of the bus, spelled once. `docs/design.md` says who publishes and who reads each."""

from __future__ import annotations

from dataclasses import dataclass

SCHEDULER_CLIENT_ID = "routeq-scheduler"
"""One scheduler per bus, so one client identifier; its session collects while it is away."""

DOCTOR = b"routeq-doctor: no job, drop me"
"""What `doctor` publishes where jobs go; whoever keeps jobs drops it."""

GROUP = "routeq"
"""The share group of all workers of a queue."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one bus.

    Attributes:
        intake_prefix: in front of a queue's name: the address that is safe for every producer.
        delivery_prefix: in front of a queue's name: where workers listen on mosquitto.
        control: first level of all control topics.
    """

    intake_prefix: str = "$queue/"
    delivery_prefix: str = "queue/"
    control: str = "routeq"

    def intake(self, queue: str) -> str:
        """Where anybody may publish a job: ``$queue/<name>``."""
        return self.intake_prefix + queue

    def delivery(self, queue: str) -> str:
        """Where workers of a broker that does not share ``$queue`` listen: ``queue/<name>``."""
        return self.delivery_prefix + queue

    def shared(self, queue: str) -> tuple[str, str]:
        """Both shared filters of a queue; the one that the broker does not serve costs nothing."""
        return f"$share/{GROUP}/{self.delivery(queue)}", f"$share/{GROUP}/{self.intake(queue)}"

    def queue_of(self, topic: str) -> str | None:
        """The queue that a delivery, intake or store topic belongs to, or None."""
        for prefix in (self.delivery_prefix, self.intake_prefix, f"{self.control}/store/"):
            if topic.startswith(prefix):
                return topic[len(prefix) :]
        return None

    def is_foreign(self, topic: str) -> bool:
        """Whether a topic is none of the bus's own: a device's, that a trigger may be for."""
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
    def scheduler(self) -> str:
        """Retained, Last Will: scheduler status."""
        return f"{self.control}/scheduler"

    def worker(self, worker_id: str) -> str:
        """Retained, Last Will: worker status."""
        return f"{self.control}/workers/{worker_id}"

    def fence(self, worker_id: str) -> str:
        """Retained: the worker's sessions were adopted. Apart, so that no Last Will wipes it."""
        return f"{self.control}/fences/{worker_id}"

    def running(self, worker_id: str) -> str:
        """Retained: what the worker runs and holds now. Apart, so that the Last Will keeps it."""
        return f"{self.control}/running/{worker_id}"

    def worker_of(self, topic: str) -> str | None:
        """The worker that a status or running topic belongs to, or None."""
        for prefix in (f"{self.control}/workers/", f"{self.control}/running/"):
            if topic.startswith(prefix):
                return topic[len(prefix) :]
        return None

    def session(self, client_id: str) -> str:
        """A session's own topic: markers and the scheduler's questions, behind all that waits."""
        return f"{self.control}/session/{client_id}"

    @property
    def schedule(self) -> str:
        """Envelopes with `run_at` or `delay`: delayed dispatch and retries."""
        return f"{self.control}/schedule"

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

    def rpc(self, method: str) -> str:
        """A request to the scheduler."""
        return f"{self.control}/rpc/{method}"

    def reply(self, client_id: str) -> str:
        """Where a client reads the scheduler's replies."""
        return f"{self.control}/reply/{client_id}"

    def probe(self, client_id: str) -> str:
        """A client's own topic, to see whether the broker tells the truth about 0x10."""
        return f"{self.control}/probe/{client_id}"

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

    def events(self, queue: str) -> str:
        """What happens to jobs, for whoever watches."""
        return f"{self.control}/events/{queue}"
