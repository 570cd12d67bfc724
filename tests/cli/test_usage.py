"""Wrong usage: one clear line, an exit code, and no traceback. No broker is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from routeq_mqtt.cli import app
from tests.cluster.cluster import free_port
from tests.cluster.process import Process

runner = CliRunner()


def said(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    result = runner.invoke(
        app, list(arguments), env={"COLUMNS": "300", "TERM": "dumb", **(env or {})}
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(re.sub("[╭─╮│╰╯]", " ", result.output).split())


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["worker", "--queue", "a/b"], 4, "error: worker: queue='a/b' must not contain '/'"),
        (["worker", "--queue", "a,a"], 4, "names a queue twice"),
        (["worker", "--queue", "a,"], 4, "worker: queue='' must be a non-empty string"),
        (["worker", "--concurrency", "0"], 4, "error: worker: concurrency=0 must be 1 or more"),
        (["worker", "--timeout", "nan"], 4, "error: worker: timeout=nan must be 0 or more"),
        (["worker", "--app", "no_such_module"], 4, "error: --app='no_such_module': there is no"),
        (["worker", "--app", ".relative"], 4, "error: --app='.relative' must be a full name"),
        (["worker", "--concurrency", "many"], 2, "Invalid value for '--concurrency'"),
        (["wroker"], 2, "No such command 'wroker'. Did you mean 'worker'"),
        (["dispatch"], 2, "Missing argument 'name'"),
        (["dispatch", "X", "a=1", "a=2"], 4, "error: a: it is given twice"),
        (["dispatch", "X", "novalue"], 4, "error: 'novalue' is not key=value; write for example"),
        (["dispatch", "X", "a=1", "--queue", "a/b"], 4, "error: --queue='a/b' must not"),
        (["dispatch", "X", "--delay", "-1"], 4, "error: --delay=-1.0 must be 0 seconds"),
        (["queues", "--url", "http://h"], 4, "error: broker URL 'http://h': scheme 'http'"),
        (["queues", "--url", "mqtt://u@h:x"], 4, "error: broker URL 'mqtt://***@h:x'"),
        (["queues", "--url", "mqtt://u:secret@h"], 4, "error: --url='mqtt://***@h' holds a"),
        (["scheduler", "--log-level", "loud"], 4, "error: --log-level='loud' is unknown; use"),
        (["broker", "--bind", "nowhere"], 4, "error: "),
        (["broker", "--db", "nowhere/b.db"], 4, "error: --db='nowhere/b.db': there is no folder"),
        (["scheduler", "--db", "nowhere/s.db"], 4, "there is no folder 'nowhere'; make it first"),
        (["up", "--db-folder", "nowhere"], 4, "error: --db-folder='nowhere': there is no folder"),
        (["up", "--bind", "nowhere"], 4, "error: bind='nowhere' is not an address; write "
            "it as 127"),
        (["limit", "emails", "soon"], 4, "error: limit: rate='soon' is not a rate; write 100/m"),
        (["limit", "a/b", "10/m"], 4, "error: queue='a/b' must not contain '/'"),
        (["failed", "retry", "1", "--queue", "q"], 2, "--queue goes with --all"),
        (["failed", "show", ""], 4, "job_id='' must be a printable text of 1 to 400 characters"),
        (["failed", "list", "--job", ""], 4, "error: --job='' must be a printable text of 1"),
        (["failed", "retry", "x", ""], 4, "error: ids='' must be a printable text of 1"),
        (["cancel", ""], 4, "error: ids='' must be a printable text"),
        (["batch", ""], 4, "error: batch_id='' must be a printable text"),
        (["rollout", ""], 4, "error: broadcast_id='' must be a printable text"),
        (["schedule", "run", ""], 4, "error: name='' must be a printable text"),
        (["triggers", "forget", ""], 4, "error: pattern='' must be a printable text"),
        (["devices", "--forget", "a b"], 4, "error: --forget='a b' must not contain ' '"),
        (["scheduler", "--bridged", "a/b"], 4, "scheduler: bridged='a/b' must not contain '/'"),
        (["worker", "--processes", "2", "--max-tries", "0"], 4, "max_tries=0 must be 1 or more"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(arguments: list[str], code: int, line: str) -> None:
    found, output = said(*arguments)
    assert line in output
    assert found == code
    assert "secret" not in output


NOBODY = {"ROUTEQ_URL": "mqtt://127.0.0.1:1", "ROUTEQ_TIMEOUT": "0.2"}
"""Where no broker is: a command that had connected would end with 3."""
RIGHT = {"rate": "10/m"}
"""Values of required arguments that are not any text."""


def commands(group: Any, *before: str) -> Iterator[tuple[list[str], Any]]:
    """Every command with its words; typer brings its own click, or takes the installed one."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield [*before, name], command


