"""The model test: the real bus, workers and scheduler in a simulated world, with deaths anywhere.

Everything runs in one thread on an event loop whose time jumps, over the broker in memory and a
real SQLite file. A seed decides what happens; the same seed does the same again.
"""
