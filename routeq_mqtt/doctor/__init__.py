"""Checks of a bus."""
