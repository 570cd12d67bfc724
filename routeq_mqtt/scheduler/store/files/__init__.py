"""The database as a file: whose it is, a copy of it, and whether it is sound."""
