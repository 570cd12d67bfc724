"""Where messages go: sessions, subscriptions, shared groups, queues and retained messages."""
