"""Each check on the embedded broker and on mosquitto: a wrong check shows itself there.

`make conformance` runs these, and writes the table of docs/broker.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from routeq_broker import hashed_line
from tests.broker.server import ROOT, Server
from tests.conformance import checks  # noqa: F401 - registers them
from tests.conformance.registry import ENTRIES, Entry, Site
from tests.conformance.table import MARKER, STATEMENTS_3, STATEMENTS_5, rendered
from tests.conftest import need_mosquitto

KINDS = ("embedded", "mosquitto")


RULES = "user anna\ntopic readwrite open/#\ntopic write $client/+\n"


def started(kind: str, folder: Path, *, users: bool) -> Server:
    """A broker; with `users` only anna may connect, with an identifier as a `Site` gives it."""
    if not users:
        return Server(kind, folder)
    names, rules = folder / "users", folder / "acl"
    names.write_text(hashed_line("anna", "anna", iterations=1_000) + "\n")
    rules.write_text(RULES)
    conf = f"password_file {names}\nacl_file {rules}\nclientid_prefixes n"
    return Server(kind, folder, "--users", str(names), "--acl", str(rules), conf=conf)


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[tuple[str, bool], Server]]:
    running: dict[tuple[str, bool], Server] = {}

    class Started(dict):  # type: ignore[type-arg]
        def __missing__(self, key: tuple[str, bool]) -> Server:
            kind, users = key
            running[key] = self[key] = started(kind, tmp_path_factory.mktemp(kind), users=users)
            return running[key]

    yield Started()
    for server in running.values():
        server.stop()


CASES = [
    pytest.param(
        kind,
        level,
        entry,
        id=f"{kind}-{level}-{entry.name}",
        marks=[pytest.mark.slow] * (kind == "mosquitto"),
    )
    for kind in KINDS
    for entry in ENTRIES
    for level in entry.levels
]


@pytest.mark.parametrize(("broker_kind", "level", "entry"), CASES)
async def test_statement(
    servers: dict[tuple[str, bool], Server],
    broker_kind: str,
    level: int,
    entry: Entry,
    request: pytest.FixtureRequest,
) -> None:
    if broker_kind == "mosquitto":
        need_mosquitto()
        if entry.mosquitto:
            request.applymarker(pytest.mark.xfail(reason=entry.mosquitto, strict=False))
    server = servers[broker_kind, entry.users]
    site = Site(broker_kind, server.port, server.ws_port, level)
    try:
        await entry.check(site)
    finally:
        site.close()


def test_each_statement_is_tested_or_explained() -> None:
    for version, statements, names in (
        (5, STATEMENTS_5, {name for entry in ENTRIES for name in entry.v5}),
        (3, STATEMENTS_3, {name for entry in ENTRIES for name in entry.v3}),
    ):
        assert names <= statements.keys(), (version, names - statements.keys())
        missing = {name for name, why in statements.items() if not why} - names
        assert not missing, (version, missing)


def test_the_table_of_the_document_is_of_now() -> None:
    text = (ROOT / "docs" / "broker.md").read_text()
    assert text.split(MARKER)[1].strip() == rendered(ENTRIES).strip(), "run: make conformance"
