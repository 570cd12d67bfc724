"""routeq-mqtt: an MQTT-native job bus. Queues are broker topics, and no accepted job is lost."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from routeq_mqtt.bus.bus import Bus
from routeq_mqtt.bus.default import close_default_bus, default_bus, dispatch, queue, use_bus
from routeq_mqtt.bus.features.batches import BatchProgress
from routeq_mqtt.bus.features.devices import Rollout, RolloutProgress
from routeq_mqtt.bus.features.handles import JobHandle, JobStatus, Progress
from routeq_mqtt.bus.features.manage import (
    DeviceInfo,
    DeviceRegistry,
    FailedJobs,
    QueueControl,
    Queues,
    Schedules,
    Triggers,
    WorkerInfo,
)
from routeq_mqtt.bus.features.queue_size import QueueSize
from routeq_mqtt.bus.functions import (
    CallOptions,
    FunctionCall,
    JobDecorator,
    JobFunction,
    job,
)
from routeq_mqtt.bus.send.arguments import DispatchOptions
from routeq_mqtt.bus.sync import SyncBus, SyncJobHandle
from routeq_mqtt.bus.workflows import BatchHandle, batch, batch_of, chain
from routeq_mqtt.errors import (
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    DispatchTimeout,
    DuplicateJobName,
    Fail,
    JobCancelled,
    JobFailed,
    NoConsumer,
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
    StaleDatabase,
    UnknownJob,
    UnreadableMessage,
    UnsupportedVersion,
)
from routeq_mqtt.imports import first_import
from routeq_mqtt.jobs.backoff import Exponential
from routeq_mqtt.jobs.calls.depends import Depends
from routeq_mqtt.jobs.calls.functions import FunctionJob, FunctionOptions, current_job
from routeq_mqtt.jobs.calls.life import (
    WorkerState,
    on_shutdown,
    on_startup,
    remove_life_hook,
    worker_state,
)
from routeq_mqtt.jobs.context import propagate, traceparent, tracestate
from routeq_mqtt.jobs.hooks import JobEvent, on, remove_hook
from routeq_mqtt.jobs.job import Job
from routeq_mqtt.jobs.middleware import Handler, Middleware, middleware, remove_middleware
from routeq_mqtt.jobs.options import JobOptions, OneJobOptions, Overrides
from routeq_mqtt.jobs.schedule import cron, every
from routeq_mqtt.jobs.trigger import trigger
from routeq_mqtt.jobs.types.registered import register_type
from routeq_mqtt.outbox.options import OutboxOptions
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.version import VERSION

if TYPE_CHECKING:
    from routeq_mqtt.service import Scheduler, Worker
    from routeq_mqtt.wire.messages.replies import (
        FailedShort,
        FailedShown,
        Retried,
        ScheduleShown,
        Skipped,
        TriggerShown,
    )
    from routeq_mqtt.worker.options import WorkerOptions

__version__ = VERSION

_LATE = {
    "Worker": "routeq_mqtt.service",
    "Scheduler": "routeq_mqtt.service",
    "WorkerOptions": "routeq_mqtt.worker.options",
    **dict.fromkeys(
        ("FailedShort", "FailedShown", "Retried", "ScheduleShown", "Skipped", "TriggerShown"),
        "routeq_mqtt.wire.messages.replies",
    ),
}
"""What producers need not, and what would make this import slow."""


if not TYPE_CHECKING:  # else every name could be imported from here

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - a public name
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with first_import():
            return getattr(import_module(_LATE[name]), name)


__all__ = [
    "Job",
    "job",
    "current_job",
    "Depends",
    "on_startup",
    "on_shutdown",
    "remove_life_hook",
    "WorkerState",
    "worker_state",
    "JobFunction",
    "FunctionCall",
    "FunctionJob",
    "JobDecorator",
    "FunctionOptions",
    "CallOptions",
    "JobOptions",
    "OneJobOptions",
    "DispatchOptions",
    "Settings",
    "Worker",
    "Scheduler",
    "WorkerOptions",
    "Handler",
    "Middleware",
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
    "register_type",
    "JobHandle",
    "SyncJobHandle",
    "JobStatus",
    "Progress",
    "middleware",
    "remove_middleware",
    "on",
    "remove_hook",
    "JobEvent",
    "propagate",
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
    "WorkerInfo",
    "FailedJobs",
    "Schedules",
    "Triggers",
    "Queues",
    "QueueControl",
    "DeviceRegistry",
    "FailedShort",
    "FailedShown",
    "Retried",
    "Skipped",
    "ScheduleShown",
    "TriggerShown",
    "Rollout",
    "RolloutProgress",
    "Retry",
    "Release",
    "Fail",
    "Exponential",
    "Overrides",
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
    "NoConsumer",
    "NoResult",
    "PublishRefused",
    "NoScheduler",
    "SchedulerRunning",
    "StaleDatabase",
    "OutboxFull",
    "OutboxUnavailable",
    "DispatchTimeout",
    "RequestFailed",
    "ResultTimeout",
]
