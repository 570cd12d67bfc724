"""A broker and transport in memory, with the behaviour of real ones."""
