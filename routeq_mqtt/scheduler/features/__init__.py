"""Decisions about jobs: limits, uniqueness, batches, devices, rollouts, triggers."""
