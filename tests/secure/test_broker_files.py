"""Users and access rules of the embedded broker: mosquitto's files, read the same way."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from routeq_broker import AccessFileBroken, Acl, Doorkeeper, Users, hashed_line, tls_context
from routeq_broker.errors import NotAdmitted
from routeq_broker.routing.filters import covers

MADE_BY_MOSQUITTO = (
    "dev:$7$101$YYX28oJdqP1uiz0P$eB9gBa4cASQtRvY1SKtDOYIT5p6M5lL8weuMcojMwQg1VF9H5x1k1UbUd2yVMnha"
    "/K+CDzxMbW8RMf14+oNnPw=="
)


def written(folder: Path, *lines: str) -> Path:
    path = folder / "file"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_line_of_mosquitto_passwd_is_checked(tmp_path: Path) -> None:
    users = Users.read(written(tmp_path, "# users", "", MADE_BY_MOSQUITTO))
    assert users.check("dev", b"devpw")
    assert not users.check("dev", b"devpx")
    assert not users.check("other", b"devpw")


def test_a_line_of_ours_and_one_of_the_older_form_are_checked(tmp_path: Path) -> None:
    salt = b"0123456789ab"
    digest = base64.b64encode(hashlib.sha512(b"old" + salt).digest()).decode()
    old = f"old:$6${base64.b64encode(salt).decode()}${digest}"
    users = Users.read(written(tmp_path, hashed_line("new", "pass:wörd"), old))
    assert users.check("new", "pass:wörd".encode())
    assert users.check("old", b"old")
    assert not users.check("old", b"new")


@pytest.mark.parametrize("line", ["dev:plain-secret", "plain-secret", "dev:$7$x$y$z", "dev:$6$!$!"])
def test_a_line_that_makes_no_sense_is_named_and_not_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(AccessFileBroken, match="line 1") as error:
        Users.read(written(tmp_path, line))
    assert "secret" not in str(error.value)


RULES = (
    "topic read public/#",
    "user anna",
    "topic readwrite anna/#",
    "topic deny anna/private/#",
    "topic write $queue/a",
    "topic all/#",
    "user bert",
    "topic read +/x",
    "pattern write from/%u/%c",
)


@pytest.mark.parametrize(
    ("user", "client", "topic", "reads", "writes"),
    [
        (None, "c", "public/a", True, False),
        ("anna", "c", "public/a", False, False),
        ("anna", "c", "anna", True, True),
        ("anna", "c", "anna/private/x", False, False),
        ("anna", "c", "$queue/a", False, True),
        ("anna", "c", "$queue/b", False, False),
        ("anna", "c", "all/x", True, True),
        ("bert", "c", "a/x", True, False),
        ("bert", "c", "$a/x", False, False),
        ("bert", "c", "from/bert/c", False, True),
        ("bert", "d", "from/bert/c", False, False),
        (None, "c", "from/None/c", False, False),
        ("+", "c", "from/anna/c", False, False),
        ("bert", "#", "from/bert/anything", False, False),
    ],
)
def test_a_rule_means_what_it_means_to_mosquitto(
    tmp_path: Path, user: str | None, client: str, topic: str, reads: bool, writes: bool
) -> None:
    rights = Acl.read(written(tmp_path, *RULES)).rights(user, client)
    assert (rights.may_read(topic), rights.may_write(topic)) == (reads, writes)


def test_a_client_that_is_called_like_a_place_holder_is_no_other(tmp_path: Path) -> None:
    acl = Acl.read(written(tmp_path, "pattern read reply/%c", "pattern write from/%u/%c"))
    rights = acl.rights("anna", "%u")
    assert rights.may_read("reply/%u")
    assert not rights.may_read("reply/anna")
    assert acl.rights("%c", "x").may_write("from/%c/x")


def test_a_group_takes_only_who_may_read_all_that_it_brings(tmp_path: Path) -> None:
    rules = ("user w", "topic read queue/+", "user x", "topic read #", "topic deny a/b")
    acl = Acl.read(written(tmp_path, *rules))
    rights = acl.rights("w", "c")
    assert rights.may_share("queue/x")
    assert rights.may_share("queue/+")
    assert not rights.may_share("queue/#")
    assert not rights.may_share("#")
    assert not acl.rights("x", "c").may_share("a/+")
    assert acl.rights("x", "c").may_share("a/c")


@pytest.mark.parametrize(
    ("rule", "name", "yes"),
    [
        ("#", "a/b", True), ("a/#", "a/+/c", True), ("a/+", "a/#", False), ("a/+/#", "a/#", False),
        ("+/b", "a/b", True), ("a/b", "+/b", False), ("#", "$queue/x", False), ("a/+", "a", False),
        ("$queue/+", "$queue/x", True),
    ],
)  # fmt: skip
def test_covers(rule: str, name: str, yes: bool) -> None:
    assert covers(rule, name) is yes


@pytest.mark.parametrize(
    "line", ["topic", "topics read a", "user", "pattern", "topic read a/#/b", "listener 1883"]
)
def test_a_rule_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(AccessFileBroken, match="line 2"):
        Acl.read(written(tmp_path, "# rules", line))


def test_a_name_that_nobody_checked_gives_no_rights(tmp_path: Path) -> None:
    keeper = Doorkeeper(None, Acl.read(written(tmp_path, "user root", "topic readwrite #")))
    user = keeper.admit("root", b"x", None)
    rights = keeper.rights(user, "c")
    assert user is None
    assert rights is not None
    assert not rights.may_write("a")


def test_who_comes_in(tmp_path: Path) -> None:
    keeper = Doorkeeper(Users.read(written(tmp_path, hashed_line("anna", "good"))))
    assert keeper.admit("anna", b"good", None) == "anna"
    assert keeper.admit(None, None, "certified") == "certified"
    for name, password in (("anna", b"bad"), ("anna", None), (None, None), ("other", b"good")):
        with pytest.raises(NotAdmitted):
            keeper.admit(name, password, None)


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(AccessFileBroken, match="nowhere"):
        tls_context(tmp_path / "nowhere.pem", None, None)
