"""Hypothesis strategies: everything that may travel."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from routeq_mqtt.wire.envelopes.envelope import Envelope

# Fixed offsets: a time zone's rules do not travel, what it says at that moment does.
_OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

_atoms: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False),
    texts,
    st.binary(max_size=50),
    st.datetimes(timezones=st.none() | _OFFSETS),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
)

_hashable: st.SearchStrategy[Any] = st.recursive(
    _atoms,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)

values: st.SearchStrategy[Any] = st.recursive(
    _hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(_hashable, max_size=4)
        | st.dictionaries(_hashable, inner, max_size=4)
    ),
    max_leaves=12,
)

maps = st.dictionaries(texts, values, max_size=5)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip

_printable = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40
).filter(str.isprintable)
_queues = st.from_regex(r"[A-Za-z0-9_.\-]{1,40}", fullmatch=True)
_seconds = st.integers(0, 10**9) | st.floats(0, 1e9)
_epochs = st.integers(-(10**10), 10**10) | st.floats(-1e10, 1e10)
_flat = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)


def _or_none(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


envelopes: st.SearchStrategy[Envelope] = st.builds(
    Envelope,
    id=_or_none(_printable),
    job=_printable,
    data=maps,
    queue=_or_none(_queues),
    attempt=st.integers(1, 1000),
    deliveries=st.integers(1, 1000),
    deaths=st.integers(0, 1000),
    max_tries=_or_none(st.integers(1, 1000)),
    timeout=_or_none(_seconds),
    retry_after=_or_none(_seconds),
    backoff=_or_none(_seconds | st.lists(_seconds, min_size=1, max_size=5)),
    delay=_or_none(_seconds),
    dispatched_at=_or_none(_epochs),
    run_at=_or_none(_epochs),
    expires_at=_or_none(_epochs),
    stored=st.booleans(),
    headers=maps,
    errors=st.lists(st.dictionaries(texts, _flat | texts, max_size=4), max_size=20),
    extra=st.dictionaries(texts.map("x-{}".format), values, max_size=3),
)
