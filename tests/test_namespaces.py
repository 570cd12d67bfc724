"""A namespace is in front of every name of its bus, and no name is made beside `Topics`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from routeq_broker import Acl
from routeq_broker.routing.namespaces import Namespaces
from routeq_mqtt import ConfigurationError
from routeq_mqtt.cli import make_app
from routeq_mqtt.cli.checks.shipped import read
from routeq_mqtt.scheduler.observe.discovery import bus_topic, worker_topic
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.topics import Topics
from routeq_mqtt.wire.messages.trigger import check_pattern
from tests.cluster.process import ROOT

STAGING = Settings(namespace="staging").topics()
_NO_NAMES = {"all_buses", "is_foreign", "sharing", "within"}


@pytest.mark.parametrize(
    "value", ["a/b", "a.b", "a b", "+", "#", "$a", "-a", "ä", "a" * 33, "queue", "routeq", "SYS"]
)
def test_a_bad_namespace_is_named_with_what_it_may_be(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ROUTEQ_NAMESPACE='.*(letters|choose another)"):
        Settings.from_environment({"ROUTEQ_NAMESPACE": value})


def test_without_a_namespace_every_name_is_as_it_was() -> None:
    settings = Settings.from_environment({"ROUTEQ_NAMESPACE": ""})
    assert settings.topics() == Topics()
    assert settings.address() == Settings().address()
    assert Topics().shared("q") == ("$share/routeq/queue/q", "$share/routeq/$queue/q")
    assert (Topics().session("c"), Topics().client_prefix) == ("routeq/session/c", "")


def _names(topics: Topics) -> Iterator[tuple[str, str]]:
    for name in sorted(vars(Topics)):
        if name.startswith("_") or name.endswith("_of") or name in _NO_NAMES:
            continue
        value = getattr(topics, name)
        if callable(value):
            value = value(*("x" for _ in inspect.signature(value).parameters))
        for one in value if isinstance(value, tuple) else [value]:
            yield name, one


def test_every_name_lies_in_the_namespace() -> None:
    found = dict(_names(STAGING))
    assert len(found) > 35
    known = ("staging", "$staging/", "$share/staging-")
    assert {one: name for one, name in found.items() if not name.startswith(known)} == {}
    assert found["intake"] == "$staging/queue/x"
    assert found["session"] == "staging/routeq/session/staging/x"
    assert found["client_prefix"] == "staging/"
    others = {one for _, one in _names(Settings(namespace="prod").topics())}
    assert not others & {one for _, one in _names(STAGING)}


def test_a_bus_is_known_by_the_statuses_of_its_services() -> None:
    for topics in (Topics(), STAGING):
        assert Topics.bus_of(topics.scheduler) == Topics.bus_of(topics.worker("w")) == topics
    for other in (
        "x/scheduler", "a/b/routeq/scheduler", "a b/routeq/scheduler", "routeq/done",
        "/routeq/scheduler", "homeassistant/routeq/scheduler", "sys/routeq/workers/w",
    ):  # fmt: skip
        assert Topics.bus_of(other) is None


def test_no_other_file_makes_names_of_topics() -> None:
    """But for the documentation of the wire format, and for defaults and reserved beginnings."""
    allowed = {
        "topics.py",
        "wire/table.py",
        "settings/settings.py",
        "jobs/trigger.py",
        "dashboard/live/facts.py",
    }
    begins = ("routeq/", "queue/", "$queue/", "$share/routeq")
    package = ROOT / "routeq_mqtt"
    found = {
        f"{path.relative_to(package)}:{node.lineno} {node.value}"
        for path in package.rglob("*.py")
        if str(path.relative_to(package)) not in allowed
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(begins)
    }
    assert found == set()


def test_home_assistant_has_other_ids_for_another_bus() -> None:
    assert bus_topic(STAGING) != bus_topic(Topics())
    assert worker_topic(STAGING, "w") != worker_topic(Topics(), "w")


def test_a_trigger_cannot_take_in_the_bus_of_a_namespace() -> None:
    reserved = (f"{STAGING.control}/", STAGING.delivery_prefix)
    for pattern in ("staging/#", "staging/{x}/y", "staging/queue/z", "staging/routeq"):
        with pytest.raises(ConfigurationError, match="the bus's own topics"):
            check_pattern(pattern, "trigger", reserved=reserved)
    for pattern in ("devices/#", "staging/devices/+", "queue/x"):
        check_pattern(pattern, "trigger", reserved=reserved)


def test_the_broker_gives_no_two_queues_one_name() -> None:
    namespaces = Namespaces(["staging", "prod"], "$queue/")
    topics = [
        "$queue/x", "$staging/queue/x", "$prod/queue/x", "$queue/$staging/queue/x",
        "$queue/$queue/x", "$queue/$queue/$staging/queue/x", "$queue/staging/x",
    ]  # fmt: skip
    named = [str(namespaces.queue(topic)) for topic in topics]
    assert len(set(named)) == len(topics)
    assert [namespaces.prefix_of(one) for one in named[:4]] == ["", "staging/", "prod/", ""]
    none = ("$queue/", "$staging/queue/", "staging/queue/x", "$test/queue/x")
    assert [namespaces.queue(topic) for topic in none] == [None] * 4
    sizes = namespaces.split({one: number for number, one in enumerate(named[:3])})
    assert sizes == {"": {"x": 0}, "staging/": {"x": 1}, "prod/": {"x": 2}}


def test_the_rules_of_a_namespace_give_rights_in_it_alone(tmp_path: Path) -> None:
    for name, text in (read("acl", "staging") | read("acl")).items():
        (tmp_path / name).write_text(text)
    acl = Acl.read(*tmp_path.iterdir())
    role = acl.rights("staging-worker", "staging/host-1/default")
    for topic in (STAGING.done, STAGING.delivery("q"), STAGING.intake("q"), "$client/staging/x"):
        assert role.may_write(topic), topic
    assert role.may_read(STAGING.session("host-1/default"))
    for topic in (Topics().done, Topics().delivery("q"), Topics().intake("q"), "$client/x",
                  "$client/routeq-scheduler", "$client/staging/routeq-scheduler"):  # fmt: skip
        assert not role.may_write(topic), topic
    assert not acl.rights("worker", "host-1").may_write(STAGING.done)
    device = acl.rights("pump-7", "pump-7")
    assert device.may_write(STAGING.intake("pump-7"))


def test_config_show_fills_the_namespace_in_and_refuses_where_there_is_none() -> None:
    def show(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(make_app(), ["config", "show", *arguments])
        return done.exit_code, done.output

    code, output = show("systemd", "--namespace", "staging")
    assert code == 0
    assert "\nROUTEQ_NAMESPACE=staging\n" in output
    assert "\nStateDirectory=routeq-staging\n" in output
    assert "/etc/routeq/" not in output
    assert "/var/lib/routeq/" not in output
    code, output = show("acl", "--namespace", "a/b")
    assert (code, "'a/b' cannot be a namespace" in output) == (4, True)
    code, output = show("compose", "--namespace", "staging")
    assert (code, "the same in every namespace" in output) == (2, True)
