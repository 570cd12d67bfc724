"""Tests on each Python that is installed: `nox`, or one of them: `nox -s tests-3.13`."""

from __future__ import annotations

import nox

nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Fast tests; `nox -s tests-3.13 -- tests/wire` runs some of them, `-- tests` all."""
    session.install("-e", "./broker", "-e", ".[broker,dev]")
    session.run("pytest", *(session.posargs or ("-m", "not slow", "tests")))


@nox.session
def coverage(session: nox.Session) -> None:
    """Coverage of the fast tests, branches included, also of the processes that they start."""
    session.install("-e", "./broker", "-e", ".[broker,dev]", "coverage>=7.10")
    session.run(
        "coverage", "run", "-m", "pytest", *(session.posargs or ("-m", "not slow", "tests"))
    )
    session.run("coverage", "combine")
    session.run("coverage", "report")
