"""How often workers say what they are, and how long their silence may last.

What they say is in `routeq_mqtt.wire.messages.status`.
"""

from __future__ import annotations

from routeq_mqtt.wire.messages.status import (
    SchedulerState,
    SchedulerStatus,
    WorkerLoad,
    WorkerState,
    WorkerStatus,
    encode,
)

__all__ = [
    "HEARTBEAT",
    "SILENT_AFTER",
    "TAKEN_OVER",
    "SchedulerState",
    "SchedulerStatus",
    "WorkerLoad",
    "WorkerState",
    "WorkerStatus",
    "encode",
]

WIRE = 2
"""What this version says and understands on the control topics. 1: retries on `routeq/schedule`,
outcomes without the `row` that they are of."""

TAKEN_OVER = "loses its connections, probably to another client that connects as"
"""The scheduler's `trouble` begins with this then; its identifier follows."""

HEARTBEAT = 5.0
"""Seconds between two statuses of a worker that has nothing new to say."""

SILENT_AFTER = 2 * HEARTBEAT + 1.0
"""Seconds without a heartbeat after which an "online" worker counts as lost."""
