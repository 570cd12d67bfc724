"""Retained messages that were taken in as jobs, each by the digest of what it held last."""

from __future__ import annotations

RETAINED = """
CREATE TABLE retained (
    topic TEXT PRIMARY KEY,
    digest BLOB NOT NULL
);
"""
