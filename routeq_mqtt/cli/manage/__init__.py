"""Commands that act on jobs, queues, workers and schedules."""
