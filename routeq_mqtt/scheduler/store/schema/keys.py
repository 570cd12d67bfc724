"""Keys of unique jobs begin with their queue; those of an older database get it."""

from __future__ import annotations

KEYS = """
UPDATE locks SET key = (SELECT queue FROM jobs WHERE jobs.id = locks.job) || '/' || key
    WHERE EXISTS (SELECT 1 FROM jobs WHERE jobs.id = locks.job);
"""
