"""The comparison says where each of its cells comes from."""

from __future__ import annotations

import re

from tests.cluster.process import ROOT

PAGE = (ROOT / "docs" / "comparison.md").read_text()
TABLES = PAGE.partition("\n## Where others are better\n")[2].partition("\n## Sources\n")[0]
SOURCES = PAGE.partition("\n## Sources\n")[2]
CITED = re.compile(r"\[(\d+)\](?!\()")


def rows() -> list[list[str]]:
    """The cells of each row that tells of a system, its name first."""
    lines = [line for line in TABLES.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("", "product")]


def test_each_cell_about_others_cites_a_source_or_says_that_none_was_found() -> None:
    bare = [
        (name, cell)
        for name, *rest in rows()
        if "routeq-mqtt" not in name
        for cell in rest
        if not CITED.search(cell) and "not found" not in cell and "](" not in cell
    ]
    assert bare == []


def test_each_of_our_cells_leads_to_what_shows_it() -> None:
    ours = [row for row in rows() if row[0] == "**routeq-mqtt**"]
    assert len(ours) == 6
    cells = [cell for row in ours for cell in row[1:]]
    assert [cell for cell in cells if "](" not in cell and cell != "not yet"] == []


def test_each_source_is_listed_once_and_cited() -> None:
    listed = re.findall(r"^(\d+)\. .*<(https://\S+)>$", SOURCES, re.MULTILINE)
    assert [int(number) for number, _ in listed] == list(range(1, len(listed) + 1))
    assert len({address for _, address in listed}) == len(listed)
    assert dict(re.findall(r"^\[(\d+)\]: (\S+)$", SOURCES, re.MULTILINE)) == dict(listed)
    cited = set(CITED.findall(PAGE.partition("\n## Sources\n")[0]))
    assert cited == {number for number, _ in listed}
