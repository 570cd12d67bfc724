"""Settings of a process: their fields, their values, and the environment they come from."""
