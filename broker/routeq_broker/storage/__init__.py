"""What outlives the broker: messages, sessions and subscriptions in SQLite."""
