"""Kills, cuts and fills whatever can be, and compares what was promised with what ran."""
