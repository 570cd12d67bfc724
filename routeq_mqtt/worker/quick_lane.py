"""The quick lane: a plain job from its message to its outcome in one step, where it never waits.

Most jobs need nothing of what the long way (`Executor.execute`) decides. The quick lane leaves out
the coroutines of that way, not its checks: what it is not sure of goes the long way, and what a run
raises, returns or waits for is handled by the same code.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

from routeq_mqtt.boundary import is_a
from routeq_mqtt.eager import EagerCoroutine
from routeq_mqtt.forks import generation, leave_a_fork
from routeq_mqtt.jobs import registry
from routeq_mqtt.jobs.calls.around import stands_around
from routeq_mqtt.jobs.job import Job, is_planned, set_reporter
from routeq_mqtt.jobs.keywords import options_of
from routeq_mqtt.jobs.middleware import around
from routeq_mqtt.worker.execute.invoke import error_of_exit, is_coroutine_function
from routeq_mqtt.worker.execute.outcome import DONE

if TYPE_CHECKING:
    from routeq_mqtt.worker.delivery import Delivery
    from routeq_mqtt.worker.execute.executor import Executor
    from routeq_mqtt.worker.execute.outcome import Outcome

_PLAIN = frozenset(
    {"v", "id", "job", "data", "queue", "dispatched_at", "stored", "row"}
    | {"options", "headers", "errors", "extra"}
)
"""Fields that ask for nothing; those of the second line must be empty."""


class Unfinished:
    """A run that waits for something after its first step.

    Attributes:
        job: that runs.
        run: the rest of its `handle`.
    """

    __slots__ = ("job", "run")

    def __init__(self, job: Job, run: EagerCoroutine[object]) -> None:
        self.job: Job = job
        self.run: EagerCoroutine[object] = run


class QuickLane:
    """Runs plain jobs as far as they go without waiting.

    Args:
        executor: makes jobs, and knows what follows from how a run ends.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._handles: dict[type[Job], object] = {}

    def takes(self, held: Delivery) -> bool:
        """Whether a delivery needs none of what only the long way does."""
        envelope = held.envelope
        if (
            envelope is None
            or envelope.id is None
            or not _PLAIN.issuperset(vars(envelope))
            or envelope.options
            or envelope.headers
            or envelope.extra
        ):
            return False
        job_class = registry.find(envelope.job)
        if job_class is None:
            return False
        handle = job_class.handle
        if self._handles.get(job_class) is not handle and not self._learn(job_class, handle):
            return False
        return (
            not job_class.result_ttl
            and job_class.executor != "process"
            and not around(job_class)
            and not stands_around()
            and self._executor.decides_nothing(held, envelope)
        )

    def _learn(self, job_class: type[Job], handle: object) -> bool:
        """Look once at what a class is; its options may still change."""
        plain = type(handle) is FunctionType and is_coroutine_function(handle)
        plain = plain and options_of(job_class) is job_class  # no field is called like an option
        if plain and not is_planned(job_class):
            self._handles[job_class] = handle
            return True
        return False

    def first_step(self, held: Delivery) -> Outcome | Unfinished:
        """Run a job that the lane takes, in the context of its run; raises nothing.

        Must be called in the task of the slot.
        """
        try:
            return self._first_step(held)
        except BaseException as error:  # noqa: BLE001 - the boundary of users' code
            return self._executor.broken(held, error)

    def _first_step(self, held: Delivery) -> Outcome | Unfinished:
        envelope = held.envelope
        assert envelope is not None  # noqa: S101 - see `takes`
        executor = self._executor
        job = executor.job_of(held, envelope, envelope)
        if not isinstance(job, Job):
            return job
        set_reporter(job, executor.reporter(held))
        born = generation()
        coroutine = job.handle()
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            leave_a_fork(born)
            return DONE
        except BaseException as error:  # noqa: BLE001 - the boundary of users' code
            leave_a_fork(born, 1)
            return executor.raised_at_once(held, envelope, job, error_of_exit(error))
        leave_a_fork(born, 1)
        rest = _until_over(EagerCoroutine.begun(coroutine, waits_for), born)
        return Unfinished(job, EagerCoroutine(rest))

    async def rest(self, held: Delivery, step: Outcome | Unfinished) -> Outcome:
        """The outcome of a run, once it has ended. Raises nothing but its own cancellation."""
        if isinstance(step, Unfinished):
            return await self._executor.finish(held, step.job, step.run)
        return await self._executor.after_cancellation(held, step)


async def _until_over(run: EagerCoroutine[object], born: int) -> object:
    """The rest of a `handle`, as `Invoker.handle` would await it."""
    try:
        value = await run
    except BaseException as error:
        leave_a_fork(born, 1)
        if is_a(error, (SystemExit, KeyboardInterrupt)):
            raise error_of_exit(error) from error
        raise
    leave_a_fork(born)
    return value
