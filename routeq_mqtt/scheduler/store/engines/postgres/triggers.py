"""The triggers of the database, in PL/pgSQL; what they are for is told in `store.schema`.

Those that look at many rows are triggers of the statement: a counter that is changed once for each
row of a batch would leave as many versions of itself. The others are triggers of the row, which
fire when their statement has done all of its rows, in the order of their names.
"""

from __future__ import annotations

from routeq_mqtt.wire.envelopes.callbacks import CALLBACKS, CATCH, FINALLY, THEN

_OVER = "state = 'done', envelope = ''::bytea"


def _on_row(name: str, event: str, table: str, when: str, body: str, declare: str = "") -> str:
    """A trigger of each row; `when` may not look at tables."""
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$
{declare}
BEGIN
{body}
RETURN NULL;
END $body$;
CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW
    {f"WHEN ({when})" if when else ""} EXECUTE FUNCTION {name}();
"""


def _on_statement(name: str, event: str, table: str, body: str) -> str:
    """A trigger of a statement: its rows are `gone` as they were, and `come` as they are."""
    tables = {
        "INSERT": "NEW TABLE AS come",
        "UPDATE": "OLD TABLE AS gone NEW TABLE AS come",
        "DELETE": "OLD TABLE AS gone",
    }[event]
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
{body}
RETURN NULL;
END $body$;
CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {tables} FOR EACH STATEMENT
    EXECUTE FUNCTION {name}();
"""


def _count(rows: str) -> str:
    """`rows` are queue, state and number; counters are locked in one order."""
    return f"""
INSERT INTO counts (queue, state, n)
    SELECT queue, state, sum(n) FROM ({rows}) AS changed
    GROUP BY queue, state HAVING sum(n) <> 0 ORDER BY queue, state
    ON CONFLICT (queue, state) DO UPDATE SET n = counts.n + excluded.n;
"""


_CANCELLED = f"""
UPDATE jobs SET {_OVER}, outcome = 'cancelled', done_at = jobs.run_at FROM come
    WHERE jobs.id = come.id AND jobs.state <> 'done'
    AND EXISTS (SELECT 1 FROM orders WHERE kind = 'cancel' AND name = come.id);
"""

_LIMITED = """
UPDATE jobs SET state = 'limited' FROM come
    WHERE jobs.id = come.id AND come.state = 'parked' AND jobs.state = 'parked' AND (
        jobs.lane IS NOT NULL
        OR EXISTS (SELECT 1 FROM gauges WHERE name = 'queue ' || jobs.queue)
    );
"""

