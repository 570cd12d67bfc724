"""The manifests of deploy/kubernetes: their commands exist, and they fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.process import ROOT
from tests.deploy.test_files import is_command

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
WORKLOADS = {"StatefulSet", "Deployment"}


def objects(*kinds: str) -> list[dict[str, Any]]:
    """All objects of the folder, or those of some kinds."""
    found = [one for file in FILES for one in yaml.safe_load_all(file.read_text())]
    return [one for one in found if not kinds or one["kind"] in kinds]


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def name(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def labels(workload: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def test_there_is_what_a_bus_needs() -> None:
    assert {name(one) for one in objects(*WORKLOADS)} == {
        "StatefulSet routeq-broker", "StatefulSet routeq-scheduler", "Deployment routeq-worker",
    }  # fmt: skip
    assert all(one["apiVersion"] and one["metadata"]["name"] for one in objects())
    names = [name(one) for one in objects()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("workload", objects(*WORKLOADS), ids=name)
def test_a_container_runs_a_command_that_there_is_and_is_watched(workload: dict[str, Any]) -> None:
    for container in pod(workload)["containers"]:
        is_command(container["args"])
        probes = [container[kind] for kind in container if kind.endswith("Probe")]
        assert {"readinessProbe", "livenessProbe"} <= container.keys()
        for probe in probes:
            if "exec" in probe:
                program, *arguments = probe["exec"]["command"]
                assert program == "routeq-mqtt"
                is_command(arguments)
            else:
                ports = {port["name"] for port in container["ports"]}
                assert probe["tcpSocket"]["port"] in ports


@pytest.mark.parametrize("workload", objects(*WORKLOADS), ids=name)
def test_a_pod_is_not_root_and_finds_its_settings_and_volumes(workload: dict[str, Any]) -> None:
    spec = pod(workload)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    volumes = {volume["name"] for volume in spec["volumes"]}
    volumes |= {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])}
    config = {one["metadata"]["name"] for one in objects("ConfigMap")}
    for container in spec["containers"]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        for source in container["envFrom"]:
            if "configMapRef" in source:
                assert source["configMapRef"]["name"] in config
            else:
                assert source["secretRef"]["optional"]


def test_what_a_pod_stores_is_on_its_volume() -> None:
    for workload in objects("StatefulSet"):
        [container] = pod(workload)["containers"]
        [db] = [Path(part) for part in container["args"] if part.endswith(".db")]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        [claim] = workload["spec"]["volumeClaimTemplates"]
        assert mounts[str(db.parent)] == claim["metadata"]["name"]
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
        assert workload["spec"]["replicas"] == 1


def test_selectors_find_pods() -> None:
    pods = [labels(workload) for workload in objects(*WORKLOADS)]
    selectors = [one["spec"]["selector"] for one in objects("Service")]
    selectors += [
        one["spec"][key]["matchLabels"]
        for one in objects("PodDisruptionBudget", "NetworkPolicy", *WORKLOADS)
        for key in ("selector", "podSelector")
        if key in one["spec"]
    ]
    for rule in objects("NetworkPolicy")[0]["spec"]["ingress"]:
        allowed = rule["from"][0]["podSelector"]["matchLabels"]
        assert all(allowed.items() <= found.items() for found in pods)
    for selector in selectors:
        assert sum(selector.items() <= found.items() for found in pods) == 1, selector


def test_workers_and_scheduler_find_the_broker() -> None:
    [settings] = objects("ConfigMap")
    services = {one["metadata"]["name"]: one["spec"]["ports"][0] for one in objects("Service")}
    host, _, port = settings["data"]["ROUTEQ_URL"].removeprefix("mqtt://").partition(":")
    assert services[host]["port"] == int(port)


def test_a_worker_has_the_time_that_it_needs_to_stop() -> None:
    [worker] = objects("Deployment")
    arguments = pod(worker)["containers"][0]["args"]
    shutdown = float(arguments[arguments.index("--shutdown-timeout") + 1])
    assert pod(worker)["terminationGracePeriodSeconds"] >= shutdown + 10
