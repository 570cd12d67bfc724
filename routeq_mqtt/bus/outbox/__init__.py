"""Dispatch through the producer's outbox, and the forwarder that sends it."""
