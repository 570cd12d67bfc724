"""`--app`: what it says of the job classes that it found, or did not."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from routeq_mqtt.cli.processes.apps import load_apps
from routeq_mqtt.jobs import registry

JOBS = """
from routeq_mqtt import Job

class AppsOrder(Job):
    def handle(self) -> None: ...
"""
FILES = {
    "apps_shop/__init__.py": "",
    "apps_shop/jobs.py": JOBS,
    "apps_shop/middleware.py": "",
    "apps_all.py": "from apps_shop.jobs import AppsOrder",
    "apps_whole.py": "import apps_shop.jobs",
    "apps_bases.py": "from routeq_mqtt import Job\nclass AppsBase(Job):\n    abstract = True\n",
}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("apps_")]:
        del sys.modules[name]
    registry._classes.pop("AppsOrder", None)


@pytest.mark.parametrize(
    "names", [["apps_shop.jobs"], ["apps_shop.jobs", "apps_all"], ["apps_whole"]]
)
def test_a_module_with_jobs_is_told_with_their_names(
    shop: Path, names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "routeq_mqtt")
    load_apps(names)
    assert [record.getMessage() for record in caplog.records] == [
        f"app={name} jobs=AppsOrder" for name in names
    ]


def test_a_package_that_imports_no_jobs_is_told_with_its_modules(
    shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_apps(["apps_shop"])
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    said = record.getMessage()
    assert f"--app='apps_shop': no job class was found in {shop / 'apps_shop/__init__.py'}" in said
    assert said.endswith("name one of apps_shop.jobs, apps_shop.middleware")


def test_a_base_class_alone_is_no_job(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_apps(["apps_bases"])
    assert "no job class was found" in caplog.text
    assert "for example --app myproject.jobs" in caplog.text
