"""``routeq-mqtt settings``: every setting, made from the code; `docs/settings.md` is its output."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Annotated

import typer

from routeq_mqtt.cli.common import AsJson, print_json
from routeq_mqtt.environment import PREFIX
from routeq_mqtt.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """# Settings

Made by `routeq-mqtt settings --markdown`; a test keeps it in step. They stand in the environment,
or in a file `.env` in the current folder (`ROUTEQ_ENV_FILE` names another one; empty: none). The
environment beats the file, a flag beats both. A secret may stand in a file of its own:
`<NAME>_FILE` names it.

| variable | meaning | default | secret |
|---|---|---|---|
"""

_COMMANDS = (
    ("ROUTEQ_APP", "Module that defines the jobs, for `worker` and `up`.", ""),
    ("ROUTEQ_DB", "SQLite file of `scheduler`.", "routeq.db"),
    ("ROUTEQ_BIND", "Address and port of `broker` and `up`.", "127.0.0.1:1883"),
    ("ROUTEQ_BRIDGED", "Queues that `scheduler` leaves to a bridge of the broker.", ""),
    ("ROUTEQ_LOG", "`debug`, `info`, `warning` or `error`.", "info"),
    ("ROUTEQ_ENV_FILE", "The file of settings beneath the environment.", ".env, if it is there"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One setting; `set` says whether the environment or the file has it, never what."""

    name: str
    about: str
    default: str
    secret: bool
    set: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("settings")(settings)


def lines() -> Iterator[Line]:
    """Every setting of the library, then those of the command line."""
    for spec in dataclasses.fields(Settings):
        name = f"{PREFIX}{spec.name.upper()}"
        default = spec.metadata["shown"] or ("" if spec.default is None else str(spec.default))
        given = name in os.environ or f"{name}_FILE" in os.environ
        yield Line(name, str(spec.metadata["about"]), default, not spec.repr, given)
    for name, about, default in _COMMANDS:
        yield Line(name, about, default, secret=False, set=name in os.environ)


def markdown() -> str:
    """The table of `docs/settings.md`."""
    rows = (
        f"| `{line.name}` | {line.about} | {f'`{line.default}`' if line.default else ''} "
        f"| {'yes' if line.secret else ''} |\n"
        for line in lines()
    )
    return _HEAD + "".join(rows)


def settings(
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="As the table of docs/settings.md.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting, and which are set here; never their values."""
    if as_json:
        print_json([dataclasses.asdict(line) for line in lines()])
    elif as_markdown:
        typer.echo(markdown(), nl=False)
    else:
        for line in lines():
            typer.echo(f"{'set ' if line.set else '    '}{line.name}  {line.about}")
