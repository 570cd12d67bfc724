"""What a type checker sees of a job whose `handle` returns something: the type of its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

R_co = TypeVar("R_co", covariant=True)


class RunsAsync(Protocol[R_co]):
    """A job whose `handle` is a coroutine function that returns an `R_co`."""

    job_id: str | None
    attempts: int

    @property
    def handle(self) -> Callable[..., Coroutine[Any, Any, R_co]]:
        """See `Job.handle`."""


class RunsPlain(Protocol[R_co]):
    """A job whose `handle` is a plain function that returns an `R_co`."""

    job_id: str | None
    attempts: int

    @property
    def handle(self) -> Callable[..., R_co]:
        """See `Job.handle`."""


class IsFunction(Protocol[R_co]):
    """A function that was decorated with `job`, and returns an `R_co`."""

    def job(self, *args: Any, **kwargs: Any) -> RunsPlain[R_co]:  # noqa: ANN401
        """See `JobFunction`."""
