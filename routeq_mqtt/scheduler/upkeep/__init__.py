"""Periodic maintenance: expiry of old rows, checkpoints, clock jumps."""
