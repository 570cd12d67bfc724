"""What of a job is called: functions as jobs, and what is injected into them."""
