"""Jobs of lost workers and brokers: adoption and the census."""
