"""Hooks of mkdocs: the README is the first page, and links out of docs/ lead to the repository."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
_LABELS = re.compile(r"^<!-- .*? -->\n", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the first page."""
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=_LABELS.sub("", readme)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links to files that are not part of the site absolute."""
    folder = posixpath.dirname(page.file.src_uri)
    above = ["", "docs"] if page.file.src_uri == "index.md" else ["docs"]

    def absolute(match: re.Match[str]) -> str:
        link = match[1]
        if files.get_file_from_path(posixpath.normpath(posixpath.join(folder, link))) is not None:
            return match[0]
        for start in above:
            path = posixpath.normpath(posixpath.join(start, folder, link))
            if (ROOT / path).exists():
                kind = "tree" if (ROOT / path).is_dir() else "blob"
                return f"]({config.repo_url}/{kind}/main/{path}"
        return match[0]  # mkdocs reports it

    return _LINK.sub(absolute, markdown)
