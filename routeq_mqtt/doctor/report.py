"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its verdict; `fix` says what to do."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""
