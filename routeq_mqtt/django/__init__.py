"""Django: `INSTALLED_APPS = ["routeq_mqtt.django"]`, settings `ROUTEQ`, `manage.py routeq`."""

from routeq_mqtt.django.dispatch import dispatch_on_commit, sync_bus

__all__ = ["dispatch_on_commit", "sync_bus"]
