"""Tables and triggers of the database."""
