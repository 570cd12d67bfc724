"""Orders from the scheduler: pause, cancel, drain, limit."""
