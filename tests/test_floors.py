"""The house: files import only from floors below, each third-party package has one home."""

from __future__ import annotations

import ast
import sys
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS: list[set[str]] = [
    {
        "errors",
        "version",
        "clock",
        "notifier",
        "eager",
        "forks",
        "logs",
        "processlock",
        "imports",
        "python",
        "tasks",
    },
    {"topics", "wire"},
    {"boundary"},
    {"transport", "jobs", "outbox", "security", "isolated"},
    {"settings", "presence"},
    {"bus"},
    {"worker", "scheduler"},
    {"service"},
    {"bench", "doctor", "embedded", "otel", "testing"},
    {"dashboard"},
    {"cli"},
    {"django"},
    {"__main__"},
]
"""Modules and packages of `routeq_mqtt`, ground first; those of one floor are strangers."""

WINGS: dict[str, list[set[str]]] = {
    "bus": [
        {"send", "engine"},
        {"features", "outbox", "loop_end"},
        {"bulk", "connection"},
        {"bus"},
        {"default"},
        {"workflows", "sync", "functions"},
    ],
    "worker": [
        {"options", "delivery", "memory", "files"},
        {"execute"},
        {"consume"},
        {"control"},
        {"report"},
        {"quick_lane"},
        {"runner"},
        {"run"},
        {"worker"},
    ],
    "scheduler": [
        {"store"},
        {"clock"},
        {"reply_limit"},
        {"context"},
        {"control"},
        {"features", "lifecycle"},
        {"observe"},
        {"release"},
        {"recovery", "upkeep"},
        {"intake"},
        {"options"},
        {"services"},
        {"inbox"},
        {"scheduler"},
    ],
}
"""The order inside the three large packages: a folder or file imports only from earlier ones."""

HOMES: dict[str, set[str]] = {
    "aiomqtt": {"transport/aio.py"},
    "paho": {"transport/aio.py"},
    "msgpack": {"wire/packing.py"},
    "opentelemetry": {"otel.py"},
    "aiosqlite": {"scheduler/store/engines/sqlite.py"},
    "psycopg": {"scheduler/store/engines/postgres"},
    "tenacity": {"transport/backoff.py"},
    "cronsim": {"jobs/schedule.py"},
    "typer": {"cli"},
    "rich": {"cli/output/screen.py"},
    "uvloop": {"cli/common.py"},
    "cryptography": {"security/sealing.py"},
    "dotenv": {"settings/env.py"},
    "routeq_broker": {"embedded.py"},
    "starlette": {"dashboard"},
    "uvicorn": {"dashboard/serve.py"},
    "django": {"django"},
    "asgiref": {"django"},
}
"""Where each third-party package may be imported: a file, or a whole package."""

STANDARD = sys.stdlib_module_names | {"annotationlib"}  # of Python 3.14

BROKER_HOMES: dict[str, set[str]] = {}
"""The broker needs nothing but Python."""


def files(package: Path) -> Iterator[Path]:
    yield from sorted(package.rglob("*.py"))


def imported(path: Path, known: Container[str] = (), *, types: bool = True) -> set[str]:
    """The modules that a file imports; `types`: also those under `if TYPE_CHECKING`."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    if not types:
        tree.body = [node for node in tree.body if not _is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def modules(package: Path) -> dict[str, Path]:
    named = {}
    for path in files(package):
        parts = path.relative_to(package.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def floor_of(module: str) -> int:
    top = module.split(".")[1]
    found = [number for number, floor in enumerate(FLOORS) if top in floor]
    assert found, f"{module} has no floor; give it one in {Path(__file__).name}"
    return found[0]


def test_a_file_imports_only_from_floors_below() -> None:
    known = modules(ROOT / "routeq_mqtt")
    wrong = []
    for module, path in known.items():
        if module == "routeq_mqtt":
            continue  # the roof: what users import
        for other in imported(path, known):
            if not other.startswith("routeq_mqtt.") or other not in known:
                continue
            same = other.split(".")[1] == module.split(".")[1]
            if not same and floor_of(other) >= floor_of(module):
                wrong.append(f"{module} imports {other}")
    assert not wrong


@pytest.mark.parametrize("package", WINGS)
def test_a_folder_imports_only_from_folders_before_it(package: str) -> None:
    order = {name: number for number, names in enumerate(WINGS[package]) for name in names}
    known = modules(ROOT / "routeq_mqtt")
    wrong = []
    for module, path in known.items():
        _, top, *rest = module.split(".")[:3] if "." in module else (module, "")
        if top != package or not rest:
            continue
        assert rest[0] in order, f"{module} has no place in WINGS of {Path(__file__).name}"
        for other in imported(path, known):
            place = other.split(".")
            if other not in known or place[1:2] != [package] or len(place) < 3:
                continue
            if place[2] != rest[0] and order[place[2]] >= order[rest[0]]:
                wrong.append(f"{module} imports {other}")
    assert not wrong


WITHOUT_CIRCLES = [
    "bench", "bus", "cli", "dashboard", "django", "doctor", "outbox", "presence", "scheduler",
    "security", "settings", "testing", "transport", "wire", "worker",
]  # fmt: skip
"""Packages whose files import each other in one direction, types included."""


@pytest.mark.parametrize("package", [*WITHOUT_CIRCLES, "routeq_broker"])
def test_there_is_no_import_circle_even_for_types(package: str) -> None:
    if package == "routeq_broker":
        known = modules(ROOT / "broker" / package)
    else:
        inner = f"routeq_mqtt.{package}"
        known = {
            name: path
            for name, path in modules(ROOT / "routeq_mqtt").items()
            if name == inner or name.startswith(f"{inner}.")
        }
    graph = {name: imported(path, known) & known.keys() - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_no_folder_has_more_files_than_a_reader_can_scan() -> None:
    folders = [path for path in (ROOT / "routeq_mqtt").rglob("*") if path.is_dir()]
    full = {path.name: len(list(path.glob("[!_]*.py"))) for path in folders}
    assert not {name: count for name, count in full.items() if count > 15}


@pytest.mark.parametrize("package", ["routeq_mqtt", "broker/routeq_broker"])
def test_there_is_no_import_ring_at_run_time(package: str) -> None:
    known = modules(ROOT / package)
    graph = {
        module: imported(path, known, types=False) & known.keys() - {module}
        for module, path in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a ring: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("package", "homes"), [("routeq_mqtt", HOMES), ("broker/routeq_broker", BROKER_HOMES)]
)
def test_each_third_party_package_has_one_home(package: str, homes: dict[str, set[str]]) -> None:
    own = package.rpartition("/")[2]
    strangers = []
    for path in files(ROOT / package):
        where = path.relative_to(ROOT / package).as_posix()
        for name in {name.split(".")[0] for name in imported(path)}:
            if name == own or name in STANDARD:
                continue
            if not any(
                where == home or where.startswith(f"{home}/") for home in homes.get(name, ())
            ):
                strangers.append(f"{where} imports {name}")
    assert not strangers


def test_one_place_starts_all_tasks() -> None:
    """A task that is started elsewhere can end without anybody seeing it: see `tasks.py`."""
    starters = {"create_task", "ensure_future", "TaskGroup"}
    found = []
    for path in files(ROOT / "routeq_mqtt"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "attr", getattr(called, "id", None))
            if name in starters and path.name != "tasks.py":
                found.append(f"{path.relative_to(ROOT)}:{called.lineno if called else 0} {name}")
    assert not found, "start tasks with Tasks.start, Tasks.keep or Scope.start"
