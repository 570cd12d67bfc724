"""What keeps strangers out of an app that is mounted: access, hosts, origins, headers."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from routeq_mqtt import Bus, ConfigurationError, SyncBus
from routeq_mqtt.dashboard import User, dashboard
from tests.cluster.process import ROOT

SAME = {"sec-fetch-site": "same-origin"}
ORIGIN = "http://127.0.0.1:8080"


def anybody(request: Request) -> User:
    return User("ada")


def client(access: Any = anybody, prefix: str = "", **options: Any) -> TestClient:
    app: Any = dashboard(Bus("mqtt://127.0.0.1:1"), access=access, **options)
    if prefix:
        app = Starlette(routes=[Mount(prefix, app)])
    return TestClient(app, base_url=ORIGIN, follow_redirects=False)


PATHS = ("/", "/static/app.js", "/static/no.js", "/api/about", "/api/nothing", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("access", [anybody, lambda request: None])
def test_every_answer_forbids_what_is_not_ours(path: str, access: Any) -> None:
    headers = client(access).get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] in {"no-store", "no-cache"}


def test_a_prefix_is_no_trouble() -> None:
    browser = client(prefix="/jobs")
    assert browser.get("/jobs/").status_code == 200
    assert browser.get("/jobs/static/app.js").status_code == 200
    assert browser.get("/jobs/api/about").json()["user"] == "ada"
    assert browser.get("/jobs").headers["location"].endswith("jobs/")


async def slowly(request: Request) -> User | None:
    return User("ada", may_act=False) if request.headers.get("x-user") else None


def test_access_may_be_a_coroutine_and_says_who_may_look() -> None:
    browser = client(slowly)
    assert browser.get("/api/about").status_code == 401
    about = browser.get("/api/about", headers={"x-user": "1"}).json()
    assert (about["user"], about["may_act"]) == ("ada", False)


def raising(request: Request) -> User:
    raise RuntimeError("the users' table is gone")


@pytest.mark.parametrize("access", [raising, lambda request: "ada", lambda request: True])
def test_access_that_fails_lets_nobody_in(access: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert client(access).get("/api/about").status_code == 401
    assert "access of the dashboard raised" in caplog.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:8081"}, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
        ({"sec-fetch-site": "cross-site", "origin": ORIGIN}, 403),
        ({"sec-fetch-site": "same-origin"}, 404),
        ({"origin": ORIGIN}, 404),
    ],
)
def test_only_our_own_page_sends_actions(headers: dict[str, str], status: int) -> None:
    answer = client().post("/api/act/no.such", json={}, headers=headers)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("localhost.evil", 421),
        ("127.0.0.1:8080", 200), ("[::1]:8080", 200), ("localhost:9", 200), ("LOCALHOST", 200),
        ("board.example", 200), ("board.example:8080", 200), ("192.0.2.7", 200),
    ],
)  # fmt: skip
def test_only_names_that_are_ours_are_served(host: str, status: int) -> None:
    answer = client(hosts=["Board.example"]).get("/", headers={"host": host})
    assert answer.status_code == status
    if host == "evil.example":
        assert "--allow-host evil.example" in answer.json()["error"]


def test_a_form_cannot_send_an_action() -> None:
    browser = client()
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = browser.post(
            "/api/act/queue.pause", content=b'{"queue":"a"}', headers=SAME | {"content-type": kind}
        )
        assert answer.status_code == 415


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"7", b"[" * 100_000, b"\xff", b'{"queue": 7}', b"{}"]
)
def test_arguments_that_are_none_are_refused(body: bytes) -> None:
    headers = SAME | {"content-type": "application/json"}
    answer = client().post("/api/act/queue.pause", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_body_is_bounded() -> None:
    headers = SAME | {"content-type": "application/json"}
    answer = client().post("/api/act/queue.pause", content=b" " * (2 << 20), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "method", ["trigger.add", "device.broadcast", "schedule.announce", "failed.flush", "result", ""]
)
def test_what_is_for_programs_cannot_be_asked_for(method: str) -> None:
    browser = client()
    assert browser.post(f"/api/act/{method}", json={}, headers=SAME).status_code in {404, 405}
    assert browser.get(f"/api/ask/{method}").status_code == 404


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "vendor", "", "lib/"]
)
def test_no_other_file_is_served(name: str) -> None:
    assert client().get(f"/static/{name}").status_code == 404


def test_there_is_no_websocket() -> None:
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/api/stream"):
        pass


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hosts": "board.example"}, "must be lists"),
        ({"redact": "name"}, "must be lists"),
        ({"environment": "x" * 41}, "shorten it"),
        ({"trace_url": "javascript:alert(1)//{trace_id}"}, "must be an http or https URL"),
        ({"trace_url": "https://traces.example/"}, "must be an http or https URL"),
        ({"access": "ada"}, "must be a function"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        client(**options)


def test_a_bus_of_another_kind_is_refused() -> None:
    bus: Any = SyncBus("mqtt://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="bus is a SyncBus"):
        dashboard(bus, access=anybody)


def test_files_are_packed_and_not_sent_twice() -> None:
    browser = client()
    first = browser.get("/static/app.js")
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["content-type"].startswith("text/javascript")
    again = browser.get("/static/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    plain = browser.get("/static/app.js", headers={"accept-encoding": "identity"})
    assert plain.content == first.content


def test_the_example_of_the_document_works() -> None:
    page = (ROOT / "docs" / "dashboard.md").read_text()
    [code] = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own document
    browser = TestClient(Starlette(routes=[Mount("/jobs", names["board"])]), base_url=ORIGIN)
    assert browser.get("/jobs/api/about").status_code == 401
    about = browser.get("/jobs/api/about", headers={"x-user": "ada"}).json()
    assert (about["may_act"], about["environment"]) == (True, "production")
    assert browser.get("/jobs/api/about", headers={"x-user": "bob"}).json()["may_act"] is False
