"""Start, hand-over, presence and the guarantee of a single instance."""
