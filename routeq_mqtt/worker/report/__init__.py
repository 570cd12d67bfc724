"""What a worker publishes about itself: heartbeat, load, events, registration."""
