"""A test on every broker at once: most of what fault tests do is to wait for processes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.faults.site import Site


def at_once(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Give a test that asks for `site` one on each broker, all of them at the same time."""

    async def on_each(sites: list[Site], **others: Any) -> None:
        ends = await asyncio.gather(
            *(test(site=site, **others) for site in sites), return_exceptions=True
        )
        errors = [end for end in ends if isinstance(end, BaseException)]
        for site, end in zip(sites, ends, strict=True):
            if isinstance(end, BaseException):
                end.add_note(f"on {site.cluster.kind}")
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("on every broker", errors)

    signature = inspect.signature(test)
    wanted = [
        one.replace(name="sites") if one.name == "site" else one
        for one in signature.parameters.values()
    ]
    on_each.__name__, on_each.__doc__ = test.__name__, test.__doc__
    on_each.__module__, on_each.__qualname__ = test.__module__, test.__qualname__
    on_each.__signature__ = signature.replace(parameters=wanted)  # type: ignore[attr-defined]
    marked: Callable[..., Awaitable[None]] = pytest.mark.slow(on_each)
    return marked
