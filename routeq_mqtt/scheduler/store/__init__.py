"""The SQLite database: rows, transactions and what they return."""
