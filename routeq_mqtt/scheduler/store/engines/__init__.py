"""Kinds of databases: each runs the same statements."""
