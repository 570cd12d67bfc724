"""The fixtures that pytest finds by itself, in a pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cluster.process import ROOT
from tests.features.test_pages import unpack

_NO_BROKER = """
import sys

sys.modules["routeq_broker"] = None
"""


def run_pytest(folder: Path, *arguments: str, conftest: str = "") -> str:
    """Run the tests of a folder with the plugin, as it would be installed; what it prints."""
    (folder / "conftest.py").write_text(conftest)
    env = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "broker")]),
    }
    plugins = ("-p", "pytest_routeq_mqtt", "-p", "pytest_asyncio.plugin")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--strict-markers", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_project_names_the_plugin() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["entry-points"]["pytest11"] == {"routeq_mqtt": "pytest_routeq_mqtt"}
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "pytest_routeq_mqtt.py" in wheel["packages"]


def test_the_plugin_imports_none_of_the_library() -> None:
    code = (
        "import sys, pytest, asyncio, pytest_routeq_mqtt; "
        "print([name for name in sys.modules if name.startswith(('routeq', 'paho', 'aiomqtt'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_fixtures_give_a_fake_and_a_broker(tmp_path: Path) -> None:
    (tmp_path / "test_fixtures.py").write_text(
        """
import os

import pytest

from routeq_mqtt import Bus, Job, default_bus, dispatch

ran = []


class Hello(Job):
    async def handle(self):
        ran.append("hello")


def test_fake(routeq_fake):
    import asyncio

    asyncio.run(dispatch(Hello()))
    routeq_fake.assert_dispatched(Hello, times=1)
    assert ran == []


@pytest.mark.routeq_fake(run=True)
@pytest.mark.asyncio
async def test_fake_that_runs(routeq_fake):
    assert default_bus() is routeq_fake
    await dispatch(Hello(), delay=3600)
    await routeq_fake.travel(3600)
    assert ran == ["hello"]


def test_blocking_bus(routeq_broker, routeq_bus):
    assert len(routeq_bus.bulk([Hello() for _ in range(3)])) == 3


@pytest.mark.asyncio
async def test_a_new_broker_for_each_test(routeq_broker):
    assert os.environ["ROUTEQ_URL"] == routeq_broker
    assert routeq_broker.startswith("mqtt://127.0.0.1:")
    async with Bus() as bus:
        assert await bus.dispatch(Hello())


def test_its_url_is_gone_afterwards():
    assert "ROUTEQ_URL" not in os.environ
"""
    )
    printed = run_pytest(tmp_path, "-q")
    assert "5 passed" in printed, printed


@pytest.mark.slow
def test_a_mark_gives_its_test_a_fake_and_a_wrong_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "test_marks.py").write_text(
        """
import pytest

from routeq_mqtt import default_bus


@pytest.mark.routeq_fake(run=True)
@pytest.mark.asyncio
async def test_without_the_fixture():
    assert default_bus().failed == []


@pytest.mark.routeq_fake(True)
def test_by_place(routeq_fake):
    pass


@pytest.mark.routeq_fake(runs=True)
def test_misspelt(routeq_fake):
    pass
"""
    )
    printed = run_pytest(tmp_path, "-q")
    assert "1 passed, 2 errors" in printed, printed
    assert "@pytest.mark.routeq_fake(True) takes run=True" in printed
    assert "@pytest.mark.routeq_fake(runs=True) takes run=True" in printed


@pytest.mark.slow
def test_without_the_broker_its_tests_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_skip.py").write_text("def test_broker(routeq_bus):\n    assert False\n")
    printed = run_pytest(tmp_path, "-q", "-rs", conftest=_NO_BROKER)
    assert "1 skipped" in printed, printed
    assert "pip install 'routeq-mqtt[broker]'" in printed


@pytest.mark.slow
def test_the_tests_on_the_page_pass(tmp_path: Path) -> None:
    files, _, _ = unpack(ROOT / "docs" / "features" / "testing.md", tmp_path)
    assert "test_signup.py" in files
    printed = run_pytest(tmp_path, "-q")
    number = files["test_signup.py"].count("def test_")
    assert number > 0
    assert f"{number} passed" in printed, printed
