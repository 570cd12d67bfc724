"""The files of the page: libraries as npm has them, small, and nothing from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from routeq_mqtt.dashboard.http.static import STATIC

VENDOR = STATIC / "vendor"
OURS = [path for path in sorted(STATIC.rglob("*.js")) if path.parent != VENDOR]
LOADED = [
    path
    for path in sorted(STATIC.rglob("*"))
    if path.is_file() and path.suffix not in {".txt", ".json"}
]


def test_the_libraries_are_those_that_were_vendored() -> None:
    listed = json.loads((VENDOR / "versions.json").read_text())
    found = {name: sum_ for package in listed for name, sum_ in package["files"].items()}
    there = {path.name for path in VENDOR.iterdir()} - {"versions.json", "LICENCES.txt"}
    assert found.keys() == there
    for name, sum_ in found.items():
        digest = hashlib.sha256((VENDOR / name).read_bytes()).hexdigest()
        assert f"sha256-{digest}" == sum_, f"{name} was changed: run scripts/vendor_dashboard.py"
    licences = (VENDOR / "LICENCES.txt").read_text()
    for package in listed:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert f"{package['name']} {package['version']} ({package['licence']})" in licences


def test_what_a_browser_loads_is_small() -> None:
    assert sum(path.stat().st_size for path in LOADED) < 150_000
    assert sum(len(gzip.compress(path.read_bytes())) for path in LOADED) < 60_000


@pytest.mark.parametrize("path", LOADED, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    urls = re.findall(r"https?://[^\s\"'`<>)]+", text)
    assert not [url for url in urls if not url.startswith("http://www.w3.org/")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_text_of_jobs_never_becomes_markup(path: Path) -> None:
    code = path.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "dangerouslySet", "eval(",
                 "new Function", "document.write", "createContextualFragment"):  # fmt: skip
        assert word not in code


@pytest.mark.parametrize("name", ["index.html", "login.html"])
def test_the_pages_have_nothing_inline_and_only_relative_urls(name: str) -> None:
    page = (STATIC / name).read_text()
    assert "<style" not in page
    assert " style=" not in page
    assert not re.search(r"\son\w+=", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert all(url.startswith("static/") for url in re.findall(r'(?:src|href)="([^"]*)"', page))


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_modules_import_what_is_there(path: Path) -> None:
    for name in re.findall(r'from "([^"]+)"', path.read_text()):
        assert (path.parent / name).resolve().is_file(), name
