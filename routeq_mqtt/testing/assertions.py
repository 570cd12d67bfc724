"""What a test asks of a fake bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from routeq_mqtt.jobs.registry import MadeOfFunction, job_class_of
from routeq_mqtt.testing.arguments import check_times
from routeq_mqtt.testing.dispatched import Dispatched, Wanted, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from routeq_mqtt.jobs.calls.functions import FunctionJob
    from routeq_mqtt.jobs.job import Job

J = TypeVar("J", bound="Job")


class Assertions:
    """The part of a fake bus that fails tests."""

    dispatched: list[Dispatched]

    @overload
    def assert_dispatched(
        self,
        job: type[J],
        where: Callable[[J], object] | None = None,
        *,
        times: int | None = None,
        queue: str | None = None,
        delay: object = None,
    ) -> list[Dispatched]: ...
    @overload
    def assert_dispatched(
        self,
        job: MadeOfFunction,
        where: Callable[[FunctionJob[Any]], object] | None = None,
        *,
        times: int | None = None,
        queue: str | None = None,
        delay: object = None,
    ) -> list[Dispatched]: ...
    def assert_dispatched(
        self,
        job: type[J] | MadeOfFunction,
        where: Callable[[Any], object] | None = None,
        *,
        times: int | None = None,
        queue: str | None = None,
        delay: object = None,
    ) -> list[Dispatched]:
        """Fail the test unless such a job was dispatched.

        Args:
            job: its class, or a base of it, or a function that was decorated with `job`.
            where: gets the job as a worker would, and says whether it is meant.
            times: how often, exactly; default: once or more.
            queue: where it went.
            delay: seconds until it is due, from its dispatch; 0: at once; default: any. For
                one with a `run_at`, take `pytest.approx`.

        Returns:
            Those that fit.

        Raises:
            AssertionError: there is none, or not this many; shows what was dispatched.
            ConfigurationError: what was asked for makes no sense, and no job could ever fit it.
        """
        __tracebackhide__ = True
        check_times(times)
        wanted = Wanted(job=job_class_of(job), where=where, queue=queue, delay=delay)
        found = [one for one in self.dispatched if wanted.fits(one)]
        if times is None and not found:
            raise AssertionError(f"{wanted} was not dispatched. {listed(self.dispatched)}")
        if times is not None and len(found) != times:
            raise AssertionError(
                f"{wanted} was dispatched {_times(len(found))}, not {_times(times)}. "
                f"{listed(self.dispatched)}"
            )
        return found

    @overload
    def assert_not_dispatched(
        self,
        job: type[J],
        where: Callable[[J], object] | None = None,
        *,
        queue: str | None = None,
        delay: object = None,
    ) -> None: ...
    @overload
    def assert_not_dispatched(
        self,
        job: MadeOfFunction,
        where: Callable[[FunctionJob[Any]], object] | None = None,
        *,
        queue: str | None = None,
        delay: object = None,
    ) -> None: ...
    def assert_not_dispatched(
        self,
        job: type[J] | MadeOfFunction,
        where: Callable[[Any], object] | None = None,
        *,
        queue: str | None = None,
        delay: object = None,
    ) -> None:
        """Fail the test if such a job was dispatched; takes what `assert_dispatched` does.

        Raises:
            AssertionError: there is one; shows it.
        """
        __tracebackhide__ = True
        wanted = Wanted(job=job_class_of(job), where=where, queue=queue, delay=delay)
        found = [one for one in self.dispatched if wanted.fits(one)]
        if found:
            raise AssertionError(f"{wanted} was dispatched {_times(len(found))}. {listed(found)}")

    def assert_nothing_dispatched(self) -> None:
        """Fail the test if any job was dispatched.

        Raises:
            AssertionError: there is one; shows all.
        """
        __tracebackhide__ = True
        if self.dispatched:
            number = len(self.dispatched)
            raise AssertionError(
                f"{number} {'job was' if number == 1 else 'jobs were'} dispatched. "
                f"{listed(self.dispatched)}"
            )


def _times(number: int) -> str:
    return {0: "never", 1: "once"}.get(number, f"{number} times")
