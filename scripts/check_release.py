"""Fails unless a tag such as v0.2.0 names the version of both distributions."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Compare the tag with `pyproject.toml`, `broker/pyproject.toml` and the changelog."""
    version = sys.argv[1].removeprefix("v")
    wrong = [
        f"{path}: version {found!r}"
        for path in ("pyproject.toml", "broker/pyproject.toml")
        if (found := tomllib.loads((ROOT / path).read_text())["project"]["version"]) != version
    ]
    if f"## {version}" not in (ROOT / "CHANGELOG.md").read_text():
        wrong.append(f"CHANGELOG.md: no section {version}")
    if wrong:
        sys.exit(f"tag {sys.argv[1]} does not match:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
