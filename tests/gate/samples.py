"""Good messages of each kind of the table of topics, as values and in their format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.gate.mutate import Format, encode


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Good messages of one kind."""

    form: Format
    values: list[Any]

    def payloads(self) -> list[bytes]:
        return [encode(value, self.form) for value in self.values]


JOB: dict[str, Any] = {"job": "Report", "data": {"key": "mutated"}}

_ERRORS = [
    {"attempt": 1, "type": "E", "message": "m", "traceback": "t", "worker": "w", "at": 1.0},
]  # fmt: skip

_FULL = JOB | {
    "v": 1,
    "id": "full-1",
    "queue": "mutated",
    "attempt": 1,
    "deliveries": 1,
    "deaths": 0,
    "max_tries": 1,
    "timeout": 5.0,
    "retry_after": 0.1,
    "backoff": [0.1, 0.2],
    "delay": 0.1,
    "dispatched_at": 1.7e9,
    "run_at": 1.7e9,
    "expires_at": 4.0e9,
    "stored": False,
    "headers": {"trace": "x", "deep": {"list": [1, 2.5, b"x"]}},
    "errors": [
        {"attempt": 1, "type": "E", "message": "m", "traceback": "t", "worker": "w", "at": 1.0}
    ],
    "another": {"field": [1]},
}

_OPTIONS = JOB | {
    "id": "special-1",
    "options": {
        "retry_until": 4.0e9,
        "max_exceptions": 2,
        "exceptions": 0,
        "fail_on_timeout": True,
        "result_ttl": 5.0,
        "unique_key": "u",
        "unique_for": 1.0,
        "unique_until": "started",
        "debounce_for": 0.1,
        "throttle_for": 0.1,
        "limits": [{"key": "l", "rate": [10, 1.0]}, {"key": "m", "slots": 3, "more": {"x": b"y"}}],
        "chain": "c",
        "step": 1,
        "batch": "b",
        "unknown": [1],
    },
}

_LIMITED = JOB | {"options": {"limits": [{"key": "l", "rate": [10, 1.0]}]}}
_UNIQUE = JOB | {"options": {"unique_key": "u", "unique_for": 1.0}}
_FORGED = {
    "chain": "batch:b-1",
    "step": 19,
    "batch": "b-1",
    "admitted": True,
    "admission": "0" * 32,
}
_CLAIMS = JOB | {"id": "forged-1", "row": "0" * 16, "stored": True, "options": _FORGED}
_ENVELOPES = [JOB, _FULL, _OPTIONS, _LIMITED, _UNIQUE, _CLAIMS]

_STATUS = {
    "id": "x", "state": "online", "queues": ["a", "b"], "sessions": ["x/a", "x/b"],
    "concurrency": 3, "window": 5, "joins": 2, "name": "n", "tags": {"site": "north"},
    "host": "h", "pid": 7, "started_at": 1.7e9, "at": 1.7e9, "seq": 4, "version": "1", "wire": 2,
}  # fmt: skip
_LOAD = {
    "running": {"j": 1}, "waiting": {"a": 2}, "active": {"a": 1}, "counters": {"done": 5},
    "progress": {"j": [1, 2.5, "note"]}, "drained": False,
}  # fmt: skip
_SCHEDULER = {
    "instance": "i", "state": "lost", "host": "h", "pid": 7, "started_at": 1.7e9, "at": 1.7e9,
    "db": "/x.db", "version": "1", "wire": 2,
}  # fmt: skip
_EPOCH = {"epoch": 3, "instance": "i", "host": "h", "db": "/x.db", "at": 1.7e9}
_STANDBY = {
    "instance": "i", "host": "h", "pid": 7, "db": "/x.db", "version": "1", "started_at": 1.7e9,
    "at": 1.7e9,
}  # fmt: skip
_TALLY = {
    "queue": "a", "job": "Report", "attempts": 3, "outcomes": {"done": 2, "failed": 1},
    "reasons": {"exception": 1}, "run": [1, 0, 2], "run_seconds": 0.5, "wait": [3],
    "wait_seconds": 0.1,
}  # fmt: skip
_RECORD = {
    "id": "failed-1", "queue": "mutated", "job": "Report", "reason": "exception", "error": "e",
    "attempts": _ERRORS, "worker": "w", "failed_at": 1.7e9,
    "envelope": encode(JOB, "msgpack"),
}  # fmt: skip
_REPLY = {"reply": "test/replies", "id": "1"}

