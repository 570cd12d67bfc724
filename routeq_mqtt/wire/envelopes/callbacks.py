"""How the callbacks of a batch travel: as steps of a chain that is named after the batch.

Producers write it into envelopes and schedulers into their databases, so it never changes.
"""

CALLBACKS = "batch:"
"""In front of a batch's id: the chain of its callbacks."""

THEN, CATCH, FINALLY = 10, 20, 30
"""Their steps; so far apart that none follows another."""
