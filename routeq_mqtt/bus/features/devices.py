"""Jobs for named devices: who there is, broadcasts, and rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from routeq_mqtt.bus.send.arguments import check_named
from routeq_mqtt.bus.send.retry import retry_across_reconnects
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.imports import LateModule
from routeq_mqtt.wire.display import shown
from routeq_mqtt.wire.envelopes.envelope import Envelope
from routeq_mqtt.wire.ids import new_id
from routeq_mqtt.wire.rates import is_rate

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from routeq_mqtt.bus.send.rpc import Requests
    from routeq_mqtt.bus.send.serializer import Serializer
    from routeq_mqtt.clock import Clock
    from routeq_mqtt.jobs.job import Job
    from routeq_mqtt.settings.settings import Settings
    from routeq_mqtt.topics import Topics
    from routeq_mqtt.wire.messages import requests
else:
    requests = LateModule("routeq_mqtt.wire.messages.requests")

_AGAIN = 2.0
"""Seconds until a broadcast without a reply is asked for again: the same id is the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutProgress:
    """Progress of a broadcast.

    Attributes:
        id: id of the broadcast.
        name: wire name of its job.
        total: number of devices that it was sent to.
        waiting: devices that have not received the job: offline, or later in the rollout.
        running: devices that have the job and have not ended it.
        done: devices on which the job is done.
        failed: devices on which it became a failed record.
        cancelled: devices that do not get the job, or on which it was stopped.
        called_off: whether the broadcast was cancelled or aborted as a whole.
        aborted_at: when it was aborted because too many failed, UTC epoch seconds, or None.
        finished_at: when it ended, UTC epoch seconds; None: it has not.
    """

    id: str
    name: str
    total: int
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int
    called_off: bool
    aborted_at: float | None
    finished_at: float | None

    def as_dict(self) -> dict[str, Any]:
        """As a plain map."""
        return asdict(self)


class Rollout:
    """A broadcast. Its id is enough to make another handle (`Bus.rollout`), in any program.

    Args:
        id: of the broadcast.
        requests: how to ask the scheduler.
    """

    def __init__(self, id: str, requests: Requests) -> None:  # noqa: A002 - its name everywhere
        self.id = id
        self._requests = requests

    def job_id(self, device: str) -> str:
        """Id of the job of one device."""
        return f"{self.id}@{device}"

    async def progress(self) -> RolloutProgress:
        """Return the progress of the broadcast.

        Raises:
            RequestFailed: no broadcast has this id; they are deleted 7 days after their end.
            NoScheduler: no scheduler answers.
        """
        shown = await self._requests.ask(requests.RolloutShow(id=self.id))
        pending, failed, cancelled = shown.pending, shown.failed, shown.cancelled
        return RolloutProgress(
            id=shown.id,
            name=shown.name,
            total=shown.total,
            waiting=pending - shown.running,
            running=shown.running,
            done=shown.total - pending - failed - cancelled,
            failed=failed,
            cancelled=cancelled,
            called_off=shown.called_off,
            aborted_at=shown.aborted_at,
            finished_at=shown.finished_at,
        )

    async def cancel(self) -> RolloutProgress:
        """Stop the broadcast: no other device gets the job; waiting and running ones end."""
        await self._requests.ask(requests.BatchCancel(id=self.id))
        return await self.progress()


class _Bus(Protocol):
    settings: Settings
    _clock: Clock
    _topics: Topics
    _packer: Serializer

    @property
    def requests(self) -> Requests: ...
    def envelope(self, job: Job, *, delay: float | None = None) -> Envelope: ...
    async def _broadcast(
        self,
        envelope: Envelope,
        *,
        where: Mapping[str, str] | None,
        expires_in: float | None,
        rate: tuple[int, float] | None,
        abort_after: float | None,
        timeout: float | None,
    ) -> Rollout: ...
    def _within(
        self, timeout: float | None, what: str, *, stored: bool = False
    ) -> AbstractAsyncContextManager[None, None]: ...