_PACKED = [encode(envelope, "msgpack") for envelope in _ENVELOPES]

SAMPLES: dict[str, Samples] = {
    "job": Samples(form="msgpack", values=_ENVELOPES),
    "delivery": Samples(form="msgpack", values=[JOB | {"id": "d-1"}, _FULL, _LIMITED]),
    "intake": Samples(form="msgpack", values=_ENVELOPES),
    "dealt": Samples(form="msgpack", values=[JOB | {"id": "d-1"}, _FULL, _LIMITED]),
    "broker status": Samples(
        form="json", values=[{"shares_queue": False, "version": "1", "persistent": True}]
    ),
    "broker queues": Samples(form="json", values=[{"a": {"waiting": 1, "held": 2}, "b": {}}]),
    "broker window": Samples(form="bytes", values=[b"20", b"0"]),
    "broker census": Samples(form="msgpack", values=[{"census": "n", "jobs": [["a", 1]]}]),
    "broker back": Samples(form="bytes", values=[b"\x00\x01\x00\x02"]),
    "worker status": Samples(form="json", values=[_STATUS, _STATUS | {"state": "lost"}]),
    "worker load": Samples(form="json", values=[_LOAD]),
    "given back": Samples(
        form="msgpack", values=[[["mutated", packed] for packed in _PACKED[1:3]]]
    ),
    "share": Samples(form="bytes", values=[b""]),
    "held question": Samples(form="msgpack", values=[{"id": "1", "job": "a"}]),
    "held answer": Samples(
        form="msgpack",
        values=[
            {"id": "1", "job": "a", "worker": "x", "queue": "q", "running": True, "message": b"m"}
        ],
    ),
    "fence": Samples(form="bytes", values=[b"adopted"]),
    "worker statistics": Samples(form="json", values=[{"jobs": [_TALLY], "since": {"a": 1.7e9}}]),
    "queue numbers": Samples(
        form="json",
        values=[{"queue": "a", "parked": 3, "oldest_at": 1.7e9, "rate": [5, 1.0], "exact": False}],
    ),
    "outbox": Samples(
        form="json",
        values=[
            {"place": "pi:/var/outbox.db", "jobs": 3, "size": 900, "oldest_at": 1.7e9, "at": 1.7e9},
            {"place": "pi:/var/outbox.db", "dropped": 2, "refused": 1},
        ],
    ),
    "alerts": Samples(
        form="json",
        values=[
            {
                "alerts": [
                    {
                        "key": "queue stuck/a",
                        "kind": "queue stuck",
                        "queue": "a",
                        "since": 1.7e9,
                        "text": "t",
                    }
                ],
                "at": 1.7e9,
            }
        ],
    ),
    "scheduler status": Samples(form="json", values=[_SCHEDULER]),
    "standby status": Samples(form="json", values=[_STANDBY]),
    "epoch": Samples(form="json", values=[_EPOCH, _EPOCH | {"epoch": 1 << 40}]),
    "session": Samples(form="msgpack", values=[{"census": "n", "jobs": [["a", 1], ["b", 2]]}]),
    "schedule": Samples(form="msgpack", values=_ENVELOPES),
    "retry": Samples(form="msgpack", values=[_FULL | {"row": "0123456789abcdef~key"}, _OPTIONS]),
    "failed record": Samples(form="msgpack", values=[_RECORD]),
    "result": Samples(
        form="msgpack", values=[["r-1", 1, encode({"x": 1}, "msgpack"), 5.0, "0123"]]
    ),
    "outcomes": Samples(
        form="msgpack",
        values=[
            [["a", 1], ["b", 2, "cancelled"], ["c", 1, "started", "0123"], ["d", 1, "done", "4567"]]
        ],
    ),
    "durable dispatch": Samples(
        form="msgpack",
        values=[
            _REPLY | {"args": _PACKED},
            _REPLY | {"args": _PACKED[:1], "batch": {"id": "b-1", "name": "n", "open": True}},
            _REPLY | {"args": [JOB]},
        ],
    ),
    "request": Samples(form="msgpack", values=[_REPLY | {"args": {}}]),
    "census answer": Samples(
        form="msgpack",
        values=[{"args": {"census": "n", "session": "x/a", "held": ["a"], "done": ["b"]}}],
    ),
    "reply": Samples(
        form="msgpack", values=[{"id": "1", "result": {"x": 1}}, {"id": "1", "error": "no"}]
    ),
    "probe": Samples(form="bytes", values=[b"marker"]),
    "order": Samples(form="json", values=[{"at": 1.7e9}, {"at": 1.7e9, "key": "00" * 16}]),
    "events": Samples(form="json", values=[[{"event": "done", "id": "x"}]]),
    "reading": Samples(
        form="json", values=[{"key": "from a device", "deep": [1, {"a": 2.5}]}, 21.5]
    ),
}

