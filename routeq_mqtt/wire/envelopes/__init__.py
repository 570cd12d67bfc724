"""A job as it travels, its outcome, and its failed record."""
