"""Settings from the environment, and the broker's URL."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from routeq_mqtt import ConfigurationError
from routeq_mqtt.settings.env import environment
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.transport.address import BrokerAddress


def test_without_an_environment_everything_has_its_default() -> None:
    assert Settings.from_environment({}) == Settings()
    assert str(Settings().address()) == "mqtt://127.0.0.1:1883"


def test_an_empty_variable_is_none() -> None:
    names = ["URL", "PROTOCOL", "CA_FILE", "CERT_FILE", "KEY_FILE", "INTAKE_PREFIX",
             "DELIVERY_PREFIX", "TIMEOUT", "MAX_PAYLOAD"]  # fmt: skip
    assert Settings.from_environment({f"ROUTEQ_{name}": "" for name in names}) == Settings()


def test_every_variable_is_read() -> None:
    settings = Settings.from_environment(
        {
            "ROUTEQ_URL": "mqtts://u:p@h:1",
            "ROUTEQ_PROTOCOL": "3.1.1",
            "ROUTEQ_CA_FILE": "ca",
            "ROUTEQ_CERT_FILE": "cert",
            "ROUTEQ_KEY_FILE": "key",
            "ROUTEQ_INTAKE_PREFIX": "in/",
            "ROUTEQ_DELIVERY_PREFIX": "out/",
            "ROUTEQ_TIMEOUT": "2.5",
            "ROUTEQ_MAX_PAYLOAD": "1000",
        }
    )
    assert settings.address() == BrokerAddress(
        host="h", port=1, tls=True, username="u", password="p",
        protocol="3.1.1", ca_file="ca", cert_file="cert", key_file="key",
    )  # fmt: skip
    assert (settings.timeout, settings.max_payload) == (2.5, 1000)
    assert settings.topics().shared("q") == ("$share/routeq/out/q", "$share/routeq/in/q")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROTOCOL", "4"),
        ("TIMEOUT", "soon"),
        ("TIMEOUT", "0"),
        ("TIMEOUT", "-1"),
        ("TIMEOUT", "nan"),
        ("TIMEOUT", "inf"),
        ("MAX_PAYLOAD", "inf"),
        ("MAX_PAYLOAD", "1e999"),
        ("INTAKE_PREFIX", "queue"),
        ("INTAKE_PREFIX", "/"),
        ("DELIVERY_PREFIX", "a/+/"),
        ("DELIVERY_PREFIX", "#/"),
        ("KEEP_ALIVE", "0.5"),
        ("KEEP_ALIVE", "65536"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^ROUTEQ_{name}='"):
        Settings.from_environment({f"ROUTEQ_{name}": value})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://h", "mqtt://h:1883"),
        ("h", "mqtt://h:1883"),
        ("h:1884", "mqtt://h:1884"),
        ("mqtts://h", "mqtts://h:8883"),
        ("ws://h", "ws://h:80/mqtt"),
        ("wss://h:444/path", "wss://h:444/path"),
        ("wss://h/path?X-Amz-Signature=secret", "wss://h:443/path?***"),
        ("mqtt://[fe80::1%25eth0]:5", "mqtt://[fe80::1%eth0]:5"),
        ("mqtt://[::1]:5", "mqtt://[::1]:5"),
        ("mqtt://user:secret@h", "mqtt://h:1883"),
    ],
)
def test_a_url_is_read(url: str, shown: str) -> None:
    assert str(BrokerAddress.parse(url)) == shown


def test_a_presigned_url_keeps_its_query() -> None:
    url = "wss://h/mqtt?X-Amz-Date=20261130T000000Z&X-Amz-Signature=a%2Fb%3D"
    path = BrokerAddress.parse(url).websocket_path
    assert path == "/mqtt?X-Amz-Date=20261130T000000Z&X-Amz-Signature=a%2Fb%3D"
    assert BrokerAddress.parse("ws://h?x=1").websocket_path == "/mqtt?x=1"


def test_the_zone_of_an_address_is_unescaped() -> None:
    assert BrokerAddress.parse("mqtt://[fe80::1%25eth0]").host == "fe80::1%eth0"
    assert BrokerAddress.parse("mqtt://[fe80::1%2525]").host == "fe80::1%25"


def test_user_and_password_may_be_escaped() -> None:
    address = BrokerAddress.parse("mqtt://us%40er:p%2Fw%3A@h")
    assert (address.username, address.password) == ("us@er", "p/w:")


@pytest.mark.parametrize(
    "url",
    [
        "mqtt://user:secret@h:99999",
        "mqtt://user:secret@h:0",
        "mqtt://user:secret@h:port",
        "mqtt://user:secret@",
        "http://user:secret@h",
        "mqtt://user:sec/ret@h",
        "mqtt://user:sec#ret@h:1883",
        "mqtt://user:sec?ret@h",
        "mqtt://user:@secret@h:x",
        "user:secret@h:x",
        "mqtt://user:secret@[::1",
        "wss://h:x/mqtt?signature=secret",
    ],
)
def test_a_wrong_url_is_one_clear_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^broker URL '") as caught:
        BrokerAddress.parse(url)
    for secret in ("secret", "ret@", "sec/", "sec?", "'sec", "user"):
        assert secret not in str(caught.value).partition(";")[0]


def test_the_password_is_never_shown() -> None:
    settings = Settings(url="mqtt://user:secret@h")
    assert "secret" not in f"{settings!r} {settings.address()!r} {settings.address()}"


@pytest.mark.parametrize(
    ("line", "name"),
    [("ROUTEQ_URL mqtt://secret", "ROUTEQ_URL"), ('ROUTEQ_PASSWORD="secret', "ROUTEQ_PASSWORD")],
)
def test_a_line_of_an_env_file_that_is_none_is_named_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, name: str
) -> None:
    path = tmp_path / "worker.env"
    path.write_text(f"PS1 of somebody else\n\n{line}\nROUTEQ_DB=x.db\n")
    monkeypatch.setenv("ROUTEQ_ENV_FILE", str(path))
    with pytest.raises(ConfigurationError, match=rf"worker\.env, line 3: {name} ") as refused:
        environment()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            b"\n\nfrom os import environ\n",
            "line 3 is no NAME=value, and no line is a setting of ours",
        ),
        (b"X=1\n[build-system]\n", "line 2 is no NAME=value"),
        (b"root:hunter2:19000:0:99999:7:::\n", "line 1 is no NAME=value"),
        (b"\x7fELF\x02\x01\x00\xd0", "is not text; name a file of lines such as ROUTEQ_URL="),
    ],
)
def test_a_file_that_is_plainly_no_env_file_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str
) -> None:
    (tmp_path / "jobs.py").write_bytes(content)
    monkeypatch.setenv("ROUTEQ_ENV_FILE", str(tmp_path / "jobs.py"))
    with pytest.raises(ConfigurationError, match=re.escape(says)) as refused:
        environment()
    assert "jobs.py" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "# ROUTEQ_URL=\n\n", "X=1\nexport Y='a'\n", "ROUTEQ_LOG"])
def test_an_env_file_may_set_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "worker.env").write_text(content)
    monkeypatch.setenv("ROUTEQ_ENV_FILE", str(tmp_path / "worker.env"))
    assert environment() == dict(os.environ)


def test_a_file_of_the_folder_that_nobody_named_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROUTEQ_ENV_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PS1 of somebody else\n")
    assert environment() == dict(os.environ)


def test_lines_of_others_in_an_env_file_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worker.env").write_text(
        "PS1 of somebody else\nexport ROUTEQ_DB='a b.db' # ours\nROUTEQ_APP=\nROUTEQ_LOG\nX=1\n"
    )
    monkeypatch.setenv("ROUTEQ_ENV_FILE", str(tmp_path / "worker.env"))
    assert environment().items() - os.environ.items() == {("ROUTEQ_DB", "a b.db")}
