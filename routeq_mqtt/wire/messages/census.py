"""A census: the scheduler asks a session which jobs it holds, and the session answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from routeq_mqtt.errors import UnreadableMessage
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.packing import pack, unpack

BROKER_SESSION = "routeq-broker"
"""The embedded broker answers as a session does: for what waits there or is in workers' hands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusQuestion:
    """What the scheduler asks, through the session's own topic.

    Attributes:
        census: number of the census.
        jobs: the jobs that it asks for, each with the attempt that is out.
    """

    census: str
    jobs: dict[str, int]

    def encode(self) -> bytes:
        """As msgpack: a map, the jobs as a list of ``[id, attempt]``."""
        return pack({"census": self.census, "jobs": [list(job) for job in self.jobs.items()]})

    @classmethod
    def decode(cls, payload: bytes) -> CensusQuestion:
        """From msgpack.

        Raises:
            UnreadableMessage: it is not a question; says what is wrong.
        """
        raw = _map(unpack(payload), "a census")
        jobs = raw.get("jobs")
        if type(jobs) is not list:
            checks.refuse("jobs", jobs, "a list of [job id, attempt]")
        return cls(census=_number(raw.get("census")), jobs=dict(_job(job) for job in jobs))


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusAnswer:
    """What a session answers, to ``routeq/rpc/census``.

    Attributes:
        census: number of the census.
        session: client identifier of who answers.
        held: ids of the jobs that it holds.
        done: ids of those that were done there.
        held_rows, done_rows: the field `row` of each; a worker of an earlier version says none.
    """

    census: str
    session: str
    held: list[str]
    done: list[str]
    held_rows: list[str | None] = field(default_factory=list)
    done_rows: list[str | None] = field(default_factory=list)

    def encode(self) -> bytes:
        """As msgpack: a request that wants no reply."""
        args = {
            "census": self.census,
            "session": self.session,
            "held": self.held,
            "done": self.done,
            "held_rows": self.held_rows,
            "done_rows": self.done_rows,
        }
        return pack({"args": args})

    @classmethod
    def decode(cls, payload: bytes) -> CensusAnswer:
        """From msgpack.

        Raises:
            UnreadableMessage: it is not an answer; says what is wrong.
        """
        args = _map(_map(unpack(payload), "an answer to a census").get("args"), "args")
        return cls(
            census=_number(args.get("census")),
            session=_session(args.get("session")),
            held=_ids(args.get("held", [])),
            done=_ids(args.get("done", [])),
            held_rows=_rows(args.get("held_rows", [])),
            done_rows=_rows(args.get("done_rows", [])),
        )


def _map(raw: Any, what: str) -> dict[Any, Any]:  # noqa: ANN401 - whatever came
    if type(raw) is not dict:
        raise UnreadableMessage(f"{what} is a map, not {type(raw).__name__}")
    return raw


def _job(item: Any) -> tuple[str, int]:  # noqa: ANN401 - whatever came
    if type(item) is not list or len(item) != 2:
        checks.refuse("a job of a census", item, "[job id, attempt]")
    return _id(item[0]), _attempt(item[1])


_number = checks.text("census", 200)
_session = checks.client_id("session")
_id = checks.text("id", 200)
_attempt = checks.count("attempt", 1)
_ids = checks.list_of("ids of jobs", _id, most=1 << 24)
_row = checks.or_none(checks.text("row", 300))
_rows = checks.list_of("rows of jobs", _row, most=1 << 24)
