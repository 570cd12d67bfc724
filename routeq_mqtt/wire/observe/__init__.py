"""What the bus says of itself: numbers, pages of jobs, groups of failures, alerts."""
