"""``ROUTEQ`` of Django's settings: the names of docs/settings.md without their prefix."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.settings.env import PREFIX, put_beneath
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = {spec.name.upper() for spec in fields(Settings)}
_NAMES |= {f"{spec.name.upper()}_FILE" for spec in fields(Settings) if not spec.repr}
_NAMES |= {"DB"}


def apply() -> None:
    """Let every bus, worker and scheduler of this process have what ``ROUTEQ`` says.

    Variables of the environment take precedence.

    Raises:
        ImproperlyConfigured: there is no such setting, or its value makes no sense.
    """
    said = getattr(settings, "ROUTEQ", {})
    if not isinstance(said, dict):
        raise ImproperlyConfigured(f"ROUTEQ={shown(said)} must be a dict: {{'URL': 'mqtt://…'}}")
    variables = {f"{PREFIX}{name}": _text(name, value) for name, value in _given(said).items()}
    try:
        Settings.from_environment(variables).address()
    except ConfigurationError as error:
        raise ImproperlyConfigured(f"ROUTEQ: {error}") from None
    put_beneath(variables)


def _given(said: Mapping[Any, Any]) -> dict[str, Any]:
    for name in said:
        if name not in _NAMES:
            raise ImproperlyConfigured(
                f"ROUTEQ: there is no setting {name!r}; there are {', '.join(sorted(_NAMES))}"
            )
    return {name: value for name, value in said.items() if value is not None}


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Path):
        return str(value)
    raise ImproperlyConfigured(f"ROUTEQ[{name!r}]={shown(value)} must be a text or a number")
