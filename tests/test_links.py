"""Every relative link of the documents leads somewhere, to a heading that is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.cluster.process import ROOT

# Folders that git does not know, and that may hold documents of others.
FOREIGN = {".git", ".venv", "node_modules", "build", "dist", ".hypothesis", ".pytest_cache"}

FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*\s*$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^|\n)\n(?: {4}.*\n?)+")
INLINE_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+[\"'][^)]*)?\)")
REFERENCE = re.compile(r"^ {0,3}\[[^\]^]+\]:\s+<?(\S+?)>?\s*$", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
NAMED = re.compile(r"<a\s+(?:name|id)=\"([^\"]+)\"")


def documents() -> list[Path]:
    return sorted(
        path
        for path in ROOT.rglob("*.md")
        if not FOREIGN.intersection(path.relative_to(ROOT).parts)
    )


def prose(text: str) -> str:
    """A document without its blocks of code, where `](` is no link and `#` no heading."""
    return FENCE.sub("", text)


def links(text: str) -> list[str]:
    """What the document links to, apart from what stands in code and on other hosts."""
    plain = INLINE_CODE.sub("", INDENTED.sub("\n", prose(text)))
    targets = LINK.findall(plain) + REFERENCE.findall(plain)
    return [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: small letters, digits, hyphens, underscores."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@cache
def anchors(path: Path) -> frozenset[str]:
    text = prose(path.read_text())
    found: set[str] = set(NAMED.findall(text))
    for heading in HEADING.findall(text):
        name, count = slug(heading), 0
        while (anchor := f"{name}-{count}" if count else name) in found:
            count += 1
        found.add(anchor)
    return frozenset(found)


def broken(document: Path, target: str) -> str | None:
    """What is wrong with a link, or None."""
    file, _, anchor = unquote(target).partition("#")
    path = (document.parent / file).resolve() if file else document
    if not path.is_relative_to(ROOT):
        return "leads out of the repository"
    if not path.exists():
        return "no such file"
    if anchor and path.suffix == ".md" and anchor not in anchors(path):
        return "no such heading"
    return None


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    wrong = {target: broken(document, target) for target in links(document.read_text())}
    assert {target: error for target, error in wrong.items() if error} == {}


def test_each_page_is_reached_from_the_readme() -> None:
    """By links, one after the other; a link to a folder reaches the pages in it."""
    reached: set[Path] = set()
    ahead = {ROOT / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        for target in links(page.read_text()):
            path = (page.parent / unquote(target).partition("#")[0]).resolve()
            found = set(path.glob("*.md")) if path.is_dir() else {path}
            ahead |= {each for each in found if each.suffix == ".md"} - reached
    assert sorted(set((ROOT / "docs").rglob("*.md")) - reached) == []


def test_a_dead_link_is_seen() -> None:
    readme = ROOT / "README.md"
    text = "[a](b.md) `[no](c.md)` [d]( https://e.example )\n```\n[no](f.md)\n```\n"
    assert links(text) == ["b.md"]
    assert broken(readme, "docs/nowhere.md") == "no such file"
    assert broken(readme, "#no-such-part") == "no such heading"
    assert broken(readme, "../elsewhere.md") == "leads out of the repository"
    assert broken(readme, "#guarantees") is None
    assert slug("Who dies, and `what` then?") == "who-dies-and-what-then"
