"""Messages from the broker to the pool, and their acknowledgement."""
