"""What keeps strangers out: headers, sessions, the origin of an action."""
