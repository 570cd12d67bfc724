"""`make demo`: a dozen jobs, live."""