_ENVELOPE = encode(JOB, "msgpack")


def _asked(*arguments: dict[str, Any]) -> Samples:
    return Samples(form="msgpack", values=[_REPLY | {"args": one} for one in arguments])


METHODS: dict[str, Samples] = {
    "ping": _asked({}),
    "sizes": _asked({}),
    "failed.list": _asked({}, {"queue": "mutated", "limit": 10}),
    "failed.show": _asked({"id": "x"}),
    "failed.retry": _asked({"ids": ["x"]}, {"all": True, "queue": "none"}),
    "failed.forget": _asked({"ids": ["x"]}, {"all": True, "queue": "none"}),
    "failed.flush": _asked({"queue": "none"}),
    "cancel": _asked({"ids": ["x", "y"]}),
    "queue.pause": _asked({"queue": "x"}),
    "queue.resume": _asked({"queue": "x"}),
    "queue.limit": _asked({"queue": "x", "rate": [10, 1.0]}, {"queue": "x", "rate": None}),
    "queue.purge": _asked({"queue": "x"}),
    "worker.drain": _asked({"worker": "x"}),
    "worker.undrain": _asked({"worker": "x"}),
    "orders": _asked({}),
    "trigger.add": _asked(
        {"pattern": "gate/{key}/x", "job": "Report", "queue": "x", "with_topic": False}
    ),
    "trigger.list": _asked({}),
    "trigger.forget": _asked({"pattern": "gate/none"}),
    "result": _asked({"id": "x", "wait": 0.01}),
    "status": _asked({"id": "x"}),
    "find": _asked({"prefix": "x"}),
    "batch.show": _asked({"id": "x"}),
    "batch.cancel": _asked({"id": "x"}),
    "schedule.announce": _asked(
        {"schedules": [{"name": "s", "every": 5.0, "cron": None, "timezone": "UTC",
                        "missed": "once", "envelope": _ENVELOPE}]},
        {"schedules": [{"name": "c", "every": None, "cron": "0 3 * * *", "timezone": "UTC",
                        "missed": "all", "envelope": _ENVELOPE}]},
    ),
    "schedule.list": _asked({}),
    "schedule.run": _asked({"name": "s"}),
    "schedule.pause": _asked({"name": "s"}),
    "schedule.resume": _asked({"name": "s"}),
    "schedule.forget": _asked({"name": "s"}),
    "device.list": _asked({}),
    "device.forget": _asked({"name": "x"}),
    "device.broadcast": _asked(
        {"id": "bc", "envelope": _ENVELOPE, "where": {"site": "none"}, "every": 1.0,
         "abort_after": 0.5}
    ),
    "rollout.show": _asked({"id": "bc"}),
    "jobs.list": _asked(
        {"state": "delayed"},
        {"state": "parked", "queue": "none", "job": "Report", "text": "x", "limit": 5,
         "scan": 100, "where": {"data.key": "v"}, "since": 1.0, "until": 2.0, "with_data": True},
    ),
    "jobs.show": _asked({"id": "x"}),
    "jobs.run": _asked({"ids": ["x"]}),
    "jobs.move": _asked({"ids": ["x"], "queue": "none"}),
    "failed.groups": _asked({}, {"queue": "none", "job": "Report", "limit": 5}),
    "failed.count": _asked({"queue": "none", "reason": "exception", "text": "x"}),
    "failed.bulk": _asked(
        {"action": "forget", "queue": "none", "exception": "E", "until": 1.0, "rate": 5.0}
    ),
    "bulk.list": _asked({}),
    "bulk.stop": _asked({"id": "x"}),
    "stats.history": _asked({}, {"queue": "none", "since": 1.0, "until": 2.0, "by": "job"}),
    "alerts": _asked({}),
    "metrics": _asked({}),
    "audit.list": _asked({"limit": 5}),
    "batch.list": _asked({"limit": 5}),
    "chain.list": _asked({"limit": 5}),
    "rollout.list": _asked({"limit": 5}),
    "limit.list": _asked({"limit": 5}),
    "lock.list": _asked({"limit": 5}),
}  # fmt: skip
"""Each method of ``routeq/rpc/…``, with arguments that it takes."""