_JOBS = (
    _on_statement(
        "jobs_in",
        "INSERT",
        "jobs",
        _count("SELECT queue, state, 1 AS n FROM come") + _CANCELLED + _LIMITED,
    )
    + _on_statement("jobs_out", "DELETE", "jobs", _count("SELECT queue, state, -1 AS n FROM gone"))
    + _on_statement(
        "jobs_over",
        "UPDATE",
        "jobs",
        _count("SELECT queue, state, -1 AS n FROM gone UNION ALL SELECT queue, state, 1 FROM come"),
    )
    + _on_row(
        "jobs_cancelled_back",
        "UPDATE OF state",
        "jobs",
        "new.state NOT IN ('released', 'done')",
        f"""
IF EXISTS (SELECT 1 FROM orders WHERE kind = 'cancel' AND name = new.id) THEN
    UPDATE jobs SET {_OVER}, outcome = 'cancelled', done_at = new.run_at WHERE id = new.id;
END IF;
""",
    )
    + _on_row(
        "jobs_cancelled",
        "INSERT",
        "orders",
        "new.kind = 'cancel'",
        f"""
UPDATE jobs SET {_OVER}, outcome = 'cancelled', done_at = new.at
    WHERE id = new.name AND state NOT IN ('released', 'done');
""",
    )
    + _on_row(
        "jobs_unlock",
        "UPDATE OF state",
        "jobs",
        "new.special AND new.state = 'done' AND old.state <> 'done'",
        "DELETE FROM locks WHERE job = new.id AND ends <> 'time';",
    )
)
_FAILED = (
    _on_statement(
        "failed_in",
        "INSERT",
        "failed",
        _count("SELECT queue, 'failed' AS state, 1 AS n FROM come")
        + """
INSERT INTO failed_groups
    SELECT queue, coalesce(job, ''), reason, exception, count(*), min(failed_at), max(failed_at),
        (array_agg(id ORDER BY failed_at DESC, id DESC))[1]
    FROM come GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (queue, job, reason, exception) DO UPDATE SET
        n = failed_groups.n + excluded.n, last_at = excluded.last_at, last_id = excluded.last_id;
""",
    )
    + _on_statement(
        "failed_out",
        "DELETE",
        "failed",
        _count("SELECT queue, 'failed' AS state, -1 AS n FROM gone")
        + """
UPDATE failed_groups AS one SET n = one.n - grouped.n FROM (
        SELECT queue, coalesce(job, '') AS job, reason, exception, count(*) AS n
        FROM gone GROUP BY 1, 2, 3, 4
    ) AS grouped
    WHERE one.queue = grouped.queue AND one.job = grouped.job AND one.reason = grouped.reason
    AND one.exception = grouped.exception;
DELETE FROM failed_groups AS one USING gone
    WHERE one.queue = gone.queue AND one.job = coalesce(gone.job, '')
    AND one.reason = gone.reason AND one.exception = gone.exception AND one.n <= 0;
""",
    )
    + _on_row(
        "failed_group_on",
        "UPDATE OF queue, job, reason, exception, failed_at",
        "failed",
        "",
        """
UPDATE failed_groups SET n = n - 1 WHERE queue = old.queue AND job = coalesce(old.job, '')
    AND reason = old.reason AND exception = old.exception;
INSERT INTO failed_groups VALUES (
        new.queue, coalesce(new.job, ''), new.reason, new.exception, 1, new.failed_at,
        new.failed_at, new.id
    ) ON CONFLICT (queue, job, reason, exception) DO UPDATE SET
        n = failed_groups.n + 1, last_at = excluded.last_at, last_id = excluded.last_id;
DELETE FROM failed_groups WHERE queue = old.queue AND job = coalesce(old.job, '')
    AND reason = old.reason AND exception = old.exception AND n <= 0;
""",
    )
    + _on_row(
        "stats_failed_here",
        "INSERT",
        "failed",
        "new.worker IS NULL",
        """
INSERT INTO stats_here VALUES (new.queue, coalesce(new.job, '?'), new.reason, 1)
    ON CONFLICT (queue, job, reason) DO UPDATE SET n = stats_here.n + 1;
""",
    )
)

_CHAINS = _on_row(
    "chain_goes_on",
    "UPDATE OF state",
    "jobs",
    "new.chain IS NOT NULL AND new.state = 'done' AND old.state <> 'done'",
    f"""
UPDATE jobs SET state = 'parked', run_at = new.done_at
    WHERE chain = new.chain AND step = new.step + 1 AND state = 'held'
    AND new.outcome IS NULL AND NOT EXISTS (SELECT 1 FROM failed WHERE id = new.id);
IF new.outcome = 'cancelled' AND NOT starts_with(new.chain, '{CALLBACKS}') THEN
    UPDATE jobs SET {_OVER}, outcome = 'with its chain', done_at = new.done_at
        WHERE chain = new.chain AND step > new.step AND state = 'held';
END IF;
""",
) + _on_row(
    "failed_forgotten",
    "DELETE",
    "failed",
    "",
    f"""
SELECT chain, step, batch INTO one FROM jobs WHERE id = old.id AND state = 'done';
IF one.chain IS NOT NULL AND NOT starts_with(one.chain, '{CALLBACKS}') THEN
    UPDATE jobs SET {_OVER}, outcome = 'with its chain', done_at = old.failed_at
        WHERE state = 'held' AND chain = one.chain AND step > one.step;
END IF;
IF one.batch IS NOT NULL THEN
    UPDATE jobs SET {_OVER}, outcome = 'not needed', done_at = old.failed_at
        WHERE chain = '{CALLBACKS}' || one.batch AND step = {THEN} AND state = 'held';
END IF;
""",
    "DECLARE one RECORD;",
)

