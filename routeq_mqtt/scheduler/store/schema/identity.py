"""Whose a row is: see `identity`. Rows of earlier versions have no token, before a retry."""

from __future__ import annotations

OWN = b"scheduler"
"""The origin of what the scheduler dispatches itself."""

IS_OWN = f"origin = x'{OWN.hex()}'"
"""As an index needs it: a literal."""

IDENTITY = """
INSERT INTO meta VALUES ('secret', randomblob(32));

ALTER TABLE jobs ADD COLUMN marked INTEGER NOT NULL DEFAULT FALSE;
ALTER TABLE jobs ADD COLUMN origin BLOB;
ALTER TABLE failed ADD COLUMN content BLOB;
ALTER TABLE failed ADD COLUMN origin BLOB;
ALTER TABLE results ADD COLUMN proven INTEGER NOT NULL DEFAULT FALSE;
"""
