"""Two classes of one wire name: an error that names both places, unless one is the other again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from routeq_mqtt.errors import DuplicateJobName
from routeq_mqtt.jobs import registry

ONCE = "from routeq_mqtt import Job\n\nclass RegistryOrder(Job):\n    handle = print\n"
TWICE = ONCE + "\nclass RegistryOrder(Job):\n    handle = print\n"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.startswith("registry_of_")]:
        del sys.modules[name]
    for name in ("RegistryOrder",):
        registry._classes.pop(name, None)
        registry._places.pop(name, None)


def _import(folder: Path, name: str, text: str) -> ModuleType:
    (folder / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def test_one_name_twice_in_one_module_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(DuplicateJobName) as raised:
        _import(tmp_path, "registry_of_one", TWICE)
    path = tmp_path / "registry_of_one.py"
    assert f"({path}, line 3)" in str(raised.value)
    assert f"({path}, line 6)" in str(raised.value)


def test_one_name_in_two_modules_names_both_files(tmp_path: Path) -> None:
    _import(tmp_path, "registry_of_one", ONCE)
    with pytest.raises(DuplicateJobName) as raised:
        _import(tmp_path, "registry_of_two", ONCE)
    for name in ("registry_of_one", "registry_of_two"):
        assert f"{name}.RegistryOrder ({tmp_path / name}.py, line 3)" in str(raised.value)


def test_a_reload_and_a_second_import_replace_the_class(tmp_path: Path) -> None:
    module = _import(tmp_path, "registry_of_one", ONCE)
    (tmp_path / "registry_of_one.py").write_text("\n\n" + ONCE)
    importlib.reload(module)
    del sys.modules["registry_of_one"]
    again = importlib.import_module("registry_of_one")
    assert registry.lookup("RegistryOrder") is again.RegistryOrder


def test_cells_of_a_notebook_replace_the_class() -> None:
    """As IPython runs them: each is compiled by itself, in one namespace."""
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in (ONCE, ONCE, "# edited\n" + ONCE):
        exec(compile(cell, "<cell>", "exec"), names)  # noqa: S102 - as a notebook does
    assert registry.lookup("RegistryOrder") is names["RegistryOrder"]


def test_a_function_may_define_a_class_again() -> None:
    def define() -> None:
        exec(ONCE, {"__name__": "registry_of_function"})  # noqa: S102

    define()
    define()
