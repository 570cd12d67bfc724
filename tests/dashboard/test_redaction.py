"""What is not shown although somebody may look."""

from __future__ import annotations

import json

import pytest

from routeq_mqtt.dashboard.api.shown import shown
from routeq_mqtt.dashboard.redaction import HIDDEN, REDACTED, Redactor
from routeq_mqtt.wire.messages.replies import FailedShown


@pytest.mark.parametrize(
    "name",
    ["password", "PASSWORD", "db_password", "apiKey", "api-key", "Access Key", "user_token",
     "Authorization", "client_secret", "cardNumber"],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    data = {"a": [{name: "s3cret", "b": 1}], name: {"x": "s3cret"}}
    told = json.dumps(Redactor().data(data))
    assert "s3cret" not in told
    assert '"b": 1' in told


@pytest.mark.parametrize("name", ["name", "order", "passenger", "keyboard", "card", "author"])
def test_what_only_looks_like_one_is_shown(name: str) -> None:
    assert Redactor().data({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "text",
    [
        "login(user='ada', password='s3cret')", 'header {"token": "s3cret"}', "token=s3cret, x",
        "API_KEY: s3cret", "https://host/?access_key=s3cret&x=1", "passwd = s3cret",
    ],
)  # fmt: skip
def test_a_secret_in_an_error_is_taken_out(text: str) -> None:
    told = Redactor().error(f"ValueError: {text}")
    assert told is not None
    assert "s3cret" not in told
    assert REDACTED in told


def test_a_name_of_ones_own_is_a_secret_too() -> None:
    redactor = Redactor(["patient id"])
    assert redactor.data({"patientId": 7, "patient": 8}) == {"patientId": REDACTED, "patient": 8}


def test_hidden_data_leave_the_class_of_an_error() -> None:
    redactor = Redactor(hide_data=True)
    assert redactor.data({"a": 1}) == HIDDEN
    assert redactor.data(None) is None
    assert redactor.error("ValueError: ada has 7 cats") == f"ValueError: {HIDDEN}"
    assert redactor.error("ada has 7 cats") == HIDDEN


def test_depth_and_length_are_bounded() -> None:
    deep: object = "s"
    for _ in range(2_000):
        deep = {"a": deep}
    assert len(json.dumps(Redactor().data(deep))) < 1_000
    assert len(Redactor().text("x" * 1_000_000)) == 100_000


def test_a_record_is_shown_without_its_bytes() -> None:
    record = FailedShown(
        id="1", queue="a", error="E: token=s3cret", envelope=b"s3cret", data={"password": "s3cret"},
        attempts=[{"attempt": 1, "traceback": "password='s3cret'", "message": "api_key: s3cret"}],
    )  # fmt: skip
    told = json.dumps(shown(record, Redactor()))
    assert "s3cret" not in told
    assert "envelope" not in told


def test_redaction_is_quick_on_hostile_text() -> None:
    """No step of the search goes back over the whole text; else this takes minutes."""
    for text in (
        "a" * 100_000,
        "password" * 12_000,
        "token=" * 16_000,
        "\"'" * 50_000,
        "- " * 50_000,
    ):
        Redactor().text(text)
