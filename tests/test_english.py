"""Documents, docstrings, log lines and errors use plain English: no phrase of a list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.process import ROOT
from tests.test_links import FENCE, INLINE_CODE

AVOID = {
    r"mend(s|ed|ing)?": "say fix",
    r"whoever": "name the role: producer, caller, subscriber",
    r"so many": "say this many, at most N, or put the unit first",
    r"(?<!there )(?-i:is none)": "say is not valid, is not one",
    r"without a word": "say silently",
    r"(told|heard|said) (on|of)": "say reported, received",
    r"see the module": "say what the class is",
    r"nobody": "say no worker, no subscriber, no scheduler",
    r"politely|politer": "say gracefully",
}
"""Phrases (with word boundaries, in any case) and what to say instead.

Allowed: "there is none", what stands in code, a text of one word, and the history in CHANGELOG.md.
"""

PATTERNS = {re.compile(rf"\b({phrase})\b", re.IGNORECASE): fix for phrase, fix in AVOID.items()}
FOLDERS = ("routeq_mqtt", "broker/routeq_broker", "benchmarks", "examples", "scripts")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PAGES = sorted(
    path
    for folder, pattern in ((ROOT, "*.md"), (ROOT / "docs", "**/*.md"), (ROOT / "broker", "*.md"))
    for path in folder.glob(pattern)
    if path.name != "CHANGELOG.md"
) + sorted((ROOT / "examples").rglob("*.md"))


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Docstrings and every other text of a module that is more than one word, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def found(text: str) -> list[str]:
    """Each phrase to avoid in a text, without what stands in code, and what to say instead."""
    plain = " ".join(INLINE_CODE.sub("", FENCE.sub("", text)).split())
    return [
        f"{plain[max(0, match.start() - 40) : match.end() + 20]!r}: {fix}"
        for pattern, fix in PATTERNS.items()
        for match in pattern.finditer(plain)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_is_in_plain_english(page: Path) -> None:
    assert found(page.read_text()) == []


def test_docstrings_log_lines_and_errors_are_in_plain_english() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{line}: {phrase}"
        for path in MODULES
        for line, text in texts(path.read_text())
        for phrase in found(text)
    ] == []


def test_a_phrase_is_found_across_lines_and_not_in_code_or_longer_words() -> None:
    assert [line.rpartition(": ")[2] for line in found("drops it without\na   word")] == [
        AVOID["without a word"]
    ]
    assert found("Recommended: `mend`, amended, there is none.\n\n```\nwhoever\n```\n") == []
    source = 'def f():\n    """See the module."""\n    x = "nobody"\n    log("nobody reads %s")\n'
    assert [(line, len(found(text))) for line, text in texts(source)] == [(2, 1), (4, 1)]
