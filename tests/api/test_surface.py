"""What programs may import: nothing comes or goes unnoticed, and documents use nothing else."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import routeq_mqtt
from routeq_mqtt import errors

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parent / "surface.txt"
PUBLIC = {
    "routeq_mqtt",
    "routeq_mqtt.dashboard",
    "routeq_mqtt.django",
    "routeq_mqtt.errors",
    "routeq_mqtt.testing",
}

_IMPORT = re.compile(
    r"^\s*(?:from (routeq_mqtt[\w.]*) import|import (routeq_mqtt[\w.]*))", re.MULTILINE
)


def surface() -> list[str]:
    names = []
    for module in sorted(PUBLIC):
        found = importlib.import_module(module)
        listed = getattr(found, "__all__", None)
        names += [f"{module}.{name}" for name in listed or _own(module)]
    return sorted(names)


def _own(module: str) -> list[str]:
    found = importlib.import_module(module)
    return [
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]


def test_the_public_names_are_the_kept_ones() -> None:
    kept = KEPT.read_text().split()
    assert surface() == kept, "a public name came or went: change surface.txt and the CHANGELOG"


def test_every_public_name_is_there_and_explained() -> None:
    assert len(set(routeq_mqtt.__all__)) == len(routeq_mqtt.__all__)
    for name in surface():
        module, _, short = name.rpartition(".")
        value = getattr(importlib.import_module(module), short)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), name


def test_every_error_is_public() -> None:
    for name in _own("routeq_mqtt.errors"):
        if inspect.isclass(getattr(errors, name)) and name in vars(routeq_mqtt):
            assert name in routeq_mqtt.__all__


def documents() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield from (ROOT / "docs").rglob("*.md")
    yield from (ROOT / "examples").rglob("*.py")


@pytest.mark.parametrize("path", list(documents()), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_import_only_what_is_public(path: Path) -> None:
    found = {one or other for one, other in _IMPORT.findall(path.read_text())}
    assert not found - PUBLIC