_BATCHES = (
    # Before `batch_called_off`: what comes is counted before it ends.
    _on_row(
        "batch_begins_job",
        "INSERT",
        "jobs",
        "new.batch IS NOT NULL",
        "UPDATE batches SET total = total + 1, pending = pending + 1 WHERE id = new.batch;",
    )
    + _on_row(
        "batch_called_off",
        "INSERT",
        "jobs",
        "new.batch IS NOT NULL AND new.state <> 'done'",
        f"""
IF EXISTS (SELECT 1 FROM batches WHERE id = new.batch AND called_off) THEN
    UPDATE jobs SET {_OVER}, outcome = 'with its batch', done_at = new.run_at WHERE id = new.id;
END IF;
""",
    )
    + _on_row(
        "batch_shrinks",
        "UPDATE OF state",
        "jobs",
        "new.batch IS NOT NULL AND new.state = 'done' AND old.state <> 'done'",
        """
UPDATE batches SET
    pending = pending - 1,
    cancelled = cancelled + (new.outcome IS NOT NULL)::int,
    failed = failed
        + (new.outcome IS NULL AND EXISTS (SELECT 1 FROM failed AS f WHERE f.id = new.id))::int,
    changed_at = new.done_at
    WHERE id = new.batch;
""",
    )
    + _on_row(
        "batch_member_again",
        "UPDATE OF state",
        "jobs",
        "new.batch IS NOT NULL AND new.state <> 'done' AND old.state = 'done'",
        "UPDATE batches SET pending = pending + 1, failed = failed - 1 WHERE id = new.batch;",
    )
    + _on_row(
        "batch_counts",
        "UPDATE OF pending, open, failed",
        "batches",
        "new.failed > 0 OR (new.pending = 0 AND NOT new.open)",
        f"""
UPDATE jobs SET state = 'parked', run_at = new.changed_at
    WHERE chain = '{CALLBACKS}' || new.id AND step = {CATCH} AND state = 'held'
    AND new.failed > 0;
IF new.pending = 0 AND NOT new.open THEN
    UPDATE batches SET finished_at = new.changed_at WHERE id = new.id AND finished_at IS NULL;
    UPDATE jobs SET state = 'parked', run_at = new.changed_at
        WHERE chain = '{CALLBACKS}' || new.id AND state = 'held'
        AND (step = {FINALLY} OR (step = {THEN} AND new.failed = 0 AND new.cancelled = 0));
    UPDATE jobs SET {_OVER}, outcome = 'not needed', done_at = new.changed_at
        WHERE chain = '{CALLBACKS}' || new.id AND state = 'held'
        AND (step = {CATCH} OR (step = {THEN} AND new.cancelled > 0));
END IF;
""",
    )
    + _on_row(
        "batch_forgotten",
        "DELETE",
        "batches",
        "",
        f"""
UPDATE jobs SET {_OVER}, outcome = 'not needed', done_at = old.changed_at
    WHERE chain = '{CALLBACKS}' || old.id AND state = 'held';
DELETE FROM rollouts WHERE id = old.id;
""",
    )
    + _on_row(
        "rollout_fails",
        "UPDATE OF failed",
        "batches",
        "new.failed > old.failed",
        """
UPDATE rollouts SET aborted_at = new.changed_at
    WHERE id = new.id AND aborted_at IS NULL AND new.failed >= abort_at;
""",
    )
    + _on_row(
        "rollout_aborts",
        "UPDATE OF aborted_at",
        "rollouts",
        "new.aborted_at IS NOT NULL AND old.aborted_at IS NULL",
        f"""
UPDATE rollouts SET next_at = NULL WHERE id = new.id;
UPDATE batches SET called_off = TRUE WHERE id = new.id;
UPDATE jobs SET {_OVER}, outcome = 'with its batch', done_at = new.aborted_at
    WHERE batch = new.id AND state NOT IN ('released', 'done');
""",
    )
)

# The newest job's number is the key's.
_NEWEST = """
INSERT INTO gauges (name, most, seconds)
    SELECT DISTINCT ON (name) name, most, seconds FROM (
        SELECT
            CASE WHEN value ->> 'rate' IS NULL THEN 'slots ' ELSE 'rate ' END || (value ->> 'key')
                AS name,
            coalesce(value -> 'rate' ->> 0, value ->> 'slots')::double precision AS most,
            (value -> 'rate' ->> 1)::double precision AS seconds,
            number
        FROM json_array_elements(new.lane::json) WITH ORDINALITY AS given (value, number)
    ) AS named ORDER BY name, number DESC
    ON CONFLICT (name) DO UPDATE SET
        most = excluded.most, seconds = excluded.seconds,
        tokens = CASE WHEN gauges.tokens IS NOT NULL
            THEN least(gauges.tokens, excluded.most) END,
        opens_at = 0
    WHERE gauges.most IS DISTINCT FROM excluded.most
        OR gauges.seconds IS DISTINCT FROM excluded.seconds;
"""

