"""What was promised and what ran: a file that every process appends to, and no death takes along.

One line is one `write` to a file opened with O_APPEND, so lines of many processes never mix, and
what was written is there however its process dies.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

Line = dict[str, Any]

VARIABLE = "ROUTEQ_TEST_LEDGER"


class Ledger:
    """One file; `note` appends, `lines` reads all of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._read_to = 0
        self._lines: list[Line] = []

    @classmethod
    def here(cls) -> Ledger:
        """The ledger of this process's environment."""
        return cls(Path(os.environ[VARIABLE]))

    def note(self, event: str, **more: Any) -> None:
        """Append one line."""
        line = {"event": event, "at": time.time(), "pid": os.getpid()} | more
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def lines(self) -> list[Line]:
        """Everything so far; what was read before is not read again."""
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read_to += len(whole)
        self._lines += [json.loads(line) for line in whole.splitlines()]
        return self._lines

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
