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
    {"errors", "version", "clock", "signal", "begun", "processlock"},
    {"topics", "wire", "environment", "setting"},
    {"transport", "job", "outbox", "security"},
    {"settings", "presence"},
    {"bus"},
    {"worker", "scheduler"},
    {"bench", "doctor", "embedded", "testing"},
    {"cli"},
]
"""Modules and packages of `routeq_mqtt`, ground first; those of one floor are strangers."""

HOMES: dict[str, set[str]] = {
    "aiomqtt": {"transport/aio.py"},
    "paho": {"transport/aio.py"},
    "msgpack": {"wire/packing.py"},
    "aiosqlite": {"scheduler/database.py"},
    "tenacity": {"transport/patience.py"},
    "cronsim": {"job/schedule.py"},
    "typer": {"cli"},
    "rich": {"cli/screen.py"},
    "uvloop": {"cli/common.py"},
    "cryptography": {"security/sealing.py"},
    "dotenv": {"environment.py"},
    "routeq_broker": {"embedded.py"},
}
"""Where each third-party package may be imported: a file, or a whole package."""

STANDARD = sys.stdlib_module_names | {"annotationlib"}  # of Python 3.14

BROKER_HOMES: dict[str, set[str]] = {"amqtt": {"packets.py"}, "aiosqlite": {"journal.py"}}


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
