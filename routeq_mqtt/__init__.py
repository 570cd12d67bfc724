"""routeq-mqtt: an MQTT-native job bus. Queues are broker topics, and no accepted job is lost."""

from routeq_mqtt.bus.batches import BatchProgress
from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.default import close_default_bus, default_bus, dispatch, queue, use_bus
from routeq_mqtt.bus.devices import DeviceInfo, Rollout, RolloutProgress
from routeq_mqtt.bus.flows import BatchHandle, batch, batch_of, chain
from routeq_mqtt.bus.outcomes import JobHandle, JobStatus, Progress
from routeq_mqtt.bus.size import QueueSize
from routeq_mqtt.bus.sync import SyncBus
from routeq_mqtt.errors import (
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    DispatchTimeout,
    DuplicateJobName,
    Fail,
    JobCancelled,
    JobFailed,
    NobodyHoldsJobs,
    NoResult,
    NoScheduler,
    OutboxFull,
    OutboxUnavailable,
    PackingError,
    PayloadTooLarge,
    PublishRefused,
    Release,
    RequestFailed,
    ResultTimeout,
    Retry,
    RouteqError,
    SchedulerRunning,
    UnknownJob,
    UnreadableMessage,
    UnsupportedVersion,
)
from routeq_mqtt.job.backoff import Exponential
from routeq_mqtt.job.context import traceparent, tracestate, travels
from routeq_mqtt.job.hooks import JobEvent, on, remove_hook
from routeq_mqtt.job.job import Job
from routeq_mqtt.job.middleware import middleware, remove_middleware
from routeq_mqtt.job.schedule import cron, every
from routeq_mqtt.job.trigger import trigger
from routeq_mqtt.outbox.options import OutboxOptions
from routeq_mqtt.version import VERSION

__version__ = VERSION

__all__ = [
    "Job",
    "dispatch",
    "queue",
    "Bus",
    "SyncBus",
    "OutboxOptions",
    "default_bus",
    "use_bus",
    "close_default_bus",
    "QueueSize",
    "trigger",
    "JobHandle",
    "JobStatus",
    "Progress",
    "middleware",
    "remove_middleware",
    "on",
    "remove_hook",
    "JobEvent",
    "travels",
    "traceparent",
    "tracestate",
    "every",
    "cron",
    "chain",
    "batch",
    "batch_of",
    "BatchHandle",
    "BatchProgress",
    "DeviceInfo",
    "Rollout",
    "RolloutProgress",
    "Retry",
    "Release",
    "Fail",
    "Exponential",
    "RouteqError",
    "ConfigurationError",
    "DuplicateJobName",
    "JobCancelled",
    "JobFailed",
    "PackingError",
    "PayloadTooLarge",
    "UnreadableMessage",
    "UnsupportedVersion",
    "UnknownJob",
    "ConnectionFailed",
    "ConnectionLost",
    "NobodyHoldsJobs",
    "NoResult",
    "PublishRefused",
    "NoScheduler",
    "SchedulerRunning",
    "OutboxFull",
    "OutboxUnavailable",
    "DispatchTimeout",
    "RequestFailed",
    "ResultTimeout",
]
