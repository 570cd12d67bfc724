"""One decoder for each kind of message that is not a job."""
