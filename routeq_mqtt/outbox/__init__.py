"""Jobs that wait in a local file until the broker can be reached."""
