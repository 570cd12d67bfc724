"""Rows out: when and how fast they are published to the workers."""
