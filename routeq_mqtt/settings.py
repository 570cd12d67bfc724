"""Settings: what the environment says (`ROUTEQ_*`), read when a bus is made, never at import.

Each field is the variable ``ROUTEQ_<FIELD>``; `docs/settings.md` is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from routeq_mqtt.environment import PREFIX, environment, secret
from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.outbox.options import MAX_BYTES, MAX_JOBS, Confirm, OutboxOptions, WhenFull
from routeq_mqtt.security.guard import Guard
from routeq_mqtt.security.keys import sealing_keys, signing_keys
from routeq_mqtt.security.sealing import Sealer
from routeq_mqtt.security.signing import Signer
from routeq_mqtt.topics import Topics
from routeq_mqtt.transport.address import BrokerAddress, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_URL = "mqtt://127.0.0.1:1883"
MAX_PAYLOAD = 256 * 1024


def _text(name: str, value: str) -> str:
    return value


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < inf:
        raise ConfigurationError(f"{name}={value!r} must be a number above 0")
    return number


def _prefix(name: str, value: str) -> str:
    if not value.endswith("/") or len(value) < 2 or any(char in value for char in "+#\0"):
        raise ConfigurationError(
            f"{name}={value!r} must be the beginning of a topic: it ends in /, without + and #"
        )
    return value


def _zero_or_more(name: str, value: str) -> float:
    return 0.0 if value.strip() in {"0", "0.0"} else _number(name, value)


def _switch(name: str, value: str) -> bool:
    switches = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if value.lower() not in switches:
        raise ConfigurationError(f"{name}={value!r} must be true or false")
    return switches[value.lower()]


def _whole(name: str, value: str) -> int:
    return int(_number(name, value))


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in choices:
            raise ConfigurationError(
                f"{name}={value!r} is unknown; use one of {', '.join(choices)}"
            )
        return value

    return read


def about(
    text: str,
    *,
    read: Callable[[str, str], object] = _text,
    shown: str | None = None,
) -> dict[str, object]:
    """What a field is for, how its variable is read, and how its default is shown."""
    return {"about": text, "read": read, "shown": shown}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach the bus; what each is for stands beside it, and in `docs/settings.md`.

    Those that may hold a secret are left out of the `repr`; their variables have a twin that
    names a file instead: ``ROUTEQ_PASSWORD_FILE``.
    """

    url: str = field(
        default=DEFAULT_URL,
        repr=False,
        metadata=about("The broker: `mqtt[s]://user:password@host:port` or `ws[s]://…/path`."),
    )
    username: str | None = field(default=None, metadata=about("User name, where the URL has none."))
    password: str | None = field(
        default=None, repr=False, metadata=about("Password, where the URL has none.")
    )
    protocol: Protocol = field(
        default="auto",
        metadata=about(
            "`5`, `3.1.1`, or `auto`: 5 where the broker speaks it.",
            read=_one_of(*get_args(Protocol)),
        ),
    )
    ca_file: str | None = field(
        default=None,
        metadata=about(
            "PEM file of the authority that signed the broker's certificate.", shown="the system's"
        ),
    )
    cert_file: str | None = field(
        default=None, metadata=about("PEM file of our own certificate, for mutual TLS.")
    )
    key_file: str | None = field(
        default=None,
        metadata=about("PEM file of its key, not encrypted.", shown="the certificate's file"),
    )
    intake_prefix: str = field(
        default="$queue/",
        metadata=about(
            "In front of a queue's name: where anybody may publish a job.", read=_prefix
        ),
    )
    delivery_prefix: str = field(
        default="queue/",
        metadata=about(
            "In front of a queue's name: where workers listen on mosquitto.", read=_prefix
        ),
    )
    events: bool = field(
        default=False,
        metadata=about(
            "Whether a program tells on `routeq/events/<queue>` that it dispatched a job.",
            read=_switch,
        ),
    )
    timeout: float = field(
        default=10.0, metadata=about("Seconds that a dispatch may take.", read=_number)
    )
    max_payload: int = field(
        default=MAX_PAYLOAD, metadata=about("Bytes that an envelope may have.", read=_whole)
    )
    outbox: str | None = field(
        default=None,
        metadata=about(
            "File where dispatched jobs wait until the broker can be reached; see `docs/edge.md`."
        ),
    )
    outbox_confirm: Confirm = field(
        default="stored",
        metadata=about(
            "Who has a job before it leaves the outbox: `stored`, the scheduler, or `broker`.",
            read=_one_of(*get_args(Confirm)),
        ),
    )
    outbox_max_jobs: int = field(
        default=MAX_JOBS, metadata=about("Jobs that an outbox may hold.", read=_whole)
    )
    outbox_max_bytes: int = field(
        default=MAX_BYTES,
        metadata=about("Bytes that the envelopes in an outbox may have together.", read=_whole),
    )
    outbox_when_full: WhenFull = field(
        default="refuse",
        metadata=about(
            "What a full outbox does: `refuse` the new job, or `drop_oldest`.",
            read=_one_of(*get_args(WhenFull)),
        ),
    )
    outbox_commit_delay: float = field(
        default=0.0,
        metadata=about(
            "Seconds that a job waits for others to share its commit to disk.", read=_zero_or_more
        ),
    )
    outbox_max_rate: float | None = field(
        default=None,
        metadata=about(
            "Jobs that an outbox sends per second at most.", read=_number, shown="no limit"
        ),
    )
    outbox_linger: float = field(
        default=5.0,
        metadata=about(
            "Seconds that closing waits for what an outbox can send now.", read=_zero_or_more
        ),
    )

    signing_keys: str | None = field(
        default=None,
        repr=False,
        metadata=about(
            "Keys that sign jobs: `name:secret,…`; the first signs, all verify. Workers that have "
            "any refuse jobs without a signature."
        ),
    )
    accept_unsigned: bool = field(
        default=False,
        metadata=about(
            "Workers with signing keys run jobs without a signature, too: while keys are "
            "introduced.",
            read=_switch,
        ),
    )
    replay_window: float = field(
        default=7 * 86_400.0,
        metadata=about(
            "Seconds for which a signature holds, counted from when the job is due.", read=_number
        ),
    )
    encryption_keys: str | None = field(
        default=None,
        repr=False,
        metadata=about(
            "Keys that encrypt the jobs' data: `name:base64 of 32 bytes,…`; the first encrypts, "
            "all decrypt. Needs the extra `crypto`."
        ),
    )

    @classmethod
    def from_environment(
        cls, env: Mapping[str, str] | None = None, *, url: str | None = None
    ) -> Settings:
        """Read ``ROUTEQ_URL``, ``ROUTEQ_PROTOCOL``, ``ROUTEQ_CA_FILE``, … .

        Args:
            env: where to read them; default: the environment, and a `.env` file beneath it.
            url: beats ``ROUTEQ_URL``.

        Raises:
            ConfigurationError: a value makes no sense; names the variable.
        """
        env = environment() if env is None else env
        values: dict[str, Any] = {}
        for spec in fields(cls):
            name = f"{PREFIX}{spec.name.upper()}"
            value = env.get(name) if spec.repr else secret(env, name)
            if value:
                values[spec.name] = spec.metadata["read"](name, value)
        if url is not None:
            values["url"] = url
        return cls(**values)

    def address(self) -> BrokerAddress:
        """Where the broker is.

        Raises:
            ConfigurationError: the URL, or what goes with it, makes no sense.
        """
        return BrokerAddress.parse(
            self.url,
            username=self.username,
            password=self.password,
            protocol=self.protocol,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )

    def outbox_options(self, path: Path | None = None) -> OutboxOptions | None:
        """How the outbox works; None: there is none.

        Args:
            path: its file; default: `outbox`.
        """
        if path is None and self.outbox is None:
            return None
        return OutboxOptions(
            path=path or Path(self.outbox or ""),
            confirm=self.outbox_confirm,
            max_jobs=self.outbox_max_jobs,
            max_bytes=self.outbox_max_bytes,
            when_full=self.outbox_when_full,
            commit_delay=self.outbox_commit_delay,
            max_rate=self.outbox_max_rate,
            linger=self.outbox_linger,
        )

    def guard(self) -> Guard:
        """What signs and encrypts, checks and decrypts.

        Raises:
            ConfigurationError: a key cannot be read (it is not shown); `cryptography` is missing.
        """
        signer = sealer = None
        if self.signing_keys:
            keys = signing_keys(self.signing_keys, f"{PREFIX}SIGNING_KEYS")
            required = not self.accept_unsigned
            signer = Signer(keys, window=self.replay_window, required=required)
        if self.encryption_keys:
            sealer = Sealer(sealing_keys(self.encryption_keys, f"{PREFIX}ENCRYPTION_KEYS"))
        return Guard(signer, sealer)

    def topics(self) -> Topics:
        """The topics of the bus."""
        return Topics(intake_prefix=self.intake_prefix, delivery_prefix=self.delivery_prefix)
