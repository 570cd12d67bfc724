"""Units, compose file, Dockerfile and the table of settings: checked as far as this machine can."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from routeq_mqtt.cli import make_app
from routeq_mqtt.cli.checks.settings import markdown
from routeq_mqtt.cli.checks.shipped import FILES
from routeq_mqtt.settings.settings import Settings
from tests.cluster.process import ROOT
from tests.cluster.rabbitmq import RabbitNodes
from tests.deploy.dockerfile import DOCKER, instructions

SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))


def test_the_table_of_settings_is_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEQ_PASSWORD", "hunter2")
    assert (ROOT / "docs" / "settings.md").read_text() == markdown()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.name))
def test_a_unit_is_one_for_systemd(unit: Path, tmp_path: Path) -> None:
    """With the program where it really is: the check wants an executable."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd is not installed")
    text = unit.read_text().replace("/opt/routeq/bin/routeq-mqtt", "/bin/true")
    for other in UNITS:
        (tmp_path / other.name).write_text(
            other.read_text().replace("/opt/routeq/bin/routeq-mqtt", "/bin/true")
        )
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run(
        [verify, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    mine = [line for line in said.splitlines() if "routeq" in line]
    assert done.returncode == 0, said
    assert mine == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.name))
def test_a_unit_is_hardened_watched_and_starts_a_command_that_there_is(unit: Path) -> None:
    text = unit.read_text()
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "User=routeq", "Type=notify"):
        assert f"\n{line}\n" in text
    assert re.search(r"^WatchdogSec=\d+$", text, re.MULTILINE)
    command = re.search(r"^ExecStart=/opt/routeq/bin/routeq-mqtt (.*)$", text, re.MULTILINE)
    assert command is not None
    is_command(shlex.split(command[1].replace("%i", "default")))


def is_command(arguments: list[str]) -> None:
    """Its name and its flags are those of the command line."""
    import typer.main

    group: Any = typer.main.get_command(make_app())
    command = group.commands[arguments[0]]
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {part for part in arguments[1:] if part.startswith("--")} <= known


SERVICES = {
    "docker-compose.yml": {"mosquitto", "scheduler", "worker-default", "worker-mail"},
    "docker-compose.cluster.yml": {
        "rabbitmq-a", "rabbitmq-b", "rabbitmq-c", "scheduler-1", "scheduler-2", "worker-default",
    },
}  # fmt: skip
BROKERS = ("mosquitto", "rabbitmq-")


def compose(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / file).read_text())
    return loaded


@pytest.mark.parametrize("file", SERVICES)
def test_a_compose_file_has_what_it_needs(file: str) -> None:
    services = compose(file)["services"]
    assert set(services) == SERVICES[file]
    volumes = compose(file)["volumes"]
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in volumes or (DOCKER / source).exists(), volume
        assert "healthcheck" in service, name
        assert "ports" not in service, "nothing is open to others by default"
        if not name.startswith(BROKERS):
            assert service["cap_drop"] == ["ALL"]
            is_command(service["command"])
            is_command(service["healthcheck"]["test"][2:])


def test_the_nodes_of_the_compose_file_know_each_other_and_are_known() -> None:
    services = compose("docker-compose.cluster.yml")["services"]
    nodes = {name for name, service in services.items() if name.startswith("rabbitmq-")}
    assert {services[name]["hostname"] for name in nodes} == nodes
    lines = (DOCKER / "rabbitmq" / "rabbitmq.conf").read_text().splitlines()
    named = {line.rpartition("@")[2] for line in lines if "classic_config.nodes" in line}
    assert named == nodes
    for name in set(services) - nodes:
        addresses = Settings(url=services[name]["environment"]["ROUTEQ_URL"]).addresses()
        assert {address.host for address in addresses} == nodes
        assert services[name]["environment"]["ROUTEQ_SHARING"] == "scheduler"


def test_the_nodes_have_the_settings_that_were_tested(tmp_path: Path) -> None:
    shipped = (DOCKER / "rabbitmq" / "rabbitmq.conf").read_text().splitlines()
    tested = RabbitNodes(tmp_path, [1, 2, 3]).conf(0)
    own = ("listeners", "mqtt.listeners", "distribution", "cluster_formation.classic_config")
    assert {line for line in tested if not line.startswith(own)} <= set(shipped)
    plugins = (DOCKER / "rabbitmq" / "enabled_plugins").read_text()
    assert plugins == "[rabbitmq_mqtt].\n"


@pytest.mark.parametrize("file", SERVICES)
def test_docker_itself_accepts_a_compose_file(file: str) -> None:
    docker = shutil.which("docker")
    works = docker and subprocess.run(
        [docker, "compose", "version"], capture_output=True, check=False
    )
    if not docker or not works or works.returncode != 0:
        pytest.skip("docker compose is not installed")
    done = subprocess.run(
        [docker, "compose", "-f", str(DOCKER / file), "config", "--quiet"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"ROUTEQ_ERLANG_COOKIE": "x"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_image_is_small_not_root_and_watched() -> None:
    steps = instructions()
    names = [name for name, _ in steps]
    assert names.count("FROM") == 2
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert dict(steps)["USER"] == "routeq"
    assert '"health"' in dict(steps)["HEALTHCHECK"]
    assert dict(steps)["ENTRYPOINT"] == '["routeq-mqtt"]'


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_run(image: Path) -> None:
    """Its RUN lines of the first stage, in a folder instead of an image; then the program."""
    program = image / "bin" / "routeq-mqtt"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("routeq-mqtt ")
    helped = subprocess.run([program, "broker", "--help"], capture_output=True, check=False)
    assert helped.returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_config_show_prints_the_files_of_the_repository(name: str) -> None:
    shown = CliRunner().invoke(make_app(), ["config", "show", name])
    assert shown.exit_code == 0
    for file in FILES[name]:
        assert (ROOT / file).read_text() in shown.output


def test_config_show_says_what_there_is_to_show() -> None:
    wrong = CliRunner().invoke(make_app(), ["config", "show", "mosquito"])
    assert wrong.exit_code == 2
    assert "mosquitto" in wrong.output


def test_config_write_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "devices.acl").write_text("mine")
    refused = CliRunner().invoke(make_app(), ["config", "write", "acl", str(tmp_path)])
    assert refused.exit_code == 2
    assert (tmp_path / "devices.acl").read_text() == "mine"
    assert not (tmp_path / "services.acl").exists()
    written = CliRunner().invoke(make_app(), ["config", "write", "acl", str(tmp_path / "new")])
    assert written.exit_code == 0
    assert (tmp_path / "new" / "devices.acl").read_text() != "mine"


def test_the_wheel_has_every_file_that_config_shows() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = wheel["targets"]["wheel"]["force-include"]
    for file in (path for files in FILES.values() for path in files):
        top = file.partition("/")[0]
        assert included[top] == f"routeq_mqtt/share/{top}"
