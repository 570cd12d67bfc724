"""Who gets in: a link that works once, passwords, sessions that end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from routeq_mqtt import Bus, ConfigurationError
from routeq_mqtt.dashboard.app import make
from routeq_mqtt.dashboard.http.login import Login
from routeq_mqtt.dashboard.http.sessions import Sessions
from routeq_mqtt.dashboard.options import make_options
from routeq_mqtt.dashboard.serve import DashboardServer, Passwords, is_loopback, read_bind
from tests.dashboard.clock import ManualClock

OPTIONS = make_options(hosts=(), redact=(), hide_data=False, environment="", trace_url="")
SAME = {"sec-fetch-site": "same-origin"}


def client(sessions: Sessions, clock: ManualClock) -> TestClient:
    app = make(Bus("mqtt://127.0.0.1:1"), OPTIONS, sessions.user, Login(sessions), clock)
    return TestClient(app, base_url="http://127.0.0.1:8080", follow_redirects=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tokens() -> list[str]:
    return []


@pytest.fixture
def local(clock: ManualClock, tokens: list[str]) -> Callable[[], TestClient]:
    sessions = Sessions(clock, new_token=tokens.append)
    return lambda: client(sessions, clock)


def test_a_stranger_gets_no_page_no_file_and_no_answer(local: Callable[[], TestClient]) -> None:
    stranger = local()
    page = stranger.get("/")
    assert page.status_code == 401
    assert "the link that the terminal shows" in page.text
    for path in ("/api/state", "/api/about", "/api/stream", "/api/ask/jobs.list", "/static/app.js"):
        assert stranger.get(path).status_code == 401, path
    assert stranger.post("/api/act/queue.pause", json={}, headers=SAME).status_code == 401
    assert stranger.get("/static/login.css").status_code == 200


def test_a_link_lets_in_once_and_the_next_one_is_another(
    local: Callable[[], TestClient], tokens: list[str]
) -> None:
    owner, thief = local(), local()
    answer = owner.get("/", params={"token": tokens[0]})
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert owner.get("/api/about").json()["user"] == "local"
    assert owner.get("/", params={"token": tokens[0]}).status_code == 303  # a reload of the page
    used = thief.get("/", params={"token": tokens[0]})
    assert used.status_code == 401
    assert "has been used" in used.text
    assert thief.get("/api/about").status_code == 401
    assert len(set(tokens)) == 2
    assert thief.get("/", params={"token": tokens[1]}).status_code == 303


def test_a_link_that_a_browser_prefetches_still_works(
    local: Callable[[], TestClient], tokens: list[str]
) -> None:
    browser = local()
    early = browser.get("/", params={"token": tokens[0]}, headers={"sec-purpose": "prefetch"})
    assert early.status_code == 403
    assert browser.get("/", params={"token": tokens[0]}).status_code == 303


def test_a_session_ends_after_a_day_and_at_a_logout(
    local: Callable[[], TestClient], tokens: list[str], clock: ManualClock
) -> None:
    browser = local()
    browser.get("/", params={"token": tokens[-1]})
    clock.pass_(23 * 3600)
    assert browser.get("/api/about").status_code == 200
    clock.pass_(3601)
    assert browser.get("/api/about").status_code == 401
    browser.get("/", params={"token": tokens[-1]})
    assert browser.get("/api/about").status_code == 200
    kept = dict(browser.cookies)
    browser.post("/logout", headers=SAME)
    browser.cookies.update(kept)  # who has copied the cookie is out, too
    assert browser.get("/api/about").status_code == 401


def test_passwords_say_who_may_act(clock: ManualClock) -> None:
    sessions = Sessions(clock, password="operator's", viewer_password="viewer's")
    browser = client(sessions, clock)
    assert 'name="password"' in browser.get("/").text
    wrong = browser.post("/login", data={"password": "wrong"}, headers=SAME)
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    assert browser.post("/login", data={"password": "viewer's"}, headers=SAME).status_code == 303
    assert browser.get("/api/about").json()["may_act"] is False
    refused = browser.post("/api/act/queue.pause", json={"queue": "a"}, headers=SAME)
    assert refused.status_code == 403
    assert "may look, and not act" in refused.json()["error"]
    browser.post("/login", data={"password": "operator's"}, headers=SAME)
    assert browser.get("/api/about").json()["may_act"] is True


def test_a_program_sends_its_password_with_each_request(clock: ManualClock) -> None:
    browser = client(Sessions(clock, password="operator's", viewer_password="viewer's"), clock)
    bearer = {"authorization": "Bearer viewer's"}
    about = browser.get("/api/about", headers=bearer).json()
    assert (about["user"], about["may_act"]) == ("viewer", False)
    assert browser.get("/api/about").status_code == 401  # no session was begun
    for _ in range(10):
        guess = browser.get("/api/about", headers={"authorization": "Bearer x"})
        assert guess.status_code == 401
    assert browser.get("/api/about", headers=bearer).status_code == 401
    clock.pass_(61)
    assert browser.get("/api/about", headers=bearer).status_code == 200


def test_passwords_cannot_be_guessed_for_long(clock: ManualClock) -> None:
    sessions = Sessions(clock, password="operator's")
    browser = client(sessions, clock)
    for _ in range(10):
        assert browser.post("/login", data={"password": "x"}, headers=SAME).status_code == 401
    right = {"password": "operator's"}
    assert browser.post("/login", data=right, headers=SAME).status_code == 429
    clock.pass_(61)
    assert browser.post("/login", data=right, headers=SAME).status_code == 303


def test_a_login_from_another_site_is_refused(clock: ManualClock) -> None:
    browser = client(Sessions(clock, password="operator's"), clock)
    foreign = {"sec-fetch-site": "cross-site"}
    answer = browser.post("/login", data={"password": "operator's"}, headers=foreign)
    assert answer.status_code == 403


def test_sessions_are_bounded(clock: ManualClock, tokens: list[str]) -> None:
    sessions = Sessions(clock, new_token=tokens.append)
    for _ in range(1_100):
        assert sessions.by_token(tokens[-1]) is not None
    assert len(sessions._sessions) == 1_000


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "example.org:80"])
async def test_an_address_that_others_reach_needs_a_password(bind: str) -> None:
    with pytest.raises(ConfigurationError, match="--password-file"):
        DashboardServer(Bus("mqtt://127.0.0.1:1"), bind, OPTIONS, announce=print)


async def test_with_a_password_it_listens_anywhere_and_prints_no_token() -> None:
    links: list[str] = []
    passwords = Passwords(operator="operator's")
    server = DashboardServer(
        Bus("mqtt://127.0.0.1:1"), "0.0.0.0:0", OPTIONS, passwords=passwords, announce=links.append
    )
    server._socket.close()
    assert links == [f"http://0.0.0.0:{server.port}/"]


@pytest.mark.parametrize("bind", ["", "8080", "host:", ":80", "host:x", "host:70000"])
def test_a_bind_that_is_none_is_refused_by_its_value(bind: str) -> None:
    with pytest.raises(ConfigurationError, match="is not host:port"):
        read_bind(bind)


def test_what_is_only_this_machine() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "")))
