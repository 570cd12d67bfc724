"""``routeq-mqtt config``: the files for brokers and services that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import routeq_mqtt
from routeq_mqtt.cli.checks.namespaced import ABLE, namespaced
from routeq_mqtt.cli.common import AsJson, one_line, print_json

FILES: dict[str, tuple[str, ...]] = {
    "mosquitto": ("mosquitto.conf",),
    "mosquitto-secure": ("mosquitto.secure.conf",),
    "acl": ("deploy/acl/services.acl", "deploy/acl/devices.acl"),
    "systemd": (
        "deploy/systemd/routeq.env",
        "deploy/systemd/routeq-broker.service",
        "deploy/systemd/routeq-scheduler.service",
        "deploy/systemd/routeq-standby.service",
        "deploy/systemd/routeq-up.service",
        "deploy/systemd/routeq-worker@.service",
    ),
    "compose": ("deploy/docker/docker-compose.yml",),
}
"""What `config show` prints, as paths in the repository; the wheel has them in `share/`."""

Namespace = Annotated[
    str, typer.Option(help=f"For the bus of a namespace: {' and '.join(ABLE)} only.")
]

app: typer.Typer = typer.Typer(
    no_args_is_help=True, help="Configuration files for mosquitto, ACLs, systemd and Docker."
)


def folder() -> Path:
    """Where the files are: in the installed package, or in the clone that it is run from."""
    package = Path(routeq_mqtt.__file__).parent
    installed = package / "share"
    return installed if installed.is_dir() else package.parent


def read(name: str, namespace: str = "") -> dict[str, str]:
    """The files of one name, by file name.

    Args:
        name: of the configuration.
        namespace: of the bus; empty: as they are shipped.

    Raises:
        typer.BadParameter: there is no such name, or it is the same in every namespace.
        ConfigurationError: it cannot be a namespace.
    """
    if name not in FILES:
        raise typer.BadParameter(f"no configuration {name!r}; use {', '.join(FILES)}")
    files = {Path(file).name: (folder() / file).read_text() for file in FILES[name]}
    if not namespace:
        return files
    if name not in ABLE:
        raise typer.BadParameter(f"{name} is the same in every namespace; leave --namespace out")
    return namespaced(files, namespace)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(FILES)}.")],
    namespace: Namespace = "",
    as_json: AsJson = False,
) -> None:
    """Print a configuration file: routeq-mqtt config show mosquitto > mosquitto.conf."""
    with one_line():
        files = read(name, namespace)
    if as_json:
        print_json(files)
        return
    for file, text in files.items():
        if len(files) > 1:
            typer.echo(f"# ---- {file}")
        typer.echo(text, nl=False)


@app.command("write")
def write(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(FILES)}.")],
    to: Annotated[Path, typer.Argument(help="Folder; existing files are never overwritten.")],
    namespace: Namespace = "",
    as_json: AsJson = False,
) -> None:
    """Write the files of a configuration to a folder."""
    with one_line():
        files = read(name, namespace)
    to.mkdir(parents=True, exist_ok=True)
    existing = [file for file in files if (to / file).exists()]
    if existing:
        raise typer.BadParameter(f"{to} has {', '.join(existing)} already; choose another folder")
    for file, text in files.items():
        (to / file).write_text(text)
    written = [str(to / file) for file in files]
    if as_json:
        print_json(written)
    else:
        typer.echo("\n".join(written))
