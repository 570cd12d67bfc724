"""What commands show, with rich and without: the same words."""

from __future__ import annotations

import re

import pytest

from routeq_mqtt.cli.output import screen
from routeq_mqtt.cli.output.columns import Table, plain
from routeq_mqtt.cli.output.screen import Screen


def table(**options: bool | int) -> Table:
    one = Table("job", "why", "when", **options)  # type: ignore[arg-type]
    one.add_row("0123456789abcdef", "the press [3] is out of paper", ("now", "red"))
    one.add_row("b", "", "later\nor never")
    return one


def test_a_plain_table_is_aligned_columns() -> None:
    assert plain(table(), 1_000).splitlines() == [
        "JOB               WHY                            WHEN",
        "0123456789abcdef  the press [3] is out of paper  now",
        "b                                                later",
        "                                                 or never",
    ]


def test_a_narrow_plain_table_is_wrapped_but_for_what_stays_whole() -> None:
    assert plain(table(whole=1, lines=True), 40).split("\n\n") == [
        "JOB               WHY           WHEN",
        "0123456789abcdef  the press     now\n"
        "                  [3] is out\n"
        "                  of paper",
        "b                               later\n"
        "                                or never",
    ]  # fmt: skip


def fleet() -> Table:
    one = Table("worker", "state", "queues", "running", "waiting", "done", "failed", "up", whole=1)
    one.add_row("vm-11444-c5bd714a", "online", "default,mail", "0/10", "0", "1", "", "62 s")
    return one


@pytest.mark.parametrize("width", [1, 12])
def test_what_cannot_be_narrow_enough_is_shown_all_the_same(width: int) -> None:
    only = Table("job", whole=32)
    only.add_row("0123456789abcdef0123456789abcdef")
    assert plain(only, width).endswith("0123456789abcdef0123456789abcdef")
    assert "the" in plain(table(), width)


def test_a_table_that_would_cut_words_is_stacked() -> None:
    assert plain(fleet(), 80).splitlines()[0].split() == [
        "WORKER", "STATE", "QUEUES", "RUNNING", "WAITING", "DONE", "FAILED", "UP",
    ]  # fmt: skip
    assert plain(fleet(), 60).splitlines() == [
        "vm-11444-c5bd714a",
        "  state    online",
        "  queues   default,mail",
        "  running  0/10",
        "  waiting  0",
        "  done     1",
        "  up       62 s",
    ]
    long = Table("check", "found")
    long.add_row("limits", "connections=1000 " * 4)
    assert max(map(len, plain(long, 30).splitlines())) <= 30


@pytest.mark.parametrize("width", [*range(28, 100, 8)])
def test_no_width_cuts_a_word(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich ended words with an ellipsis: runni…, waiti…."""
    monkeypatch.setenv("COLUMNS", str(width))
    Screen().print(fleet())
    shown = capsys.readouterr().out
    words = {word for word in re.split(r"[^\w,/…-]+", shown) if word}
    assert "…" not in shown
    assert words <= {*fleet().columns, "vm-11444-c5bd714a", "online", "default,mail", "0/10", "0",
                     "1", "62", "s"}  # fmt: skip


@pytest.fixture(params=[True, False])
def rich(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether rich is there."""
    monkeypatch.setattr(screen, "RICH", request.param)
    monkeypatch.setenv("COLUMNS", "200")
    return bool(request.param)


def test_each_kind_of_output_says_the_same(rich: bool, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = Screen(), Screen(stderr=True)
    out.print("[bold]", {"a": 1}, style="bold")
    out.print(table(whole=20, lines=True))
    err.print("error: no [such] thing", style="red", soft_wrap=True)
    with err.progress(2) as begins:
        begins("bulk", 0)
        begins("drain", 1)
    with out.picture() as drawn:
        assert drawn is None, "this is no terminal"
    said = capsys.readouterr()
    words = ("[bold]", "{'a': 1}", "the press [3] is out of paper", "now", "or never")
    assert [word for word in words if word not in said.out] == []
    assert "error: no [such] thing" in said.err
    assert ("2/2" if rich else "0/2 bulk\n1/2 drain\n") in said.err
    assert "\x1b" not in said.out + said.err


@pytest.mark.usefixtures("rich")
def test_what_others_say_cannot_repaint_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2Jall is well\r\x9b0m\x07\u202e\u200b\ufeff\u2028\U000e0041"
    seen = Table("job", "why")
    seen.add_row(hostile, (hostile, "red"))
    out = Screen()
    out.print(hostile, {"note": hostile})
    out.print(seen)
    said = capsys.readouterr().out
    shown = "\\x1b[2Jall is well\\x0d\\x9b0m\\x07\\u202e\\u200b\\ufeff\\u2028\\ue0041"
    assert said.count(shown) == 3
    assert not set(hostile) - set("[2Jall is we0m") & set(said)
