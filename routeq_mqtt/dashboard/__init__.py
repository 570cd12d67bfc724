"""The web dashboard: `dashboard(bus, access=...)` is an ASGI app; extra `dashboard`."""

from __future__ import annotations

from routeq_mqtt.dashboard.options import Access, User

try:
    from routeq_mqtt.dashboard.app import dashboard
except ImportError as _error:  # pragma: no cover - `scripts/check_distributions.py` tries it
    raise ImportError(
        f"the dashboard needs {_error.name}; pip install 'routeq-mqtt[dashboard]'"
    ) from _error

__all__ = ["Access", "User", "dashboard"]
