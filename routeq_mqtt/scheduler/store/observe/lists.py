"""Pages of batches, chains, rollouts, limits and unique keys, each in the order of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from routeq_mqtt.scheduler.store.schema.batches import SHOWN
from routeq_mqtt.scheduler.store.sql import observe as sql
from routeq_mqtt.wire import checks
from routeq_mqtt.wire.observe.cursor import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from routeq_mqtt.scheduler.store.engines.engine import SyncConnection
    from routeq_mqtt.wire.observe.lists import (
        BatchList,
        ChainList,
        LimitList,
        LockList,
        RolloutList,
    )

_LAST = "\U0010ffff"
"""Behind every id."""

_STEPS = 100
"""Steps of a chain that are looked at."""


def batches(db: SyncConnection, asked: BatchList) -> dict[str, Any]:
    """Batches, newest first: their ids begin with the time."""
    key = _key(asked.cursor, [_LAST])
    found = db.execute(sql.BATCHES_PAGE, (*key, asked.limit + 1)).fetchall()
    return _page(
        [dict(zip(SHOWN, row, strict=True)) for row in found[: asked.limit]],
        [[row[0]] for row in found],
        asked.limit,
    )


def rollouts(db: SyncConnection, asked: RolloutList) -> dict[str, Any]:
    """Rollouts, newest first: their counters are those of their batches."""
    key = _key(asked.cursor, [_LAST])
    found = db.execute(sql.ROLLOUTS_PAGE, (*key, asked.limit + 1)).fetchall()
    rows = [dict(zip(sql.ROLLOUT, row, strict=True)) for row in found[: asked.limit]]
    return _page(rows, [[row[0]] for row in found], asked.limit)


def chains(db: SyncConnection, asked: ChainList) -> dict[str, Any]:
    """Chains, oldest first: one seek for each, however many steps it has."""
    [last] = _key(asked.cursor, [""])
    rows: list[dict[str, Any]] = []
    keys: list[list[Any]] = []
    while len(keys) <= asked.limit:
        found = db.execute(sql.NEXT_CHAIN, (last,)).fetchone()[0]
        if found is None:
            break
        last = str(found)
        keys.append([last])
        if len(rows) < asked.limit:
            rows.append(_chain(db, last))
    return _page(rows, keys, asked.limit)


def _chain(db: SyncConnection, chain: str) -> dict[str, Any]:
    steps = db.execute(sql.CHAIN_STEPS, (chain, _STEPS)).fetchall()
    over = sum(state == "done" for _, _, state in steps)
    turn = next(((job, state) for job, _, state in steps if state not in {"done", "held"}), None)
    current, state = turn or (None, "over" if over == len(steps) else "held")
    return {
        "id": chain, "queue": steps[0][1], "steps": len(steps), "over": over, "current": current,
        "state": state,
    }  # fmt: skip


def limits(db: SyncConnection, asked: LimitList) -> dict[str, Any]:
    """Limits, by kind and name."""
    key = _key(asked.cursor, [""])
    found = db.execute(sql.LIMITS_PAGE, (*key, asked.limit + 1)).fetchall()
    rows = []
    for name, most, seconds, used in found[: asked.limit]:
        kind, _, of = name.partition(" ")
        rows.append({"kind": kind, "name": of, "most": most, "seconds": seconds, "used": used})
    return _page(rows, [[row[0]] for row in found], asked.limit)


def locks(db: SyncConnection, asked: LockList) -> dict[str, Any]:
    """Unique keys, by class, place and key."""
    key = _key(asked.cursor, ["", "", ""])
    found = db.execute(sql.LOCKS_PAGE, (*key, asked.limit + 1)).fetchall()
    rows = [
        {"kind": kind, "key": name, "job": job, "until": until}
        for kind, _, name, job, until in found[: asked.limit]
    ]
    return _page(rows, [list(row[:3]) for row in found], asked.limit)


def _key(cursor: str | None, first: list[str]) -> list[str]:
    if cursor is None:
        return first
    key = decode_cursor(cursor)
    if [type(part) for part in key] != [str] * len(first):
        checks.refuse("cursor", cursor, "the `next` of a page of the same list")
    return [str(part) for part in key]


def _page(rows: list[dict[str, Any]], keys: list[list[Any]], limit: int) -> dict[str, Any]:
    following = encode_cursor(keys[limit - 1]) if len(keys) > limit else None
    return {"rows": rows, "next": following}
