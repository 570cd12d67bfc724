"""Signatures and encryption, without a network."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from routeq_mqtt import ConfigurationError
from routeq_mqtt.errors import RefusedJob
from routeq_mqtt.security.guard import OPEN, Guard
from routeq_mqtt.security.keys import sealing_keys, signing_keys
from routeq_mqtt.settings.settings import Settings
from routeq_mqtt.wire.envelopes.envelope import Envelope

NOW = 1_800_000_000.0
DAY = 86_400.0
JOB = Envelope(id="1", job="Pay", data={"card": "4111", "euros": 7}, max_tries=2, queue="q")


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def guard(signing: str | None = None, sealing: str | None = None, **more: Any) -> Guard:
    return Settings(signing_keys=signing, encryption_keys=sealing, **more).guard()


def travelled(sender: Guard, **changes: Any) -> Envelope:
    """Dressed, encoded, and changed by a hop that has no keys."""
    sent = Envelope.decode(sender.dress(JOB, NOW).encode())
    return Envelope.decode(sent.evolve(**changes).encode())


BOTH = ("k1:secret", f"e1:{key(1)}")


@pytest.mark.parametrize(
    ("signing", "sealing"), [("k1:secret", None), (None, f"e1:{key(1)}"), BOTH]
)
def test_a_job_comes_out_as_it_went_in(signing: str | None, sealing: str | None) -> None:
    same = guard(signing, sealing)
    back = same.admit(travelled(same, attempt=2, deliveries=3, deaths=1, stored=True), NOW)
    assert back == JOB.evolve(attempt=2, deliveries=3, deaths=1, stored=True)


def test_keys_are_changed_without_a_stop() -> None:
    old, new = guard("k1:a", f"e1:{key(1)}"), guard("k2:b,k1:a", f"e2:{key(2)},e1:{key(1)}")
    assert new.admit(travelled(old), NOW).data == JOB.data
    assert new.admit(travelled(new), NOW).data == JOB.data
    with pytest.raises(RefusedJob, match="'e2' is not one of ours"):
        old.admit(travelled(new), NOW)
    with pytest.raises(RefusedJob, match="'k2' is not one of ours"):
        guard("k1:a").admit(travelled(guard("k2:b")), NOW)


@pytest.mark.parametrize(
    "change", [{"job": "Refund"}, {"id": "2"}, {"extra": {"signed": {"key": "k1"}}}, {"extra": {}}]
)
def test_what_was_changed_is_refused(change: dict[str, Any]) -> None:
    one = guard("k1:secret")
    with pytest.raises(RefusedJob, match="signature"):
        one.admit(travelled(one, **change), NOW)


def test_what_stands_outside_counts_for_nothing() -> None:
    one = guard("k1:secret")
    forged = travelled(one, data={"card": "evil"}, max_tries=99, expires_at=1.0)
    assert one.admit(forged, NOW) == JOB


def test_one_byte_of_the_body_is_one_too_many() -> None:
    one = guard("k1:secret")
    sent = travelled(one)
    signed = dict(sent.extra["signed"])
    signed["body"] = signed["body"].replace(b"4111", b"4112")
    with pytest.raises(RefusedJob, match="does not fit"):
        one.admit(sent.evolve(extra={"signed": signed}), NOW)


def test_a_signature_holds_for_the_window_from_when_the_job_is_due() -> None:
    one = guard("k1:secret", replay_window=DAY)
    assert one.admit(travelled(one), NOW + DAY - 1)
    with pytest.raises(RefusedJob, match="it held until"):
        one.admit(travelled(one), NOW + DAY)
    later = Envelope.decode(one.dress(JOB.evolve(delay=10 * DAY), NOW).encode())
    assert one.admit(later, NOW + 11 * DAY - 1)


def test_what_is_retried_late_is_signed_again_and_a_forgery_never() -> None:
    one = guard("k1:secret", f"e1:{key(1)}", replay_window=DAY)
    renewed = one.renew(travelled(one), NOW + 30 * DAY)
    assert one.admit(renewed, NOW + 30 * DAY).data == JOB.data
    assert "4111" not in str(renewed.encode())
    forged = travelled(guard("k1:other"))
    assert guard("k1:secret").renew(forged, NOW) == forged


def test_without_keys_signed_jobs_run_and_sealed_ones_do_not() -> None:
    assert OPEN.admit(travelled(guard("k1:secret")), NOW) == JOB
    with pytest.raises(RefusedJob, match="ROUTEQ_ENCRYPTION_KEYS"):
        OPEN.admit(travelled(guard(None, f"e1:{key(1)}")), NOW)


def test_unsigned_jobs_are_refused_unless_keys_are_just_being_introduced() -> None:
    with pytest.raises(RefusedJob, match="there is none"):
        guard("k1:secret").admit(JOB, NOW)
    assert guard("k1:secret", accept_unsigned=True).admit(JOB, NOW) == JOB


def test_a_box_belongs_to_one_job_and_shows_nothing() -> None:
    one = guard(None, f"e1:{key(1)}")
    sent = travelled(one)
    assert b"4111" not in sent.encode()
    with pytest.raises(RefusedJob, match="belongs to another job"):
        one.admit(sent.evolve(id="2"), NOW)
    words = one.words("ValueError: 4111", sent)
    assert "4111" not in words
    assert one.plain_words(words, sent) == "ValueError: 4111"
    assert "4111" not in OPEN.words("ValueError: 4111", sent)
    assert OPEN.words("ValueError: 4111", JOB) == "ValueError: 4111"


@pytest.mark.parametrize("extra", [{"sealed": 1}, {"sealed": {"key": "e1", "box": b"x"}},
    {"sealed": {"key": "e1", "box": 1 << 40}}, {"signed": []},
    {"signed": {"key": 1, "body": 2, "mac": 3}},
    {"signed": {"key": "k1", "body": "{}", "mac": "zz"}}])  # fmt: skip
def test_nonsense_is_refused_and_never_raises_anything_else(extra: dict[str, Any]) -> None:
    for one in (guard(*BOTH), guard("k1:secret"), OPEN):
        with pytest.raises(RefusedJob):
            one.admit(JOB.evolve(extra=extra), NOW)


@pytest.mark.parametrize("text", ["secretsecret", ":secretsecret", "k1:", "k1:secret1,k1:secret2",
    "k 1:secretsecret", "k1:secretsecret,"])  # fmt: skip
def test_keys_that_cannot_be_read_are_not_shown(text: str) -> None:
    for read in (signing_keys, sealing_keys):
        with pytest.raises(ConfigurationError, match="ROUTEQ_X") as error:
            read(text, "ROUTEQ_X")
        assert "secret" not in str(error.value).replace("name:secret", "")


def test_nothing_shows_a_key() -> None:
    one = Settings(signing_keys="k1:hunter2", encryption_keys=f"e1:{key(1)}", password="hunter2")
    shown = repr(one) + repr(one.guard()) + repr(signing_keys("k1:hunter2", "x"))
    assert "hunter2" not in shown
    assert key(1) not in shown
