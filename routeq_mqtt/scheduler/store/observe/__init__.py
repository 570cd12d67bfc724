"""Reads and keeps what operators look at: pages of jobs, groups of failures, statistics."""
