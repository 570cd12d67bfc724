"""Statements that PostgreSQL takes in another form only: what is different, and no more.

- A value that stands where no column tells its type is given one.
- SQLite's `min` and `max` of several values are `least` and `greatest` here.
- A truth is no number, and `meta` has text only.
- In an upsert a column is named with its table.
"""

from __future__ import annotations

from routeq_mqtt.scheduler.store.sql import devices, epoch, files, jobs, limits, retained, special


def _with(statement: str, *changes: tuple[str, str]) -> tuple[str, str]:
    """A statement, and what it is here."""
    text = statement
    for old, new in changes:
        if old not in text:
            raise ValueError(f"{old!r} is not in {statement!r}")
        text = text.replace(old, new)
    return statement, text


_FAILED = ("text", "text", "text", "text", "text", "text", "double precision", "bytea")

_SQLITE_SIZE = "page_count * page_size FROM pragma_page_count, pragma_page_size"
_SIZE = """
sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""

BY_HAND: dict[str, str] = dict(
    (
        _with(jobs.TOKENS, ("value", "decode(value, 'hex')")),
        _with(epoch.READ, ("value", "value::bigint")),
        _with(
            jobs.KEEP_RESULT,
            (
                "?1, ?2, ?3, ?4, ?5 WHERE ?5",
                "?1::text, ?2::bigint, ?3::bytea, ?4::double precision, ?5::boolean WHERE ?5",
            ),
        ),
        _with(
            jobs.FAIL,
            (
                "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?11, ?12, ?13",
                ", ".join(f"?{number}::{kind}" for number, kind in enumerate(_FAILED, 1))
                + ", ?11::bytea, ?12::bytea, ?13::text",
            ),
        ),
        _with(jobs.RESTORE, ("excluded.attempt - ?", "excluded.attempt - ?::boolean::integer")),
        _with(jobs.OLD_RESULTS, ("SELECT max(\n", "SELECT greatest(\n")),
        _with(jobs.CANCELLED, ("?1, 0, 0, ?1", "?1, 0, FALSE, ?1")),
        _with(jobs.FIND, ("LIMIT ?3)", "LIMIT ?3) AS found")),
        _with(files.SIZE, (_SQLITE_SIZE, _SIZE)),
        _with(devices.GO_ON, ("THEN ?2", "THEN ?2::double precision")),
        _with(limits.IDLE_GAUGES, ("?1 - 31622400", "?1::double precision - 31622400")),
        _with(limits.HELD_SLOTS, ("CROSS JOIN", "JOIN")),
        _with(limits.LIMIT_QUEUE, ("min(tokens", "least(gauges.tokens")),
        _with(
            retained.KEEP_RETAINED,
            ("OR REPLACE INTO retained", "INTO retained (topic, digest)"),
            (
                "(?, ?)",
                "(?, ?) ON CONFLICT (topic) DO UPDATE SET digest = excluded.digest, "
                "number = excluded.number",
            ),
        ),
        _with(retained.FORGET_OLDEST, ("rowid", "number")),
        _with(
            special.BROADCASTS,
            ("json_each(?)", "json_array_elements_text(?::json) AS given (value)"),
        ),
        _with(special.BEGIN_BATCH, ("WHERE open", "WHERE batches.open")),
    )
)

ROWS: dict[str, str] = {
    jobs.ADD: """
INSERT INTO jobs (
    id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope, origin,
    marked, era
) SELECT id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope, origin,
    TRUE, era
FROM unnest(
    ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::text[], ?::double precision[], ?::bigint[],
    ?::boolean[], ?::double precision[], ?::bytea[], ?::bytea[], ?::text[]
) WITH ORDINALITY AS given (
    id, queue, attempt, deliveries, state, run_at, seq, durable, expires_at, envelope, origin, era,
    number
) ORDER BY number ON CONFLICT (id) DO NOTHING
""",
    jobs.RELEASE: """
UPDATE jobs SET state = 'released' FROM unnest(?::text[], ?::double precision[]) AS given (id, at)
WHERE jobs.id = given.id AND jobs.run_at = given.at AND jobs.state IN ('parked', 'delayed')
""",
    jobs.DONE: """
UPDATE jobs SET state = 'done', done_at = given.at, envelope = ''::bytea
FROM unnest(?::double precision[], ?::text[], ?::bigint[], ?::boolean[])
    AS given (at, id, attempt, proven)
WHERE jobs.id = given.id AND jobs.state <> 'done' AND jobs.attempt <= given.attempt
    AND (given.proven OR NOT jobs.marked)
""",
}
"""The statements that move every job, as one for many values: each mark is a list, a column.

Two values for one row do no more than one of them: a row that has been changed by these is changed
by them no more.
"""