_LIMITS = (
    _on_row(
        "limits_on",
        "UPDATE OF state",
        "jobs",
        "new.state = 'parked' AND NOT new.granted",
        """
UPDATE jobs SET state = 'limited' WHERE id = new.id AND state = 'parked' AND (
    lane IS NOT NULL OR EXISTS (SELECT 1 FROM gauges WHERE name = 'queue ' || new.queue)
);
""",
    )
    + _on_row("limits_named", "INSERT", "jobs", "new.lane IS NOT NULL", _NEWEST)
    + _on_row(
        "limits_renamed",
        "UPDATE OF lane",
        "jobs",
        "new.lane IS NOT NULL AND new.lane IS DISTINCT FROM old.lane",
        _NEWEST,
    )
    + _on_row(
        "limits_another_attempt",
        "UPDATE OF attempt",
        "jobs",
        "new.granted AND new.attempt <> old.attempt",
        """
DELETE FROM slots WHERE job = new.id;
UPDATE jobs SET granted = FALSE, state = CASE state WHEN 'parked' THEN 'limited' ELSE state END
    WHERE id = new.id;
""",
    )
    + _on_row(
        "limits_over",
        "UPDATE OF state",
        "jobs",
        "new.granted AND new.state NOT IN ('parked', 'released')",
        """
DELETE FROM slots WHERE job = new.id;
UPDATE jobs SET granted = FALSE WHERE id = new.id;
""",
    )
    + _on_row(
        "limits_given_back",
        "UPDATE OF granted",
        "jobs",
        "old.granted AND NOT new.granted",
        """
DELETE FROM slots WHERE job = new.id;
IF FOUND THEN
    UPDATE gauges SET tokens = least(most, tokens + 1), opens_at = 0
        WHERE tokens IS NOT NULL AND (
            name = 'queue ' || new.queue
            OR name IN (
                SELECT 'rate ' || (value ->> 'key') FROM json_array_elements(new.lane::json)
                WHERE value ->> 'rate' IS NOT NULL
            )
        );
END IF;
""",
    )
    + _on_row(
        "lane_begins",
        "UPDATE OF state",
        "jobs",
        "new.state = 'limited' AND old.state <> 'limited'",
        """
INSERT INTO lanes (queue, lane, seq) VALUES (new.queue, coalesce(new.lane, ''), new.seq)
    ON CONFLICT DO NOTHING;
""",
    )
    + _on_row(
        "lane_ends",
        "UPDATE OF state",
        "jobs",
        "old.state = 'limited' AND new.state <> 'limited'",
        """
DELETE FROM lanes WHERE queue = old.queue AND lane = coalesce(old.lane, '')
    AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE state = 'limited'
        AND queue = old.queue AND coalesce(jobs.lane, '') = coalesce(old.lane, '')
    );
""",
    )
    + _on_row(
        "slot_taken",
        "INSERT",
        "slots",
        "",
        """
INSERT INTO gauges (name, used) VALUES ('slots ' || new.key, 1)
    ON CONFLICT (name) DO UPDATE SET used = gauges.used + 1;
""",
    )
    + _on_row(
        "slot_free",
        "DELETE",
        "slots",
        "",
        """
UPDATE gauges SET used = used - 1, opens_at = CASE
    WHEN EXISTS (SELECT 1 FROM lanes WHERE blocked_on = gauges.name) THEN 0 ELSE opens_at END
    WHERE name = 'slots ' || old.key;
DELETE FROM gauges
    WHERE name = 'slots ' || old.key AND used <= 0 AND opens_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM lanes WHERE blocked_on = gauges.name);
""",
    )
)

TRIGGERS = _JOBS + _FAILED + _CHAINS + _BATCHES + _LIMITS
"""Their functions, too."""
