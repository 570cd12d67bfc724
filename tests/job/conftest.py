"""Job classes that a test defines are gone after it; those of other tests are not seen here."""

from __future__ import annotations

import pytest

from routeq_mqtt.jobs import registry


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {
        name: job_class
        for name, job_class in registry._classes.items()
        if job_class.__module__.startswith("tests.job.")
    }
    monkeypatch.setattr(registry, "_classes", ours)
