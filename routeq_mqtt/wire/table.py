"""The table of topics: what is published where, who reads it, and which decoder reads it.

`docs/design.md` shows it (a test keeps that true), and a test sends each topic what must not be
sent. `routeq_mqtt.topics` spells the topics of one bus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from routeq_mqtt.wire.envelopes.dealt import decode_dealt
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
        who="any producer -> scheduler, if it deals (docs/brokers.md)",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="dealt",
        topic="routeq/deal/<session>",
        how="QoS 1",
        who="the scheduler, if it deals -> the session of one worker: jobs, and behind them "
        "censuses",
        decode=decode_dealt,
        kept=True,
    ),
    Kind(
        name="broker status",
        topic="routeq/broker",
        how="retained JSON",
        who="the embedded broker: it shares `$queue` itself",
        decode=BrokerStatus.decode,
    ),
    Kind(
        name="broker queues",
        topic="routeq/broker/queues",
        how="retained JSON",
        who="the embedded broker: messages waiting in each queue",
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
        who="scheduler -> embedded broker: which of these rows does it hold? It answers as "
        "a session does",
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
        who="a worker's queue session -> embedded broker: packet ids of returned jobs",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="given back",
        topic="routeq/back",
        how="QoS 1",
        who="worker -> scheduler: jobs that it returns unstarted, many in one message",
        decode=decode_given_back,
        kept=True,
    ),
    Kind(
        name="share",
        topic="routeq/share/<id>",
        how="QoS 1",
        who="the scheduler's balancer -> worker: return waiting jobs, other workers have "
        "free slots",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="held question",
        topic="routeq/ask/<id>",
        how="QoS 0",
        who="scheduler -> one worker, or `all`: do you hold this job?",
        decode=HeldQuestion.decode,
    ),
    Kind(
        name="held answer",
        topic="routeq/held/<id>",
        how="QoS 0",
        who="a worker that holds it -> scheduler: its state, and the original message",
        decode=HeldAnswer.decode,
    ),
    Kind(
        name="fence",
        topic="routeq/fences/<id>",
        how="retained",
        who="scheduler -> worker: its sessions were adopted. Not in the status, which a "
        "late Last Will may overwrite",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="worker load",
        topic="routeq/running/<id>",
        how="retained JSON",
        who="ids of running jobs, number of waiting ones, counters. Not in the status, "
        "which the Last Will overwrites",
        decode=WorkerLoad.decode,
    ),
    Kind(
        name="worker statistics",
        topic="routeq/stats/<id>",
        how="retained JSON",
        who="worker -> scheduler: counters since its start, every 5 s if they changed",
        decode=WorkerStats.decode,
    ),
    Kind(
        name="outbox",
        topic="routeq/outbox/<id>",
        how="retained JSON",
        who="producer -> scheduler, dashboard: what waits in its outbox, while anything does",
        decode=OutboxReport.decode,
    ),
    Kind(
        name="queue numbers",
        topic="routeq/queues/<name>",
        how="retained JSON",
        who="scheduler -> dashboard, `top`, Home Assistant, any reader: numbers of a queue",
        decode=QueueNumbers.decode,
    ),
    Kind(
        name="alerts",
        topic="routeq/alerts",
        how="retained JSON",
        who="scheduler -> dashboard, Home Assistant, any reader: active alerts",
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
        who="a standby scheduler -> scheduler, CLI; empty: it has left",
        decode=StandbyStatus.decode,
    ),
    Kind(
        name="epoch",
        topic="routeq/epochs/<lineage>",
        how="retained JSON",
        who="scheduler -> schedulers: epoch of the newest copy of a database; one with an "
        "older copy leaves. Not in the status, which a Last Will may overwrite",
        decode=EpochClaim.decode,
    ),
    Kind(
        name="session",
        topic="routeq/session/<client id>",
        how="QoS 1",
        who="markers and censuses: read by the session itself, after everything that waits in it",
        decode=_session,
    ),
    Kind(
        name="schedule",
        topic="routeq/schedule",
        how="QoS 1",
        who="producers -> scheduler: envelopes with `run_at` or `delay`. They add rows and "
        "never change one",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="retry",
        topic="routeq/retry",
        how="QoS 1",
        who="workers -> scheduler: jobs for another attempt, or for a decision",
        decode=Envelope.decode,
        kept=True,
    ),
    Kind(
        name="failed record",
        topic="routeq/failed",
        how="QoS 1",
        who="workers -> scheduler: failed records",
        decode=FailedRecord.decode,
        kept=True,
    ),
    Kind(
        name="result",
        topic="routeq/result",
        how="QoS 1",
        who="workers -> scheduler: a result, as the list id, attempt, packed value, seconds"
        " to keep it",
        decode=JobResult.decode,
        kept=True,
    ),
    Kind(
        name="outcomes",
        topic="routeq/done",
        how="QoS 1",
        who="workers -> scheduler: outcomes of jobs with a row, many in one message",
        decode=decode_outcomes,
        kept=True,
    ),
    Kind(
        name="durable dispatch",
        topic="routeq/store/<name>",
        how="QoS 1",
        who="producers -> scheduler: durable dispatch; it replies after its commit",
        decode=DurableDispatch.decode,
        kept=True,
    ),
    Kind(
        name="request",
        topic="routeq/rpc/<method>",
        how="QoS 1",
        who="any client -> scheduler: requests, with reply topic and correlation in the payload",
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
        who="scheduler -> the client that asked, unless it named another reply topic",
        decode=Reply.decode,
    ),
    Kind(
        name="probe",
        topic="routeq/probe/<client id>",
        how="QoS 1",
        who="a client -> itself: does the broker report 0x10 correctly?",
        decode=_anything,
        anything=True,
    ),
    Kind(
        name="order",
        topic="routeq/orders/<kind>/<name>",
        how="retained JSON",
        who="scheduler -> workers: `cancel/<job id>`, `paused/<queue>`, `drained/<worker>`,"
        " `limited/<queue>` (also read by producers), `admission/<lineage>` (a key); "
        "`purge/<queue>` is not retained",
        decode=_order,
    ),
    Kind(
        name="events",
        topic="routeq/events/<queue>",
        how="QoS 0, few QoS 1",
        who="workers, and producers with `events` -> subscribers: job events, in batches",
        decode=decode_events,
    ),
    Kind(
        name="reading",
        topic="<a trigger's>",
        how="any QoS",
        who="a device -> scheduler, which makes a job of the message",
        decode=reading,
        kept=True,
    ),
)


def shown() -> str:
    """The table as `docs/design.md` has it."""
    rows = [f"| `{kind.topic}` | {kind.how} | {kind.who} |" for kind in KINDS]
    return "\n".join(["| topic | kind | publisher -> reader |", "|---|---|---|", *rows])
