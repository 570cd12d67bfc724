"""Options of a job class beside its fields: class keywords, and fields that are called like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.jobs.backoff import Exponential
from routeq_mqtt.jobs.options import OPTIONS, check_keywords, check_option
from routeq_mqtt.wire.display import shown

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, MutableMapping

    from routeq_mqtt.jobs.job import Job

CHOSEN = "_job_chosen"
"""Attribute of a job: options of its own whose names are those of fields."""

OF_THE_CLASS = frozenset(
    {"name", "dont_retry_on", "unique_for", "unique_until", "debounce_for", "throttle_for"}
    | {"rate_limit", "concurrency_limit", "without_overlapping", "across_queues", "overrides"}
    | {"middleware", "abstract"}
)
"""Options that one job cannot have of its own."""

_KEYWORDS = frozenset({*OPTIONS, "middleware", "abstract"})


def refuse_keywords(where: str, keywords: Mapping[str, Any], error: TypeError) -> None:
    """Refuse class keywords that are no options, and that no other base takes.

    Raises:
        ConfigurationError: names the first, its value and the options.
    """
    if keywords and "takes no keyword arguments" in str(error):
        name, value = next(iter(keywords.items()))
        raise ConfigurationError(
            f"{where}: {name}={shown(value)} is not an option of a job; "
            f"take one of {', '.join(sorted(_KEYWORDS))}"
        ) from None


class _Said:
    """Options of a class of which some have the names of fields."""

    def __init__(self, job_class: type[Job], kept: Mapping[str, Any]) -> None:
        self._class = job_class
        self._options = kept

    def __getattr__(self, option: str) -> Any:  # noqa: ANN401 - an option's value
        if option in self._options:
            return self._options[option]
        return getattr(self._class, option)


def take_keywords(job_class: type, keywords: MutableMapping[str, Any]) -> dict[str, Any]:
    """The options among the keywords of a class; the others stay for its other bases.

    Raises:
        ConfigurationError: one of the others was meant to be an option.
    """
    found = {name: keywords.pop(name) for name in _KEYWORDS & keywords.keys()}
    check_keywords(job_class.__name__, keywords)
    if "abstract" in found:
        job_class.abstract = found.pop("abstract")  # type: ignore[attr-defined]
    return found


def set_keywords(job_class: type[Job], keywords: Mapping[str, Any], fields: Container[str]) -> None:
    """Set the options of a class, beside the fields where those have their names."""
    body = vars(job_class)
    name = keywords.get("name", job_class.__name__)
    kept: dict[str, Any] = {}
    for base in reversed(job_class.__mro__[1:]):
        kept.update(vars(base).get("_job_kept", {}))
    for option in OPTIONS:
        if option in fields:
            before = getattr(super(job_class, job_class), option)
            kept[option] = keywords.get(option, kept.get(option, before))
        elif option in keywords:
            setattr(job_class, option, keywords[option])
    if "name" in fields:
        kept["name"] = name
    elif "name" not in body:
        job_class.name = name
    if "middleware" in keywords:
        job_class.middleware = keywords["middleware"]
    job_class._job_kept = kept
    job_class._job_said = cast("type[Job]", _Said(job_class, kept)) if kept else job_class
    if kept:
        _make_room(job_class, kept, {option for option in keywords if option in kept})


def _make_room(job_class: type[Job], kept: Mapping[str, Any], here: set[str]) -> None:
    job_class._job_hidden -= kept.keys()
    job_class._job_own -= kept.keys()
    job_class._job_keywords = frozenset(here)  # type: ignore[attr-defined]


def name_of(job_class: type[Job]) -> str:
    """The wire name of a class, also where it has a field called `name`."""
    name: str = job_class._job_said.name
    return name


def options_of(job_class: type[Job]) -> type[Job]:
    """What the options of a class are read from: it, or a view where fields have their names."""
    return job_class._job_said


MISSING: Any = object()


def said_by(owner: type, option: str) -> Any:  # noqa: ANN401 - an option's value
    """What a class itself says of an option, its bases left out; `MISSING`: nothing."""
    kept: Mapping[str, Any] = getattr(owner, "_job_kept", {})
    if option not in kept:
        return vars(owner).get(option, MISSING)
    return kept[option] if option in vars(owner).get("_job_keywords", ()) else MISSING


def check_own(where: str, option: str, value: object) -> None:
    """Check an option of one job.

    Raises:
        ConfigurationError: it is wrong, or for a class only, or there is no such option.
    """
    if option in OF_THE_CLASS or isinstance(value, Exponential):
        raise ConfigurationError(
            f"{where}: {option}={shown(value)} cannot be set on one job; set it in the class"
        )
    if option not in OPTIONS:
        check_keywords(where, [option])
        raise ConfigurationError(f"{where}: {option}={shown(value)} is not an option of a job")
    check_option(where, option, value)
