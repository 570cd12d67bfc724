"""The way of a job, as docs/design.md tells it, is the way that it takes."""

from __future__ import annotations

import re

import pytest

from benchmarks.way import way_of
from tests.cluster.process import ROOT
from tests.features.result_jobs import Returns

_MOST = 20


def listed(heading: str) -> list[str]:
    section = (ROOT / "docs" / "design.md").read_text().partition(f"\n### {heading}\n")[2]
    return re.findall(r"^\| `([\w/]+\.py)` \|", re.split(r"\n##", section)[0], re.MULTILINE)


@pytest.mark.parametrize(("heading", "delay"), [("A plain job", None), ("A delayed one", 0.01)])
async def test_the_design_names_the_files_that_a_job_passes(
    heading: str, delay: float | None
) -> None:
    named = listed(heading)
    assert 5 < len(named) <= _MOST
    way = await way_of(Returns(value=1), delay=delay)
    assert way.moves > len(way.files)
    missing = set(named) - set(way.files)
    assert not missing, f"docs/design.md, {heading}: no job passes these files"
