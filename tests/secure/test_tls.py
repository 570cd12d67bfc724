"""TLS, certificates, passwords and websockets: from the URL, the environment and flags."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from routeq_mqtt import Bus, ConfigurationError, ConnectionFailed
from routeq_mqtt.settings.settings import Settings
from tests.cluster.cluster import Kind, free_port
from tests.cluster.jobs import Report
from tests.cluster.process import Process
from tests.cluster.recorder import Recorder
from tests.secure.certificates import Authority
from tests.secure.cluster import SecureCluster, password

pytestmark = pytest.mark.slow


class MutualBed(SecureCluster):
    """Clients show certificates instead of passwords; the common name is the user."""

    web_port = 0

    async def start_broker(self) -> None:
        for user in ("producer", "worker", "scheduler", "operator"):
            self.authority.sign(user)
        if self.kind == "mosquitto":
            await super().start_broker()
            return
        flags = ("--tls-cert", f"{self.certificate}", "--tls-key", f"{self.key}")
        acl = ("--acl", f"{self.folder}/services.acl", "--client-ca", f"{self.authority.pem}")
        bind = ("--bind", f"127.0.0.1:{self.port}")
        self.broker = await Process.cli("broker", "broker", *bind, *flags, *acl, env={})
        await self.listening(self.port)

    def _conf(self) -> str:
        self.web_port = free_port()
        path = Path(super()._conf())
        text = path.read_text()
        for name in ("require_certificate", "use_identity_as_username"):
            text = text.replace(f"{name} false", f"{name} true", 1)
        text = text.replace(f"password_file {self.folder}/services.passwd\n", "", 1)
        text += (
            f"listener {self.web_port} 127.0.0.1\nprotocol websockets\n"
            f"certfile {self.certificate}\nkeyfile {self.key}\n"
            f"password_file {self.folder}/services.passwd\nacl_file {self.folder}/services.acl\n"
            "allow_anonymous false\n"
        )
        path.write_text(text)
        return str(path)

    @property
    def env(self) -> dict[str, str]:
        certified = {
            "ROUTEQ_CERT_FILE": str(self.folder / f"{self.role}.pem"),
            "ROUTEQ_KEY_FILE": str(self.folder / f"{self.role}.key"),
        }
        env = super().env | certified
        return {k: v for k, v in env.items() if k not in {"ROUTEQ_USERNAME", "ROUTEQ_PASSWORD"}}


@pytest.fixture
async def mutual(kind: Kind, tmp_path: Path, recorder: Recorder) -> AsyncIterator[MutualBed]:
    one = MutualBed(kind, tmp_path, recorder)
    await one.start_broker()
    try:
        yield one
    finally:
        await one.close()


async def test_a_job_runs_where_certificates_are_the_users(mutual: MutualBed) -> None:
    await mutual.scheduler()
    await mutual.worker()
    settings = Settings(
        url=mutual.url,
        ca_file=str(mutual.authority.pem),
        cert_file=str(mutual.folder / "producer.pem"),
        key_file=str(mutual.folder / "producer.key"),
    )
    async with Bus(settings=settings) as bus:
        await bus.dispatch(Report(key="certified"))
        await mutual.recorder.count("ran", 1)


async def test_who_shows_no_certificate_or_a_strangers_stays_outside(mutual: MutualBed) -> None:
    stranger = Authority(mutual.folder, "stranger")
    pem, key = stranger.sign("scheduler2")
    ca = str(mutual.authority.pem)
    for cert, own in ((None, None), (str(pem), str(key))):
        settings = Settings(url=mutual.url, ca_file=ca, cert_file=cert, key_file=own, timeout=3.0)
        with pytest.raises(ConnectionFailed):
            await Bus(settings=settings).open()


async def test_websockets_with_tls(mutual: MutualBed) -> None:
    if mutual.kind == "embedded":
        pytest.skip("the embedded broker does not speak websockets")
    await mutual.scheduler()
    await mutual.worker()
    user = "producer"
    settings = mutual.settings_of(user, url=f"wss://localhost:{mutual.web_port}/mqtt")
    async with Bus(settings=settings) as bus:
        await bus.dispatch(Report(key="through the web"))
        await bus.bulk(Report(key=str(number)) for number in range(500))
        await mutual.recorder.count("ran", 501)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ca_file": None}, "ROUTEQ_CA_FILE"),
        ({"password": "wrong"}, "refused: .*; check ROUTEQ_USERNAME and ROUTEQ_PASSWORD"),
        ({"password": None}, "refused: .*; no password was given"),
        ({"username": None, "password": None}, "refused: .*; the broker requires authentication"),
        ({"url": "mqtt://localhost", "ca_file": None}, "does it want TLS"),
        ({"url": "wss://localhost"}, "does it speak websockets there"),
    ],
)
async def test_wrong_credentials_are_a_clear_error(
    secure: SecureCluster, change: dict[str, str | None], says: str
) -> None:
    if "url" in change:
        change = {**change, "url": f"{change['url']}:{secure.port}"}
    settings = secure.settings_of("producer", **{"timeout": 3.0, **change})
    with pytest.raises(ConnectionFailed, match=says) as error:
        await Bus(settings=settings).open()
    assert password("producer") not in str(error.value)


async def test_files_that_are_none_are_named(secure: SecureCluster) -> None:
    settings = secure.settings_of("producer", ca_file=str(secure.folder / "nowhere.pem"))
    with pytest.raises(ConfigurationError, match=r"nowhere\.pem"):
        await Bus(settings=settings).open(timeout=3.0)


async def test_secrets_come_from_flags_files_and_env_files_and_are_never_shown(
    secure: SecureCluster,
) -> None:
    """Everything that a process says, and how it was started, is searched for them."""
    await secure.scheduler("--log-level", "debug")
    (secure.folder / "word").write_text(f"{password('worker')}\n")
    dotenv = secure.folder / "worker.env"
    dotenv.write_text(
        f"ROUTEQ_USERNAME=worker\nROUTEQ_PASSWORD_FILE={secure.folder / 'word'}\n"
        "ROUTEQ_URL=mqtts://localhost:1\n"
    )
    worker = await Process.cli(
        "worker", "--env-file", str(dotenv), "--ca-file", str(secure.authority.pem), "worker",
        "--url", secure.url, "--app", "tests.cluster.jobs", "--log-level", "debug",
        env={"ROUTEQ_TEST_RECORDER": str(secure.recorder.port)},
    )  # fmt: skip
    secure.processes.append(worker)
    await worker.says("online")
    async with secure.bus() as bus:
        await bus.dispatch(Report(key="x"))
        await secure.recorder.count("ran", 1)
        shown = [repr(bus.settings), str(bus.settings), repr(bus.settings.address())]
    code, said = await secure.cli("doctor", "--json")
    shown += [said, str(code)]
    refused = await Process.cli(
        "queues", "queues", "--url", f"mqtts://producer:{password('producer')}@localhost:1", env={}
    )
    assert await refused.ended() == 4
    assert "ROUTEQ_PASSWORD" in refused.output
    wrong = await Process.cli(
        "queues", "queues",
        env=secure.env | {"ROUTEQ_URL": f"mqtts://p:{password('p')}/x@localhost:99999"},
    )  # fmt: skip
    assert await wrong.ended() == 4
    for process in (*secure.processes, refused, wrong):
        shown.append(process.output)
    for process in secure.processes:
        shown.append(_command_line(process.pid))
    assert all("hunter2" not in text for text in shown)


def _command_line(pid: int) -> str:
    """What `ps` shows to everybody."""
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_the_environment_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "ROUTEQ_URL=mqtt://file:1\nROUTEQ_USERNAME='file user'\nOTHER=1\nROUTEQ_PASSWORD=a#b$c\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROUTEQ_URL", "mqtt://environment:2")
    settings = Settings.from_environment()
    assert settings.url == "mqtt://environment:2"
    assert settings.username == "file user"
    assert settings.password == "a#b$c"  # noqa: S105
    assert "OTHER" not in os.environ
    monkeypatch.setenv("ROUTEQ_ENV_FILE", "")
    assert Settings.from_environment().username is None
