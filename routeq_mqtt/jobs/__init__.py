"""Job classes: their options, their data, and how they travel."""
