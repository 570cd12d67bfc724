"""All checks: importing this registers them."""

from tests.conformance import (  # noqa: F401
    answers,
    connecting,
    publishing,
    sessions,
    subscribing,
    users,
)  # fmt: skip
