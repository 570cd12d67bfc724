"""The table of topics: what is published where, who reads it, and which decoder reads it.

`docs/design.md` shows it (a test keeps that true), and a test sends each topic what must not be
sent. `routeq_mqtt.topics` spells the topics of one bus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.envelopes.record import FailedRecord
from routeq_mqtt.wire.envelopes.result import JobResult
from routeq_mqtt.wire.marks import decode_mark, is_mark
from routeq_mqtt.wire.messages.asking import Reply, read_request
from routeq_mqtt.wire.messages.broker import BrokerStatus, decode_waiting
from routeq_mqtt.wire.messages.census import CensusAnswer, CensusQuestion
from routeq_mqtt.wire.messages.device_payload import reading
from routeq_mqtt.wire.messages.durable import DurableDispatch
from routeq_mqtt.wire.messages.epoch import EpochClaim
from routeq_mqtt.wire.messages.given_back import decode_given_back
from routeq_mqtt.wire.messages.orders import given_at
from routeq_mqtt.wire.messages.outcomes import decode_outcomes
from routeq_mqtt.wire.messages.status import SchedulerStatus, WorkerLoad, WorkerStatus
from routeq_mqtt.wire.observe.events import decode_events
from routeq_mqtt.wire.observe.held import HeldAnswer, HeldQuestion
from routeq_mqtt.wire.observe.numbers import Alerts, QueueNumbers
from routeq_mqtt.wire.observe.outbox import OutboxReport
from routeq_mqtt.wire.observe.standby import StandbyStatus
from routeq_mqtt.wire.observe.stats import WorkerStats

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of message.

    Attributes:
        name: of the kind.
        topic: with the default prefixes; what differs stands in angle brackets.
        how: quality of service, format, whether it is retained.
        who: publishes it, and who reads it.
        decode: reads the payload, or raises `UnreadableMessage`.
        kept: one that cannot be read becomes a failed record; others are logged once and ignored.
        anything: any payload will do, or none of our processes reads it.
    """

    name: str
    topic: str
    how: str
    who: str
    decode: Callable[[bytes], object]
    kept: bool = False
    anything: bool = False

    @property
    def retained(self) -> bool:
        """Whether the broker keeps the last one for who subscribes later."""
        return self.how.startswith("retained")


def _anything(payload: bytes) -> bytes:
    return payload


def _session(payload: bytes) -> object:
    return decode_mark(payload) if is_mark(payload) else CensusQuestion.decode(payload)


def _order(payload: bytes) -> object:
    return given_at(payload) if payload else None


