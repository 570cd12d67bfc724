"""Settings: what the environment says (`ROUTEQ_*`), read when a bus is made, never at import.

Each field is the variable ``ROUTEQ_<FIELD>``; `docs/settings.md` is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from routeq_mqtt.outbox.options import MAX_BYTES, MAX_JOBS, Confirm, OutboxOptions, WhenFull
from routeq_mqtt.security.guard import Guard
from routeq_mqtt.security.keys import sealing_keys, signing_keys
from routeq_mqtt.security.sealing import Sealer
from routeq_mqtt.security.signing import Signer
from routeq_mqtt.settings.env import PREFIX, environment, secret
from routeq_mqtt.settings.fields import (
    namespace,
    number,
    one_of,
    prefix,
    setting,
    switch,
    up_to,
    whole,
    zero_or_more,
)
from routeq_mqtt.topics import Sharing, Topics
from routeq_mqtt.transport.address import BrokerAddress, Protocol, split

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "mqtt://127.0.0.1:1883"
MAX_PAYLOAD = 256 * 1024


def _started_in() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return Path()


_STARTED_IN = _started_in()
"""What a relative `outbox` counts from: a daemon changes its working directory, not its outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach the bus; what each is for stands beside it, and in `docs/settings.md`.

    Those that may hold a secret are left out of the `repr`; their variables have a twin that
    names a file instead: ``ROUTEQ_PASSWORD_FILE``.
    """

    url: str = setting(
        DEFAULT_URL,
        "The broker: `mqtt[s]://user:password@host:port` or `ws[s]://…/path`; of a cluster "
        "several, separated by commas, see `docs/reliability.md`.",
        is_secret=True,
    )
    username: str | None = setting(None, "User name, where the URL has none.")
    password: str | None = setting(None, "Password, where the URL has none.", is_secret=True)
    protocol: Protocol = setting(
        "auto",
        "`5`, `3.1.1`, or `auto`: 5 where the broker speaks it.",
        read=one_of(*get_args(Protocol)),
    )
    keep_alive: int | None = setting(
        None,
        "Seconds of silence after which a connection is tested, at most: less than what a firewall "
        "or NAT on the way allows.",
        read=up_to(65_535),
        shown="5 to 30",
    )
    ca_file: str | None = setting(
        None,
        "PEM file of the authority that signed the broker's certificate.",
        shown="the system's",
    )
    cert_file: str | None = setting(None, "PEM file of our own certificate, for mutual TLS.")
    key_file: str | None = setting(
        None, "PEM file of its key, not encrypted.", shown="the certificate's file"
    )
    namespace: str = setting(
        "",
        "The bus's own part of the broker, for several buses on one: letters, digits, `-` and `_`; "
        "see `docs/namespaces.md`.",
        read=namespace,
        shown="none",
    )
    intake_prefix: str = setting(
        "$queue/", "In front of a queue's name: where anybody may publish a job.", read=prefix
    )
    delivery_prefix: str = setting(
        "queue/", "In front of a queue's name: where workers listen on mosquitto.", read=prefix
    )
    sharing: Sharing = setting(
        "auto",
        "Who gives a queue's jobs to its workers: `broker`, by shared subscriptions, or "
        "`scheduler`, for brokers without them. The scheduler's setting counts; with `auto` it "
        "tries the broker, and all others do as it says. See `docs/brokers.md`.",
        read=one_of(*get_args(Sharing)),
    )
    events: bool = setting(
        False,
        "Whether a program tells on `routeq/events/<queue>` that it dispatched a job.",
        read=switch,
    )
    timeout: float = setting(10.0, "Seconds that a dispatch may take.", read=number)
    max_payload: int = setting(MAX_PAYLOAD, "Bytes that an envelope may have.", read=whole)
    outbox: str | None = setting(
        None,
        "File where dispatched jobs wait until the broker can be reached; see `docs/edge.md`. "
        "A relative path counts from where the program was started.",
    )
    outbox_confirm: Confirm = setting(
        "stored",
        "Who has a job before it leaves the outbox: `stored`, the scheduler, or `broker`.",
        read=one_of(*get_args(Confirm)),
    )
    outbox_max_jobs: int = setting(MAX_JOBS, "Jobs that an outbox may hold.", read=whole)
    outbox_max_bytes: int = setting(
        MAX_BYTES, "Bytes that an outbox may have on disk, SQLite's log included.", read=whole
    )
    outbox_when_full: WhenFull = setting(
        "refuse",
        "What a full outbox does: `refuse` the new job, or `drop_oldest`.",
        read=one_of(*get_args(WhenFull)),
    )
    outbox_commit_delay: float = setting(
        0.0, "Seconds that a job waits for others to share its commit to disk.", read=zero_or_more
    )
    outbox_max_rate: float | None = setting(
        None, "Jobs that an outbox sends per second at most.", read=number, shown="no limit"
    )
    outbox_linger: float = setting(
        5.0, "Seconds that closing waits for what an outbox can send now.", read=zero_or_more
    )

    signing_keys: str | None = setting(
        None,
        "Keys that sign jobs: `name:secret,…`; the first signs, all verify. Workers that have "
        "any refuse jobs without a signature.",
        is_secret=True,
    )
    accept_unsigned: bool = setting(
        False,
        "Workers with signing keys run jobs without a signature, too: while keys are introduced.",
        read=switch,
    )
    replay_window: float = setting(
        7 * 86_400.0,
        "Seconds for which a signature holds, counted from when the job is due.",
        read=number,
    )
    overrides: bool = setting(
        True,
        "Whether a job's message may set its own `max_tries`, `timeout`, `retry_after` and the "
        "like, within what its class allows; `false`: workers go by the class alone.",
        read=switch,
    )
    encryption_keys: str | None = setting(
        None,
        "Keys that encrypt the jobs' data: `name:base64 of 32 bytes,…`; the first encrypts, "
        "all decrypt. Needs the extra `crypto`.",
        is_secret=True,
    )

    @classmethod
    def from_environment(
        cls, env: Mapping[str, str] | None = None, *, url: str | None = None
    ) -> Settings:
        """Read ``ROUTEQ_URL``, ``ROUTEQ_PROTOCOL``, ``ROUTEQ_CA_FILE``, … .

        Args:
            env: where to read them; default: the environment, and a `.env` file beneath it.
            url: takes precedence over ``ROUTEQ_URL``.

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

    def each(self) -> list[Settings]:
        """These settings for each of the addresses in `url`, in their order."""
        return [replace(self, url=url) for url in split(self.url)]

    def addresses(self) -> list[BrokerAddress]:
        """Where the broker is; several: where the nodes of a cluster are.

        Raises:
            ConfigurationError: a URL, or what goes with it, makes no sense.
        """
        return [one._address() for one in self.each()]  # noqa: SLF001 - our own

    def address(self) -> BrokerAddress:
        """Where the broker is; of several addresses the first.

        Raises:
            ConfigurationError: the URL, or what goes with it, makes no sense.
        """
        return self.addresses()[0]

    def _address(self) -> BrokerAddress:
        return BrokerAddress.parse(
            self.url,
            username=self.username,
            password=self.password,
            protocol=self.protocol,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            keep_alive=self.keep_alive,
            client_prefix=self.topics().client_prefix,
        )

    def outbox_options(self, path: Path | None = None) -> OutboxOptions | None:
        """How the outbox works; None: there is none.

        Args:
            path: its file; default: `outbox`.
        """
        if path is None and self.outbox is None:
            return None
        return OutboxOptions(
            path=path or (_STARTED_IN / self.outbox if self.outbox else Path()),
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
        """The topics of the bus, in its namespace."""
        topics = Topics(
            intake_prefix=self.intake_prefix,
            delivery_prefix=self.delivery_prefix,
            sharing=self.sharing,
        )
        return topics.within(self.namespace)
