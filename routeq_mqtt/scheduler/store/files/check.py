"""Whether a scheduler's database is sound, and what is in it. Only reads."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from routeq_mqtt.processlock import ProcessLock
from routeq_mqtt.scheduler.store.files.ours import read_file
from routeq_mqtt.scheduler.store.schema.schema import MIGRATIONS
from routeq_mqtt.scheduler.store.sql import epoch as sql_epoch
from routeq_mqtt.scheduler.store.sql import files as sql

_MOST_PROBLEMS = 20


@dataclass(slots=True, kw_only=True)
class DatabaseReport:
    """What was found.

    Attributes:
        db: path of the file.
        bytes: its size, without the log.
        schema: version of its schema.
        newest: version of the schema that this library knows.
        epoch: how often a scheduler has begun with it, and how many minutes it has written.
        lineage: what it has in common with its copies.
        states: rows of jobs by state, failed records as "failed".
        held_by: process id of the scheduler that uses it now; None: no scheduler does.
        problems: what is wrong; none: it is sound.
    """

    db: str
    bytes: int = 0
    schema: int = 0
    newest: int = len(MIGRATIONS)
    epoch: int | None = None
    lineage: str | None = None
    states: dict[str, int] = field(default_factory=dict)
    held_by: str | None = None
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As a plain map, with ``ok``."""
        return {"ok": not self.problems, **asdict(self)}


def check(path: Path) -> DatabaseReport:
    """Read all of a database; a large one takes as long as reading its file.

    Args:
        path: the SQLite file; a scheduler may be using it.

    Raises:
        ConfigurationError: it is missing, not a database, or not one of a scheduler.
    """
    lock = ProcessLock(Path(f"{path}.lock"))
    report = read_file(path, lambda db: _report(db, path))
    report.held_by = lock.holder() if lock.is_held() else None
    return report


def _report(db: sqlite3.Connection, path: Path) -> DatabaseReport:
    report = DatabaseReport(db=str(path), bytes=path.stat().st_size)
    try:
        db.execute("BEGIN")  # one moment for all of it, beside a scheduler that commits
        _read(db, report)
    except sqlite3.Error as error:
        report.problems.append(f"it cannot be read to its end: {error}")
    return report


def _read(db: sqlite3.Connection, report: DatabaseReport) -> None:
    [(report.schema,)] = db.execute("PRAGMA user_version")
    if report.schema > report.newest:
        report.problems.append(
            f"its schema is of version {report.schema}, this library knows up to {report.newest}: "
            "upgrade routeq-mqtt"
        )
        return
    found = [str(line) for (line,) in db.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")]
    if found != ["ok"]:
        report.problems += found
        return
    report.epoch = _value(db, sql_epoch.READ)
    report.lineage = _value(db, sql_epoch.LINEAGE)
    rows = {(queue, state): n for queue, state, n in db.execute(sql.ROWS)}
    counted = {(queue, state): n for queue, state, n in db.execute(sql.COUNTED)}
    states: Counter[str] = Counter()
    for (_, state), number in rows.items():
        states[state] += number
    report.states = dict(sorted(states.items()))
    for queue, state in sorted(rows.keys() | counted.keys()):
        there, said = rows.get((queue, state), 0), counted.get((queue, state), 0)
        if there != said and len(report.problems) < _MOST_PROBLEMS:
            report.problems.append(
                f"queue {queue!r} has {there} rows in state {state}, its counter says {said}"
            )


def _value(db: sqlite3.Connection, statement: str) -> Any:  # noqa: ANN401 - as it is stored
    """None: a database of an earlier version has none."""
    row = db.execute(statement).fetchone()
    return None if row is None else row[0]
