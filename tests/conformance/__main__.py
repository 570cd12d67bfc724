"""Write the table of conformance into docs/broker.md: part of `make conformance`."""

from __future__ import annotations

from pathlib import Path

from tests.conformance import checks  # noqa: F401 - registers them
from tests.conformance.registry import ENTRIES
from tests.conformance.table import MARKER, rendered

PATH = Path(__file__).parents[2] / "docs" / "broker.md"


def main() -> None:
    before, _, after = PATH.read_text().split(MARKER)
    PATH.write_text(f"{before}{MARKER}\n\n{rendered(ENTRIES)}\n\n{MARKER}{after}")


if __name__ == "__main__":
    main()