KINDS: tuple[Kind, ...] = (
    Kind(
        name="job",
        topic="$queue/<name>",
        how="QoS 1",
        who="any producer -> workers (embedded) or scheduler",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="delivery",
        topic="queue/<name>",
        how="QoS 1",
        who="scheduler and producers on the express lane -> workers, `$share/routeq/queue/<name>`",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="intake",
        topic="routeq/intake/<name>",
        how="QoS 1",
        who="any producer -> scheduler, where that deals (docs/brokers.md)",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="dealt",
        topic="routeq/deal/<session>",
        how="QoS 1",
        who="the scheduler, where it deals -> the session of one worker",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="broker status",
        topic="routeq/broker",
        how="retained JSON",
        who="the embedded broker says that it shares `$queue` itself",
        decode=BrokerStatus.decode,
    ),
    Kind(
        name="broker queues",
        topic="routeq/broker/queues",
        how="retained JSON",
        who="the embedded broker: messages waiting for each queue",
        decode=decode_waiting,
    ),
    Kind(
        name="broker window",
        topic="routeq/broker/window",
        how="QoS 1",
        who="a worker's queue session -> embedded broker: how many messages it may hold at once",
        decode=_anything,  # the broker reads it: a package of its own
        anything=True,
    ),
    Kind(
        name="broker census",
        topic="routeq/broker/census",
        how="QoS 1",
        who="scheduler -> embedded broker: which of these rows it has; answers as a session does",
        decode=CensusQuestion.decode,
    ),
    Kind(
        name="worker status",
        topic="routeq/workers/<id>",
        how="retained JSON, Last Will",
        who="worker status: online, stopped, lost, adopting -> scheduler, CLI",
        decode=WorkerStatus.decode,
    ),
    Kind(
        name="broker back",
        topic="routeq/broker/back",
        how="QoS 1",
        who="a worker's queue session -> embedded broker: packet ids of jobs that it gives back",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="given back",
        topic="routeq/back",
        how="QoS 1",
        who="jobs that a worker gives back unstarted, many in one message -> scheduler",
        decode=decode_given_back,
        kept=True,
    ),
    Kind(
        name="share",
        topic="routeq/share/<id>",
        how="QoS 1",
        who="the scheduler's balancer -> worker: jobs wait at you while others have free slots",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="held question",
        topic="routeq/ask/<id>",
        how="QoS 0",
        who="scheduler -> worker, or `all`: do you hold this job?",
        decode=HeldQuestion.decode,
    ),
    Kind(
        name="held answer",
        topic="routeq/held/<id>",
        how="QoS 0",
        who="a worker that holds it -> scheduler: where it is, and the message as it came",
        decode=HeldAnswer.decode,
    ),
    Kind(
        name="fence",
        topic="routeq/fences/<id>",
        how="retained",
        who="the worker's sessions were adopted: scheduler -> that worker; apart from the status, "
        "which a late Last Will may overwrite",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="worker load",
        topic="routeq/running/<id>",
        how="retained JSON",
        who="ids that the worker runs, how many wait there, counters; apart from the status so "
        "that the Last Will does not wipe it",
        decode=WorkerLoad.decode,
    ),
    Kind(
        name="worker statistics",
        topic="routeq/stats/<id>",
        how="retained JSON",
        who="what the worker has counted since its start, every 5 s if it changed -> scheduler",
        decode=WorkerStats.decode,
    ),
    Kind(
        name="outbox",
        topic="routeq/outbox/<id>",
        how="retained JSON",
        who="what waits in a producer's outbox, while anything does -> scheduler, dashboard",
        decode=OutboxReport.decode,
    ),
    Kind(
        name="queue numbers",
        topic="routeq/queues/<name>",
        how="retained JSON",
        who="the scheduler's numbers of a queue -> dashboard, `top`, Home Assistant, anybody",
        decode=QueueNumbers.decode,
    ),
    Kind(
        name="alerts",
        topic="routeq/alerts",
        how="retained JSON",
        who="what is wrong, as the scheduler sees it -> dashboard, Home Assistant, anybody",
        decode=Alerts.decode,
    ),
    Kind(
        name="scheduler status",
        topic="routeq/scheduler",
        how="retained JSON, Last Will",
        who="scheduler status with an instance id",
        decode=SchedulerStatus.decode,
    ),
    Kind(
        name="standby status",
        topic="routeq/standbys/<instance>",
        how="retained JSON, Last Will",
        who="a scheduler that waits to take over -> scheduler, CLI; empty: it waits no more",
        decode=StandbyStatus.decode,
    ),
    Kind(
        name="epoch",
        topic="routeq/epochs/<lineage>",
        how="retained JSON",
        who="how new the newest copy of a database is: its scheduler -> schedulers, which leave if "
        "theirs is older; apart from the status, which a Last Will may overwrite",
        decode=EpochClaim.decode,
    ),
    Kind(
        name="session",
        topic="routeq/session/<client id>",
        how="QoS 1",
        who="markers and censuses: read by the session itself, in order behind all that waits "
        "for it",
        decode=_session,
    ),
    Kind(
        name="schedule",
        topic="routeq/schedule",
        how="QoS 1",
        who="envelopes with `run_at` or `delay`: producers -> scheduler, which adds them and "
        "changes no other",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="retry",
        topic="routeq/retry",
        how="QoS 1",
        who="jobs on their way back, for another attempt or a decision: workers -> scheduler",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="failed record",
        topic="routeq/failed",
        how="QoS 1",
        who="failed records -> scheduler",
        decode=FailedRecord.decode,
        kept=True,
    ),
    Kind(
        name="result",
        topic="routeq/result",
        how="QoS 1",
        who="what a job returned: the list id, attempt, packed value, seconds to keep it -> "
        "scheduler",
        decode=JobResult.decode,
        kept=True,
    ),
    Kind(
        name="outcomes",
        topic="routeq/done",
        how="QoS 1",
        who="outcomes of jobs with a row, many in one message -> scheduler",
        decode=decode_outcomes,
        kept=True,
    ),
    Kind(
        name="durable dispatch",
        topic="routeq/store/<name>",
        how="QoS 1",
        who="durable dispatch -> scheduler, which replies after its commit",
        decode=DurableDispatch.decode,
        kept=True,
    ),
    Kind(
        name="request",
        topic="routeq/rpc/<method>",
        how="QoS 1",
        who="requests -> scheduler; reply topic and correlation in the payload",
        decode=read_request,
    ),
    Kind(
        name="census answer",
        topic="routeq/rpc/census",
        how="QoS 1",
        who="a session's answer to a census -> scheduler",
        decode=CensusAnswer.decode,
    ),
    Kind(
        name="reply",
        topic="routeq/reply/<client id>",
        how="QoS 1",
        who="scheduler -> who has asked, unless that named another topic",
        decode=Reply.decode,
    ),
    Kind(
        name="probe",
        topic="routeq/probe/<client id>",
        how="QoS 1",
        who="a client -> itself: whether the broker is truthful about 0x10",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="order",
        topic="routeq/orders/<kind>/<name>",
        how="retained JSON",
        who="scheduler -> workers: `cancel/<job id>`, `paused/<queue>`, `drained/<worker>`, "
        "`limited/<queue>` (producers read it, too), `admission/<lineage>` (a key); "
        "`purge/<queue>` is not retained",
        decode=_order,
    ),
    Kind(
        name="events",
        topic="routeq/events/<queue>",
        how="QoS 0, few QoS 1",
        who="worker, and a producer with `events` -> subscribers; batches",
        decode=decode_events,
    ),
    Kind(
        name="reading",
        topic="<a trigger's>",
        how="any QoS",
        who="a device -> scheduler, which makes a job of it",
        decode=reading,
        kept=True,
    ),
)


def shown() -> str:
    """The table as `docs/design.md` has it."""
    rows = [f"| `{kind.topic}` | {kind.how} | {kind.who} |" for kind in KINDS]
    return "\n".join(["| topic | kind | who publishes -> who reads |", "|---|---|---|", *rows])
