"""The FastAPI program of the documents, with the real framework, on the embedded broker."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from routeq_mqtt import Scheduler
from tests.cluster.process import ROOT

pytest.importorskip("fastapi")

BLOCKS = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "features" / "inside.md").read_text(), re.DOTALL
)


def program(name: str, code: str, patch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    patch.setitem(sys.modules, name, module)
    exec(compile(code, name, "exec"), vars(module))  # noqa: S102 - of our own documents
    return module


async def test_the_program_of_the_documents(
    routeq_broker: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert routeq_broker
    program("jobs", BLOCKS[0], monkeypatch)
    app = program("fastapi_program", BLOCKS[2], monkeypatch).app
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        Scheduler(db=tmp_path / "x.db"),
        asyncio.timeout(20),
    ):
        answer = await client.post("/add", params={"one": 3, "other": 4})
        assert answer.status_code == 200, answer.text
        got = await client.get(f"/sums/{answer.json()['id']}")
        assert got.json() == 7
