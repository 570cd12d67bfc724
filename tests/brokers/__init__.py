"""Brokers that do not share: the scheduler deals, on real ones."""
