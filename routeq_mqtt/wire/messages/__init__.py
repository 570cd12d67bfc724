"""One decoder for each kind of message that is no job."""
