"""Running one job: call, timeout, retry policy, outcome, job processes."""
