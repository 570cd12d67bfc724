"""What changes while somebody looks, as server-sent events."""
