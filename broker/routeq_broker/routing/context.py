"""What everything in the routing shares."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routeq_broker.clock import Clock
    from routeq_broker.counters import Counters
    from routeq_broker.options import Limits
    from routeq_broker.policy import RedeliveryPolicy
    from routeq_broker.storage.journal import Journal


@dataclass(slots=True)
class Context:
    """The journal, policy, limits, clock and counters that the routing shares.

    Attributes:
        journal: what must outlive the broker is written there.
        policy: knows the payloads.
        numbers: of entries, in order of arrival.
    """

    journal: Journal
    policy: RedeliveryPolicy
    limits: Limits
    clock: Clock
    counters: Counters
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