class Devices:
    """What a bus has to do with devices: workers that were started with `--name`."""

    async def broadcast(
        self: _Bus,
        job: Job,
        *,
        where: Mapping[str, str] | None = None,
        expires_in: float | None = None,
        rate: tuple[int, float] | None = None,
        abort_after: float | None = None,
        timeout: float | None = None,
    ) -> Rollout:
        """Send a job to every device that has some tags, those that are away now included.

        The scheduler makes one job for each device, in one transaction, however often it is asked
        or dies meanwhile.

        Args:
            job: what each of them is to run.
            where: tags that a device must have, all of them; default: every device.
            expires_in: seconds until it is too late; then it is a failed record, "expired", for
                each device that has not got it.
            rate: (devices, seconds), for example (10, 60): the first one now, the others evenly
                spread; default: all at once.
            abort_after: send it to no further device after this many failures: a whole number, or a
                share of all devices of this broadcast, a float up to 1.0, rounded up (1 is one
                failure, 1.0 is all of them); default: never.
            timeout: seconds; default: the settings'.

        Raises:
            ConfigurationError: a value makes no sense, or the job is unique, debounced or
                throttled.
            PublishRefused: the broker does not take it; its access control may be why.
            NoScheduler, RequestFailed, ConnectionFailed, DispatchTimeout: it may have been made
                all the same, as a whole.
        """
        return await self._broadcast(
            self.envelope(job),
            where=where,
            expires_in=expires_in,
            rate=rate,
            abort_after=abort_after,
            timeout=timeout,
        )

    async def broadcast_named(
        self: _Bus,
        name: str,
        data: Mapping[str, Any],
        *,
        where: Mapping[str, str] | None = None,
        expires_in: float | None = None,
        rate: tuple[int, float] | None = None,
        abort_after: float | None = None,
        timeout: float | None = None,
    ) -> Rollout:
        """Broadcast a job by its wire name, where its class is not at hand; see `broadcast`."""
        check_named(name, data)
        return await self._broadcast(
            Envelope(job=name, data=dict(data), dispatched_at=self._clock.now()),
            where=where,
            expires_in=expires_in,
            rate=rate,
            abort_after=abort_after,
            timeout=timeout,
        )

    async def _broadcast(
        self: _Bus,
        envelope: Envelope,
        *,
        where: Mapping[str, str] | None,
        expires_in: float | None,
        rate: tuple[int, float] | None,
        abort_after: float | None,
        timeout: float | None,
    ) -> Rollout:
        _check(envelope, where or {}, expires_in, rate, abort_after)
        broadcast = new_id()
        expires_at = None if expires_in is None else self._clock.now() + expires_in
        request = requests.DeviceBroadcast(
            id=broadcast,
            envelope=self._packer.pack(envelope.evolve(id=broadcast, expires_at=expires_at)),
            where=dict(where or {}),
            every=None if rate is None else rate[1] / rate[0],
            abort_after=abort_after,
        )
        limit = self.settings.timeout if timeout is None else timeout
        async with self._within(timeout, f"broadcast {envelope.job}", stored=True):
            await retry_across_reconnects(
                lambda: self.requests.ask(request, timeout=limit, again=_AGAIN),
                f"a broadcast of {envelope.job}",
            )
        return Rollout(broadcast, self.requests)

    def rollout(self: _Bus, id: str) -> Rollout:  # noqa: A002 - its name everywhere
        """A broadcast that was made before."""
        return Rollout(id, self.requests)

    async def rollout_progress(self: _Bus, id: str) -> RolloutProgress:  # noqa: A002
        """How far a broadcast is; see `Rollout.progress`."""
        return await Rollout(id, self.requests).progress()

    async def cancel_rollout(self: _Bus, id: str) -> RolloutProgress:  # noqa: A002
        """Stop a broadcast; see `Rollout.cancel`."""
        return await Rollout(id, self.requests).cancel()


def _check(
    envelope: Envelope,
    where: Mapping[str, str],
    expires_in: float | None,
    rate: tuple[int, float] | None,
    abort_after: float | None,
) -> None:
    if "unique_key" in envelope.options:
        raise ConfigurationError(
            f"broadcast: {envelope.job} is unique, debounced or throttled: all devices but one "
            "would be turned away"
        )
    if not isinstance(where, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in where.items()
    ):
        raise ConfigurationError(
            f"broadcast: where={_told(where)} must be a map of tags, all texts, for example "
            "{'site': 'north'}"
        )
    if expires_in is not None and not _is_amount(expires_in):
        raise ConfigurationError(f"broadcast: expires_in={expires_in!r} must be seconds above 0")
    if rate is not None and not is_rate(rate):
        raise ConfigurationError(
            f"broadcast: rate={shown(rate)} must be (devices, seconds), for example (10, 60)"
        )
    if abort_after is not None and not _is_amount(abort_after):
        raise ConfigurationError(
            f"broadcast: abort_after={abort_after!r} must be a number of failures, or a share "
            "below 1"
        )


def _told(where: object) -> str:
    """A short map as it is: what is in it is what is wrong."""
    return repr(where) if isinstance(where, Mapping) and len(where) <= 4 else shown(where)


def _is_amount(value: object) -> bool:
    return type(value) in {int, float} and 0 < value < 1e9  # type: ignore[operator]
