"""Answers requests of operators, folds statistics, publishes numbers and alerts."""
