"""Signed and encrypted jobs: keys, signatures, sealed data."""
