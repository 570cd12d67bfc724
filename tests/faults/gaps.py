"""How long nobody got an answer: read from a ledger."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from tests.faults.ledger import Line


class Gap(NamedTuple):
    """The longest time between two acknowledged durable dispatches, from a fault to the next."""

    fault: str
    seconds: float


def gaps(lines: list[Line]) -> list[Gap]:
    """One for each fault; it begins with the last dispatch that was acknowledged before it."""
    sent = sorted(
        line["at"] for line in lines if line["event"] == "sent" and line["confirm"] == "stored"
    )
    faults = [(line["at"], str(line["kind"])) for line in lines if line["event"] == "fault"]
    found = []
    for (fault, kind), (following, _) in pairwise([*faults, (float("inf"), "")]):
        before = max((at for at in sent if at <= fault), default=fault)
        around = [before, *(at for at in sent if before < at < following)]
        found.append(Gap(kind, max((b - a for a, b in pairwise(around)), default=0.0)))
    return found


def longest_call(lines: list[Line]) -> float:
    """Seconds of the longest dispatch, whether it returned or raised; -1: one never ended."""
    begun: dict[str, float] = {}
    longest = 0.0
    for line in lines:
        if line["event"] == "sending":
            begun[line["key"]] = line["at"]
        elif line["event"] in {"sent", "refused"}:
            longest = max(longest, line["at"] - begun.pop(line["key"]))
    return -1.0 if begun else longest
