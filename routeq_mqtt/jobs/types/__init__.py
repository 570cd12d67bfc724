"""What the annotations of fields say: what travels, and what it becomes again."""
