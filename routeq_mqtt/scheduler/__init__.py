"""The scheduler: one service, small roles, one SQLite file."""
