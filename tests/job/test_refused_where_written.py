"""What could never run, or would mean something else, is refused where it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import routeq_mqtt
from routeq_mqtt import Bus, ConfigurationError, Depends, Job, SyncBus, job, register_type, trigger
from routeq_mqtt.testing import override

HERE = {"Job": Job, "job": job, "Depends": Depends, "__name__": __name__}


def written(text: str) -> dict[str, Any]:
    """What a module with this text defines; its annotations are no texts."""
    names = dict(HERE)
    exec(compile(text, "<test>", "exec", dont_inherit=True), names)  # noqa: S102 - written above
    return names


CLASSES = {
    "async def handle(self): yield 1": "handle is a generator, and a worker would run nothing",
    "def handle(self): yield 1": "handle is a generator",
    "async def handle(self, to): ...": "handle needs 'to', and nothing fills it in; give it a def",
    "def handle(): ...": "lacks self",
    "handle = 3": "handle=3 must be a method",
    "def handle(self): ...\n    async def failed(self): ...": r"called as failed\(self, error\)",
    "def handle(self): ...\n    def failed(self, error, job): ...": r"failed\(self, error\)",
    "def handle(self): ...\n    def failed(self, error): yield": "failed is a generator",
    "def handle(self): ...\n    def unique_key(self, x): ...": r"called as unique_key\(self\)",
    "def handle(self): ...\n    @staticmethod\n    def rate_key(x): ...": r"rate_key\(self\)",
}


@pytest.mark.parametrize("body", CLASSES)
def test_a_class_whose_methods_no_worker_could_call(body: str) -> None:
    with pytest.raises(ConfigurationError, match=CLASSES[body]):
        written(f"class Wrong(Job):\n    {body}")


FUNCTIONS = {
    "@job\nasync def wrong(): yield 1": "wrong is a generator",
    "@job\ndef wrong(): yield 1": "wrong is a generator",
    "@job(failed=lambda: 1)\ndef wrong(): ...": "failed=.* must be a function of the error",
    "@job(unique_key=lambda: 'x')\ndef wrong(a): ...": "unique_key=.* must be a function of a$",
    "@job(rate_key=lambda a, b: 'x')\ndef wrong(a): ...": "rate_key=.* must be a function of a$",
    "@job(concurrency_key=lambda a: a)\ndef wrong(): ...": "must be a function of no arguments",
    "@job(bind=True)\ndef wrong(self): ...": "bind=True is not an option of a job; take one of",
    "class Sender:\n    @job\n    def wrong(self, to): ...": "a method cannot be a job",
}


@pytest.mark.parametrize("text", FUNCTIONS)
def test_a_function_that_no_worker_could_call(text: str) -> None:
    with pytest.raises(ConfigurationError, match=FUNCTIONS[text]):
        written(text)


def test_functions_and_methods_that_fit_are_taken() -> None:
    written(
        "import functools\n"
        "class Right(Job):\n"
        "    async def handle(self, *rest, db=Depends(list), n=3, **more): ...\n"
        "    def failed(self, *error): ...\n"
        "    @classmethod\n    def unique_key(cls): return 'x'\n"
        "    @staticmethod\n    def rate_key(): return 'x'\n"
        "class AlsoRight(Job):\n"
        "    @staticmethod\n    async def handle(): ...\n"
        "class PartlyRight(Job):\n"
        "    handle = functools.partialmethod(lambda self, n: n, 3)\n"
        "@job(unique_key=lambda a, **rest: a, failed=print)\n"
        "def right(a, b=3): ...\n"
    )


NEEDS = {
    "def get(need): ...\n": "the dependency get needs 'need', and nothing fills it in",
    "def get(x=None): ...\nget.__defaults__ = (Depends(get),)\n": "the dependency get needs itself",
    "def inner(x): ...\ndef get(x=Depends(inner)): ...\n": "the dependency inner needs 'x'",
}


@pytest.mark.parametrize("text", NEEDS)
def test_a_dependency_that_nothing_could_make(text: str) -> None:
    for user in (
        "class Wrong(Job):\n    def handle(self, it=Depends(get)): ...",
        "@job\ndef wrong(it=Depends(get)): ...",
    ):
        with pytest.raises(ConfigurationError, match=NEEDS[text]):
            written(text + user)


ARGUMENTS: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "override, value": (override, (print, 4), "override: 4 must be a function"),
    "override, function": (override, (4, print), "override: 4 must be a function"),
    "register_type": (register_type, (int, str, int), "int travels as it is"),
    "trigger": (lambda what: trigger(what)(written_job()), (3,), "=3 must be an MQTT topic filter"),
    "Bus, scheme": (Bus, ("http://host",), "scheme 'http' is unknown"),
    "SyncBus, scheme": (SyncBus, ("http://host",), "scheme 'http' is unknown"),
    "Bus, port": (Bus, ("mqtt://host:99999",), "the port from 1 to 65535"),
    "Bus, number": (Bus, (3,), "url=3 must be a text such as"),
    "Bus, outbox": (lambda what: Bus(outbox=what), (3,), "outbox=3 must name a file"),
}


def written_job() -> type[Job]:
    class OfATrigger(Job, abstract=True):
        pass

    return OfATrigger


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments(name: str) -> None:
    function, arguments, message = ARGUMENTS[name]
    with pytest.raises(ConfigurationError, match=message):
        function(*arguments)


def test_an_annotated_dependency_is_one_however_it_is_written(tmp_path: Path) -> None:
    text = (
        "from typing import Annotated\n"
        "def get(): return 7\n"
        "It = Annotated[int, Depends(get)]\n"
        "Needs = Depends\n"
        "class C{n}(Job, result_ttl=60):\n"
        "    def handle(self, one: Annotated[int, Depends(get)], two: It,"
        " three: Annotated[int, Needs(get)]):\n"
        "        return one + two + three\n"
        "@job\n"
        "def f{n}(x: int, one: It): return x + one\n"
    )
    for number, first in enumerate(("", "from __future__ import annotations\n")):
        names = written(first + text.replace("{n}", str(number)))
        assert names[f"C{number}"]().handle() == 21
        assert names[f"f{number}"].job(x=1).handle() == 8
    with pytest.raises(ConfigurationError, match="annotated with Depends itself"):
        written("from typing import Annotated\n@job\ndef wrong(x: Annotated[int, Depends]): ...")


def test_what_travels_nowhere_says_what_else_there_is() -> None:
    class Anything(Job):
        value: object

        def handle(self) -> None: ...

    with routeq_mqtt.testing.fake(), pytest.raises(routeq_mqtt.PackingError, match="register_type"):
        SyncBus().dispatch(Anything(value=object()))
