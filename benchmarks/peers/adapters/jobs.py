"""The job, for peers that import it by its path."""

from __future__ import annotations

from benchmarks.peers import kit


def noop(text: str) -> None:
    kit.count(text)
