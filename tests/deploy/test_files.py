"""Units, compose file, Dockerfile and the table of settings: checked as far as this machine can."""

from __future__ import annotations

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
from tests.cluster.process import ROOT
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


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "docker-compose.yml").read_text())
    return loaded


def test_the_compose_file_has_what_it_needs() -> None:
    services = compose()["services"]
    assert set(services) == {"mosquitto", "scheduler", "worker-default", "worker-mail"}
    volumes = compose()["volumes"]
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in volumes or (DOCKER / source).exists(), volume
        assert "healthcheck" in service, name
        assert "ports" not in service, "nothing is open to others by default"
        if name != "mosquitto":
            assert service["cap_drop"] == ["ALL"]
            is_command(service["command"])
            is_command(service["healthcheck"]["test"][2:])


def test_docker_itself_accepts_the_compose_file() -> None:
    docker = shutil.which("docker")
    works = docker and subprocess.run(
        [docker, "compose", "version"], capture_output=True, check=False
    )
    if not docker or not works or works.returncode != 0:
        pytest.skip("docker compose is not installed")
    file = str(DOCKER / "docker-compose.yml")
    done = subprocess.run(
        [docker, "compose", "-f", file, "config", "--quiet"],
        capture_output=True, text=True, check=False,
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
