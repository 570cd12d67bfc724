"""Tables and colours on the terminal."""
