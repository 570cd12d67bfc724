"""The shipped alert rules and the Grafana dashboard speak of metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from routeq_mqtt.scheduler.observe import broker_counters
from routeq_mqtt.transport.base import ConnectOptions
from tests.cluster.process import ROOT
from tests.observe.rig import Tallied, counted, rig, until

PROMETHEUS = ROOT / "deploy" / "prometheus"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def board() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PROMETHEUS / "grafana.json").read_text())
    return loaded


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in board()["panels"]:
        yield from (target["expr"] for target in panel["targets"])


async def exported(folder: Path) -> dict[str, str]:
    """Every metric that there is, and its type: the broker counts itself, too."""
    async with rig(folder) as (one, bus):
        broker = await one.transport.connect(ConnectOptions("broker"), lambda message: None)
        for topic in broker_counters._TOPICS:
            await broker.publish(topic, b"1", retain=True)
        await one.observers.numbers.publish()
        text = str(await bus.requests.call("metrics"))
        await broker.close()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def names_in(expression: str, kinds: dict[str, str]) -> Iterator[str]:
    """Metrics in it; of a histogram or a summary one of its series is named."""
    for name in re.findall(r"routeq_\w+", expression):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        yield base if kinds.get(base) in {"histogram", "summary"} else name


async def test_every_metric_is_in_a_panel_and_every_one_in_a_panel_exists(tmp_path: Path) -> None:
    kinds = await exported(tmp_path)
    shown: set[str] = set()
    for panel in board()["panels"]:
        for target in panel["targets"]:
            names = set(names_in(target["expr"], kinds))
            assert names, target["expr"]
            shown |= names
    assert shown == kinds.keys()


async def test_every_metric_in_a_rule_exists(tmp_path: Path) -> None:
    kinds = await exported(tmp_path)
    for rule in rules():
        names = set(names_in(rule["expr"], kinds))
        assert names
        assert names <= kinds.keys()


def test_their_brackets_match() -> None:
    for expression in expressions():
        assert expression.count("(") == expression.count(")")
        assert expression.count("{") == expression.count("}")


def promtool(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run it; Debian has it in the package prometheus."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return subprocess.run(
        [found, *command], check=False, input=given, capture_output=True, text=True
    )


def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", str(PROMETHEUS / "alerts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


def test_promtool_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    # It checks expressions in rules only.
    recorded = [{"record": f"panel:{n}", "expr": one} for n, one in enumerate(expressions())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


async def test_promtool_finds_nothing_in_the_metrics(tmp_path: Path) -> None:
    async with rig(tmp_path) as (one, bus):
        await one.start_worker("default")
        await bus.dispatch(Tallied(key="a"))
        await until(lambda: len(counted) == 1)
        await one.observers.numbers.publish()
        text = str(await bus.requests.call("metrics"))
    done = promtool("check", "metrics", given=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_each_rule_says_what_to_do() -> None:
    for rule in rules():
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in board()["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
