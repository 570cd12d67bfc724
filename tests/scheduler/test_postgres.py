"""What only PostgreSQL does: its dialect, connections that are lost, and one writer at a time."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from routeq_mqtt import ConfigurationError
from routeq_mqtt.errors import StaleDatabase
from routeq_mqtt.scheduler.intake import schedule_table
from routeq_mqtt.scheduler.store import sql
from routeq_mqtt.scheduler.store.engines.lockers import LeaseLocker
from routeq_mqtt.scheduler.store.engines.postgres.url import PostgresUrl
from routeq_mqtt.scheduler.store.lock import DatabaseHeld
from routeq_mqtt.scheduler.store.rows import StoreUnavailable
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS
from routeq_mqtt.scheduler.store.sql import jobs, observe
from routeq_mqtt.scheduler.store.store import Store
from tests.cluster.postgres import Postgres, need_postgres
from tests.cluster.recorder import TIMEOUT
from tests.scheduler.test_store import row

psycopg = pytest.importorskip("psycopg")

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres: Postgres) -> PostgresUrl:
    return PostgresUrl.parse(postgres.url)


def statements() -> Iterator[str]:
    modules = [
        importlib.import_module(f"{sql.__name__}.{one.name}")
        for one in pkgutil.iter_modules(sql.__path__)
    ]
    for module in (*modules, schedule_table):
        for value in vars(module).values():
            found = value.values() if isinstance(value, dict) else value
            for text in (found,) if isinstance(found, str) else found if _is_many(found) else ():
                if isinstance(text, str) and text.split(maxsplit=1)[:1] in _VERBS:
                    yield text


_VERBS = [["SELECT"], ["INSERT"], ["UPDATE"], ["DELETE"], ["WITH"]]


def _is_many(value: object) -> bool:
    return isinstance(value, tuple) or type(value).__name__ == "dict_values"


async def test_the_server_accepts_every_statement(url: PostgresUrl) -> None:
    from routeq_mqtt.scheduler.store.engines.postgres.dialect import of_columns, translated
    from routeq_mqtt.scheduler.store.engines.postgres.session import connect

    await (await Store.open(url)).close()
    refused = {}
    number = 0
    with connect(url) as db:
        for statement in statements():
            if statement == jobs.TABLES:
                continue  # of files
            for text in (translated(statement), of_columns(statement)):
                number += 1
                try:
                    if text is not None:
                        db.execute(f"PREPARE s{number} AS {text}", prepare=False)
                except psycopg.Error as error:
                    refused[statement] = str(error)
    assert refused == {}
    assert number > 200


def columns(found: list[Any]) -> set[tuple[str, str]]:
    return {(str(table), str(column)) for table, column in found}


async def test_the_tables_are_those_of_the_newest_file(url: PostgresUrl, tmp_path: Path) -> None:
    """Whatever a migration adds to the file, it adds here."""
    file = await Store.open(tmp_path / "routeq.db")
    theirs = await file.database.read(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c "
        "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
    )
    await file.close()
    store = await Store.open(url)
    ours = await store.database.read(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name <> 'lease'"
    )
    # What is a row number in the file.
    assert columns(ours) - {("retained", "number")} == columns(theirs)
    found = await store.database.read("SELECT value FROM meta WHERE key = 'schema'")
    assert found == [(str(len(MIGRATIONS)),)]
    await store.close()


async def test_a_schema_of_a_later_version_is_refused(url: PostgresUrl) -> None:
    store = await Store.open(url)
    await store.database.write("UPDATE meta SET value = ? WHERE key = 'schema'", [("1000",)])
    await store.close()
    with pytest.raises(ConfigurationError, match=r"schema version 1000, .*upgrade"):
        await Store.open(url)


async def test_a_table_of_another_program_is_refused(url: PostgresUrl) -> None:
    store = await Store.open(url)
    await store.database.write("DELETE FROM meta WHERE key = ?", [("schema",)])
    await store.close()
    with pytest.raises(ConfigurationError, match=r"not one of a scheduler; .*schema="):
        await Store.open(url)


# -- connections that are lost -----------------------------------------------------------------


def session_of(store: Store) -> Any:
    return store.database._engine._session  # type: ignore[attr-defined]


def cut_at_commit(session: Any, *, done: bool) -> None:
    """The next commit is done or not; its connection is lost before the answer."""
    connection = session.connected()
    execute = connection.execute

    def cut(statement: Any, *args: Any, **options: Any) -> Any:
        if statement != "COMMIT":
            return execute(statement, *args, **options)
        if done:
            execute(statement, *args, **options)
        connection.pgconn.finish()
        raise psycopg.OperationalError("the connection was cut")

    connection.execute = cut


async def test_a_commit_whose_answer_is_lost_was_done(url: PostgresUrl) -> None:
    store = await Store.open(url)
    await store.take([row("1"), row("2")])
    cut_at_commit(session_of(store), done=True)
    found = await store.parked("q", 10)
    # Else they would never be published: nobody else touches what is released.
    assert [one.id for one in await store.release(found)] == ["1", "2"]
    cut_at_commit(session_of(store), done=True)
    async with store.database.transaction() as work:
        await work.run(jobs.FORGET, ("1",))
    assert await store.get("1") is None
    await store.close()


async def test_a_commit_that_was_cut_off_was_not_done(url: PostgresUrl) -> None:
    store = await Store.open(url)
    cut_at_commit(session_of(store), done=False)
    with pytest.raises(StoreUnavailable, match="nothing was changed"):
        await store.take([row("1")])
    assert await store.get("1") is None
    assert await store.take([row("1")]) == 1
    await store.close()


async def test_what_was_begun_on_a_lost_connection_is_not_done_in_part(url: PostgresUrl) -> None:
    store = await Store.open(url)

    async def change() -> None:
        async with store.database.transaction() as work:
            await work.run(jobs.ORDER, ("pause", "q", 1.0))
            session_of(store).connected().pgconn.finish()
            await work.run(jobs.ORDER, ("pause", "r", 1.0))

    with pytest.raises(StoreUnavailable):
        await change()
    assert await store.database.read(jobs.ORDERS) == []
    await store.close()


async def test_a_server_that_was_killed_is_used_again_when_it_is_back() -> None:
    need_postgres()
    server = Postgres(is_safe=True)
    server.start()
    try:
        store = await Store.open(PostgresUrl.parse(server.url))
        await store.take([row("1")])
        server.kill()
        with pytest.raises(StoreUnavailable):
            await store.take([row("2")])
        with pytest.raises(StoreUnavailable):
            await store.counts()
        assert store.database.is_refused
        server.start()
        assert await store.take([row("1"), row("2")]) == 1
        assert [one.id for one in await store.parked("q", 10)] == ["1", "2"]
        assert await store.database.look(lambda db: db.execute(jobs.COUNTS).fetchall())
        await store.close()
    finally:
        server.close()


async def test_a_cancelled_transaction_is_undone(url: PostgresUrl) -> None:
    store = await Store.open(url)
    engine = store.database._engine
    await engine.begin()
    await engine.run(jobs.ORDER, ("pause", "q", 1.0))
    # Whoever began it was cancelled, and nobody ended it.
    await store.take([row("1")])
    assert await store.database.read(jobs.ORDERS) == []
    await store.close()


# -- one writer --------------------------------------------------------------------------------


async def test_a_second_scheduler_is_refused_until_the_first_has_left(url: PostgresUrl) -> None:
    one = await Store.open(url)
    with pytest.raises(DatabaseHeld):
        await Store.open(url)
    await one.take([row("1")])
    await one.close()
    two = await Store.open(url)
    assert await two.get("1") is not None
    assert two.database.lineage == one.database.lineage
    await two.close()


async def test_who_was_frozen_commits_nothing_after_another_one_took_over(
    url: PostgresUrl,
) -> None:
    frozen = await Store.open(url)
    await frozen.take([row("1")])
    lease = frozen.database._engine._lease  # type: ignore[attr-defined]
    lease._released.set()  # nothing renews it
    lease._thread.join()
    locker = LeaseLocker(url)
    held = None
    while held is None:
        held = await locker.take()
    await locker.aclose()
    two = await Store.open(url, held)
    with pytest.raises(StaleDatabase, match="taken over"):
        await frozen.take([row("2")])
    with pytest.raises(StaleDatabase, match="taken over"):
        async with frozen.database.transaction() as work:
            await work.run(jobs.FORGET, ("1",))
    assert [one.id for one in await two.parked("q", 10)] == ["1"]
    await frozen.close()
    await two.take([row("3")])  # the frozen one gave back nothing that is not its own
    await two.close()


class _Broken:
    """A connection with a fault that is not one of the server."""

    closed = False

    def execute(self, *args: Any) -> None:
        raise RuntimeError("unexpected")

    def close(self) -> None:
        self.closed = True


async def test_a_lease_is_renewed_after_any_error(
    url: PostgresUrl, caplog: pytest.LogCaptureFixture
) -> None:
    store = await Store.open(url)
    lease = store.database._engine._lease  # type: ignore[attr-defined]
    broken = _Broken()
    lease._connection.close()
    lease._connection = broken
    async with asyncio.timeout(TIMEOUT):
        while lease._connection is broken:
            await asyncio.sleep(0.01)
    assert "cannot renew the lease" in caplog.text
    await store.take([row("1")])
    await store.close()


async def test_nobody_takes_over_in_the_middle_of_a_transaction(url: PostgresUrl) -> None:
    one = await Store.open(url)
    locker = LeaseLocker(url)
    async with one.database.transaction() as work:
        await work.run(jobs.ORDER, ("pause", "q", 1.0))
        await one.database.look(_expire)
        assert await locker.take() is None
    await locker.aclose()
    assert len(await one.database.read(jobs.ORDERS)) == 1
    await one.close()


def _expire(db: Any) -> None:
    """As if nothing had renewed the lease."""
    db.execute("SET default_transaction_read_only = off")
    db.execute("UPDATE lease SET until = '-infinity'")


# -- values and places -------------------------------------------------------------------------


async def test_text_is_kept_and_ordered_as_in_the_file(url: PostgresUrl) -> None:
    store = await Store.open(url)
    await store.take([row("a\0b", queue="B"), row("x", queue="a"), row("y", queue="ä")])
    assert await store.parked_queues() == ["B", "a", "ä"]
    [one] = await store.parked("B", 10)
    assert one.id == "a\u2400b"
    assert await store.done([("a\0b", 1, True)], 1.0) == 1
    await store.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace("/postgres?", "/nothing?"), "does not exist"),
        (lambda url: f"{url}&no_such_option=1", "no_such_option"),
    ],
)
async def test_a_server_that_refuses_us_is_an_error_and_not_waited_for(
    postgres: Postgres, change: Callable[[str], str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await Store.open(PostgresUrl.parse(change(postgres.url)))


async def test_a_moment_may_be_a_whole_number_or_have_a_fraction(url: PostgresUrl) -> None:
    store = await Store.open(url)
    await store.take([row("1", run_at=1), row("2", run_at=1.5), row("3", expires_at=None)])
    assert [one.run_at for one in await store.parked("q", 10)] == [1.0, 1.5, 0.0]
    assert await store.database.write(observe.OLD_STATS, [(60, 1796059003.5)]) == 0
    await store.close()
