"""The way of a job from a producer to its acknowledgement by the broker."""
