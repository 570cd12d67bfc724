"""What programs may import, and what is not there."""

from routeq_mqtt import (
    ConfigurationError,
    Handler,
    Job,
    JobEvent,
    Middleware,
    middleware,
    on,
)
from routeq_mqtt.errors import (
    NoConsumer,
    RouteqError,
)
from routeq_mqtt.testing import FakeBus, MemoryBus, fake, override


@middleware
async def timed(job: Job, go_on: Handler) -> object:
    return await go_on(job)


@on("done")
def heard(event: JobEvent) -> None:
    print(event.id, event.more.get("attempt"))


chosen: Middleware = timed


async def right() -> None:
    async with MemoryBus("mail") as bus:
        await bus.travel(3)  # mypy: attr-defined; pyright: reportAttributeAccessIssue
    with fake(run=True) as faked:
        one: FakeBus = faked
        await one.travel(3)
    with override(right, wrong):
        pass
    error: RouteqError = NoConsumer("nobody")
    print(error, ConfigurationError("x"))


async def wrong() -> None:
    with fake(runs=True):  # mypy: call-arg; pyright: reportCallIssue
        pass

    @middleware  # mypy: type-var; pyright: reportArgumentType, reportUntypedFunctionDecorator
    def one(job: Job) -> None: ...

    @on("done")  # mypy: type-var; pyright: reportArgumentType, reportUntypedFunctionDecorator
    def two() -> None: ...
