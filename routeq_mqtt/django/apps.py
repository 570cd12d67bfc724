"""The app: settings, the `jobs.py` of all apps, connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.module_loading import autodiscover_modules

from routeq_mqtt.django import conf
from routeq_mqtt.django.connections import fresh_connections, own_thread
from routeq_mqtt.jobs.calls.around import around_plain_calls, around_runs
from routeq_mqtt.worker.execute.subprocesses import import_first

if TYPE_CHECKING:

    class AppConfig:
        """Django has no types."""

else:
    from django.apps import AppConfig


class RouteqConfig(AppConfig):
    """``INSTALLED_APPS = [..., "routeq_mqtt.django"]``."""

    name: str = "routeq_mqtt.django"
    label: str = "routeq_mqtt"
    verbose_name: str = "routeq-mqtt"

    def ready(self) -> None:
        """Import the module `jobs` of each app that has one.

        Raises:
            ImproperlyConfigured: ``ROUTEQ`` makes no sense; says why.
        """
        conf.apply()
        around_plain_calls(fresh_connections)
        around_runs(own_thread)
        import_first("routeq_mqtt.django.setup")
        autodiscover_modules("jobs")
