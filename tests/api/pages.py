"""Programs of the documents, written where they can be run."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cluster.process import ROOT

_NAMED = re.compile(r"^`([\w/]+\.py)`:\n\n```python\n((?s:.*?))^```$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w+)\n((?s:.*?))^```$", re.MULTILINE)


def page(path: str) -> str:
    """The text of a page of docs/."""
    return (ROOT / "docs" / path).read_text()


def files(path: str) -> dict[str, str]:
    """The programs of a page that have a name."""
    return dict(_NAMED.findall(page(path)))


def blocks(path: str, language: str = "python") -> list[str]:
    """All blocks of a page in a language, in order."""
    return [code for name, code in _BLOCK.findall(page(path)) if name == language]


def write(folder: Path, programs: dict[str, str]) -> None:
    """Write programs into a folder."""
    for name, code in programs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
