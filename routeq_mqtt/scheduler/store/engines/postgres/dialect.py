"""The stores' statements, which are written for SQLite, as PostgreSQL takes them.

Most need other marks for their values only. What one of them says differently is in `by_hand`.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import count

from routeq_mqtt.scheduler.store.engines.postgres.by_hand import BY_HAND, ROWS

_KEYS = {
    "meta": ("key", "value"),
    "given_ids": ("session, number",),
    "triggers": ("pattern, job",),
    "locks": ("class, place, key",),
    "answered": ("id",),
    "stats": ("step, at, queue, job",),
    "stats_totals": ("queue, job",),
    "stats_workers": ("worker",),
}
"""Of tables whose rows are replaced: the key, and the other columns of `meta`."""

_REPLACE = re.compile(r"\s*INSERT OR REPLACE INTO (\w+)\s*(?:\(([\w, \n]+)\))?\s*VALUES")
_LIST = re.compile(r"SELECT value FROM json_each\(\?\)")
_BYTES = re.compile(r"x'([0-9a-f]*)'")
_NULL = re.compile(r"(\?\d+) IS NULL")
_MARK = re.compile(r"\?(\d*)")


@cache
def translated(statement: str) -> str:
    """A statement for PostgreSQL, with its values as ``$1``."""
    text = _with_conflict(BY_HAND.get(statement, statement))
    text = _NULL.sub(r"\1::text IS NULL", text)
    return _marked(_LIST.sub("SELECT json_array_elements_text(?::json)", text))


@cache
def of_columns(statement: str) -> str | None:
    """The same for many values at once, each mark a list; None: there is none."""
    text = ROWS.get(statement)
    return None if text is None else _marked(text)


def _marked(text: str) -> str:
    numbers = count(1)
    text = _BYTES.sub(r"'\\x\1'::bytea", text)
    return _MARK.sub(lambda mark: f"${mark[1] or next(numbers)}", text)


def _with_conflict(text: str) -> str:
    """`INSERT OR REPLACE` as an upsert: no trigger hangs on what it would delete."""
    found = _REPLACE.match(text)
    if found is None:
        return text
    table, named = found[1], found[2]
    key, *others = _KEYS[table]
    columns = [name.strip() for name in named.split(",")] if named else [key, *others]
    keys = {name.strip() for name in key.split(",")}
    changed = ", ".join(f"{one} = excluded.{one}" for one in columns if one not in keys)
    begun = text.replace("INSERT OR REPLACE", "INSERT", 1).rstrip()
    return f"{begun} ON CONFLICT ({key}) DO UPDATE SET {changed}"
