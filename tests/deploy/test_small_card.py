"""The installation for a small card: docs/footprint.md takes away what rich needs, and no more."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.installed import SMALL_CARD
from tests.cluster.process import ROOT


def needed(*wanted: str, without: str = "") -> set[str]:
    """These requirements of the base installation, and what they need in turn."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in wanted]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or name == without or not _applies(one):
            continue
        found.add(name)
        waiting += [Requirement(more) for more in requires(name) or ()]
    return found


def _applies(one: Requirement) -> bool:
    return one.marker is None or one.marker.evaluate({"extra": ""})


def test_what_the_page_takes_away_is_what_only_rich_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = project["dependencies"]
    only_rich = needed(*base) - needed(*base, without="rich")
    assert only_rich == set(SMALL_CARD)
    assert {"typer", "paho-mqtt", "python-dotenv"} <= needed(*base, without="rich")


def test_pages_and_measurement_take_away_the_same() -> None:
    for page in ("footprint", "raspberry-pi"):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        [names] = re.findall(r"pip uninstall -y (.*)$", text, re.MULTILINE)
        assert tuple(names.split()) == SMALL_CARD, page
