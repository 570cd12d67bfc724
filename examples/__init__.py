"""Examples; each runs in the tests."""
