"""The statistics held against what really happened: ``python -m tests.ledger --jobs 100000``."""
