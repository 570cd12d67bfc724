"""What clients do: connect, publish, subscribe, come back, leave."""
