"""Filters that do not overlap match what the given ones did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routeq_mqtt.wire.filters import covering, overlap, without_overlap
from routeq_mqtt.wire.messages.trigger import Trigger

LEVEL = st.sampled_from(["a", "b", "c"])
FILTERS = st.tuples(
    st.lists(st.one_of(LEVEL, st.just("+")), min_size=1, max_size=3), st.booleans()
).map(lambda made: "/".join([*made[0], *(["#"] if made[1] else [])]))
TOPICS = st.lists(LEVEL, min_size=1, max_size=5).map("/".join)


def matches(name: str, topic: str) -> bool:
    return Trigger(pattern=name, job="j", queue="q").match(topic) is not None


@given(st.sets(FILTERS, min_size=1, max_size=6), TOPICS)
def test_each_topic_matches_once_where_it_did_at_all(filters: set[str], topic: str) -> None:
    found = without_overlap(filters)
    hits = sum(matches(name, topic) for name in found)
    assert hits <= 1
    assert hits >= any(matches(name, topic) for name in filters)


@given(FILTERS, FILTERS, TOPICS)
def test_a_topic_that_matches_both_shows_an_overlap(one: str, other: str, topic: str) -> None:
    both = matches(one, topic) and matches(other, topic)
    assert overlap(one, other) >= both
    assert matches(covering(one, other), topic) >= (matches(one, topic) or matches(other, topic))


@pytest.mark.parametrize(
    ("filters", "apart"),
    [
        ({"sensors/+/temp", "sensors/#"}, ["sensors/#"]),
        ({"a/+/c", "a/b/+"}, ["a/+/+"]),
        ({"a/b", "a/c"}, ["a/b", "a/c"]),
        ({"a/b", "a/b/#"}, ["a/b/#"]),
        ({"a/+", "a/b/c"}, ["a/+", "a/b/c"]),
    ],
)
def test_they_are_no_wider_than_need_be(filters: set[str], apart: list[str]) -> None:
    assert without_overlap(filters) == apart