def mistakes() -> Iterator[list[str]]:
    """For each command and each of its parameters that is a queue, a worker, a rate or a number."""
    for words, command in commands(get_command(app)):
        required = {
            one.name: RIGHT.get(one.name, "x")
            for one in command.params
            if one.param_type_name == "argument" and one.required
        }
        for one in command.params:
            wrong = _wrong(one.name, one.type.name)
            if wrong and one.name in required:
                yield [*words, *{**required, one.name: wrong}.values()]
            elif wrong:
                yield [*words, f"{one.opts[0]}={wrong}", *required.values()]


def _wrong(name: str, kind: str) -> str:
    if name == "rate":
        return "soon"
    if name in {"queue", "to", "worker"} and kind in {"str", "text"}:
        return "a/b"
    return "-1" if kind.startswith("int") else "nan" if kind == "float" else ""


@pytest.mark.parametrize("arguments", [*mistakes()], ids=" ".join)
def test_a_wrong_value_is_refused_before_anything_connects(arguments: list[str]) -> None:
    code, output = said(*arguments, env=NOBODY)
    assert code in {2, 4}, output


def test_a_wrong_value_of_a_broadcast_is_refused_before_anything_connects() -> None:
    """It has no queue; what it has besides is checked where it is made."""
    for flags in (["--where", "north"], ["a"], ["--abort-after", "0"]):
        code, output = said("broadcast", "Update", *flags, env=NOBODY)
        assert code == 4, output


def test_a_wrong_variable_is_named() -> None:
    code, output = said("queues", env={"ROUTEQ_TIMEOUT": "soon"})
    assert (code, output) == (4, "error: ROUTEQ_TIMEOUT='soon' must be a number above 0")


def test_the_version_and_the_help() -> None:
    assert said("--version")[1].startswith("routeq-mqtt ")
    code, output = said("--help")
    assert code == 0
    for command in ("worker", "scheduler", "broker", "dispatch", "failed", "queues", "doctor"):
        assert command in output


@pytest.mark.slow
@pytest.mark.parametrize("service", ["worker", "scheduler"])
async def test_a_service_that_waits_for_its_broker_can_be_stopped(service: str) -> None:
    env = {"ROUTEQ_URL": f"mqtt://127.0.0.1:{free_port()}"}
    process = await Process.cli(service, service, env=env)
    try:
        await process.says("is it running?")
        assert ("this worker knows no job class" in process.output) == (service == "worker")
        assert await process.stop() == 0
    finally:
        if process.running:
            await process.kill()


@pytest.mark.slow
async def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """A folder is no file; there was a traceback of the thread that was to use it."""
    flags = ("--db", str(tmp_path), "--bind", f"127.0.0.1:{free_port()}")
    process = await Process.cli("broker", "broker", *flags, env={})
    assert await process.ended() == 4
    assert "unable to open database file" in process.output
    assert "Traceback" not in process.output


def _all_commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _all_commands(command, (*path, name))
        yield " ".join((*path, name)), command


def test_help_shows_every_word_of_every_flag() -> None:
    """Square brackets are markup to rich: it showed `mqtt[s]://` as `mqtt://`."""
    texts = {
        f"{name} {parameter.name}": getattr(parameter, "help", None) or ""
        for name, command in _all_commands(get_command(app))
        for parameter in command.params
    }
    assert len(texts) > 100
    assert not [name for name, text in texts.items() if "[" in text]


def test_help_begins_with_the_first_steps_and_names_the_exit_codes() -> None:
    _, output = said("--help")
    assert "Start with `routeq-mqtt up --app MODULE`" in output
    assert "3 the broker was not reached" in output
    assert next(iter(get_command(app).commands)) == "up"  # type: ignore[attr-defined]
