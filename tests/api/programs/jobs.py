"""Jobs of classes: fields and options."""

from dataclasses import field
from typing import Any

from routeq_mqtt import Exponential, Job, Overrides


class SendEmail(Job, queue="mail", max_tries=5, backoff=Exponential(base=1), timeout=None):
    to: str
    subject: str = "Hello"

    async def handle(self) -> int:
        return len(self.to)

    async def failed(self, error: BaseException) -> None:
        print(error)


class MakeReport(Job):
    queue = "reports"
    max_tries = 5
    timeout = 30
    retry_after = 0.5
    dont_retry_on = (ValueError,)
    overrides = Overrides(max_tries=5)

    customer: int

    def handle(self) -> str:
        return f"report {self.customer}"

    def failed(self, error: BaseException) -> None:
        print(error)


class Greet(Job, queue="mail", name="greet", timeout=5, max_tries=2):
    """Fields with the names of options and of what jobs once had."""

    name: str
    data: bytes
    queue: int
    timeout: float = field(default=1.5)
    tags: list[str] = field(default_factory=list)

    async def handle(self) -> None:
        print(self.name.upper(), self.data.hex(), self.queue + 1, self.timeout + 1, self.tags)


class Remind(Job):
    def __init__(self) -> None:
        super().__init__()
        self.whom = "nobody"

    async def handle(self) -> None:
        print(self.whom)


def options_of_one_job() -> None:
    reminder = Remind()
    reminder.whom = "Ada"
    reminder.max_tries = 10
    reminder.with_options(max_tries=10, queue="other", timeout=None).whom.upper()
    Greet(name="Ada", data=b"x", queue=1).with_options(queue="slow", timeout=9)


def wrong() -> None:
    SendEmail(to=1)  # mypy: arg-type; pyright: reportArgumentType
    SendEmail()  # mypy: call-arg; pyright: reportCallIssue
    SendEmail(to="a", subjct="x")  # mypy: call-arg; pyright: reportCallIssue
    Greet(name="a", data="text", queue=1)  # mypy: arg-type; pyright: reportArgumentType
    Remind().with_options(max_tries="10")  # mypy: arg-type; pyright: reportArgumentType
    Remind().with_options(max_trys=10)  # mypy: call-arg; pyright: reportCallIssue
    Remind().max_tries = "10"  # mypy: assignment; pyright: reportAttributeAccessIssue


def wrong_classes() -> None:
    class Text(Job, max_tries="5"):  # mypy: arg-type; pyright: reportArgumentType, reportGeneralTypeIssues

        async def handle(self) -> None: ...

    class Misspelt(Job, max_trys=5):  # mypy: call-arg; pyright: reportCallIssue, reportGeneralTypeIssues

        async def handle(self) -> None: ...

    class Attribute(Job):
        max_tries = "5"  # mypy: assignment; pyright: reportAssignmentType

        async def handle(self) -> None: ...

    class Runs(Job, executor="thread"):  # mypy: arg-type; pyright: reportArgumentType, reportGeneralTypeIssues
        def handle(self) -> Any:
            return self.nothing  # mypy: attr-defined; pyright: reportAttributeAccessIssue
